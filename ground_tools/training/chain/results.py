"""What a chain brings home: the folders of its stages in a few tar files, none of them large."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ground_tools.foundation.names import check_name
from ground_tools.training.outcome import ENCODER_WEIGHTS, RECORD_FILE, UNET_WEIGHTS
from ground_tools.training.progress import CURVES_FILE, draw_curves, read_log

# Some ways home carry no larger files than 16 MiB, and few of them.
LARGEST_FILE = 16 * 2**20
MOST_FILES = 6


def pack_results(folders: list[Path], out: Path) -> list[str]:
    """Write the folders that hold weights to results_1.tar and so on, in place of what was there before.

    A file is renamed when it is whole. Returns the names of the folders for which there was no room; the first ones in
    the list have room first.
    """
    archives: list[list[tuple[str, bytes]]] = [[]]
    left_out = []
    for folder in folders:
        files = _files(folder)
        if not any(path.name in (UNET_WEIGHTS, ENCODER_WEIGHTS) for path in files):
            continue
        entry = (folder.name, _tar(files, folder.parent))
        place = next((a for a in archives if sum(len(t) for _, t in a) + len(entry[1]) <= LARGEST_FILE), None)
        if place is None and len(archives) < MOST_FILES and len(entry[1]) <= LARGEST_FILE:
            archives.append(place := [])
        if place is None:
            left_out.append(folder.name)
        else:
            place.append(entry)
    out.mkdir(parents=True, exist_ok=True)
    for number, archive in enumerate(archives, start=1):
        partial = out / "results.part"
        with partial.open("wb") as file:
            for _, data in archive:
                file.write(data)
            # The end of a tar file; the parts were written without.
            file.write(bytes(2 * tarfile.BLOCKSIZE))
        partial.replace(out / f"results_{number}.tar")
    return left_out


def pack_trained(trained: Path, names: tuple[str, ...], out: Path) -> Path:
    """Write UNets of an earlier run to trained.tar, for `--trained` of a run elsewhere; weights in half precision.

    Raises ValueError when one is not there or damaged.
    """
    with tempfile.TemporaryDirectory(prefix="rubblemap_trained_") as scratch:
        parts = []
        for name in names:
            _check(trained / name)
            folder = Path(scratch) / name
            folder.mkdir()
            halve(trained / name / UNET_WEIGHTS, folder / UNET_WEIGHTS)
            record = json.loads((trained / name / RECORD_FILE).read_text(encoding="utf-8"))
            record |= {"weights_sha256": hashlib.sha256((folder / UNET_WEIGHTS).read_bytes()).hexdigest()}
            (folder / RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
            parts.append(_tar(_files(folder), Path(scratch)))
        out.mkdir(parents=True, exist_ok=True)
        path = out / "trained.tar"
        path.write_bytes(b"".join(parts) + bytes(2 * tarfile.BLOCKSIZE))
    return path


def halve(weights: Path, out: Path) -> None:
    """Copy a file of weights in half precision: they lose 0.05 % at most, and half of their size."""
    with h5py.File(weights, "r") as source, h5py.File(out, "w") as target:

        def copy(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                values = item[()]
                real = isinstance(values, np.ndarray) and values.dtype == np.float32
                made = target.create_dataset(name, data=values.astype(np.float16) if real else values)
            else:
                made = target.require_group(name)
            for key, value in item.attrs.items():
                made.attrs[key] = value

        source.visititems(copy)
        for key, value in source.attrs.items():
            target.attrs[key] = value


def unpack_results(folder: Path, out: Path) -> list[Path]:
    """Unpack results_*.tar of a folder into `out`, and draw the curves of each stage. Returns the stages' folders.

    Raises ValueError naming what is missing or damaged, and for a folder that is there already.
    """
    archives = sorted(folder.glob("results_*.tar"))
    if not archives:
        raise ValueError(f"{folder}: expected results_1.tar and so on, got none")
    found = []
    for path in archives:
        try:
            with tarfile.open(path) as archive:
                names = list(dict.fromkeys(name.split("/")[0] for name in archive.getnames()))
                for name in names:
                    check_name(name, f"{path}: stage")
                    if (out / name).exists():
                        raise ValueError(f"{out / name}: expected nothing there, got a folder; choose another --out")
                archive.extractall(out, filter="data")
        except tarfile.TarError as error:
            raise ValueError(f"{path}: expected a tar file of `train-chain run` ({error})") from error
        found += [out / name for name in names]
    for stage in found:
        _check(stage)
        draw_curves(read_log(stage), stage / CURVES_FILE)
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith((".", "part.")))


def _tar(files: list[Path], base: Path) -> bytes:
    """The files as a part of a tar file, without its end."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in files:
            archive.add(path, str(path.relative_to(base)), filter=_drop_owner)
        end = archive.offset
    return data.getvalue()[:end]


def _drop_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o644
    return entry


def _check(stage: Path) -> None:
    """Raise ValueError when a stage's weights are not those of its record."""
    try:
        expected = json.loads((stage / RECORD_FILE).read_text(encoding="utf-8"))["weights_sha256"]
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{stage}: expected a readable {RECORD_FILE} ({error})") from error
    weights = next((stage / name for name in (UNET_WEIGHTS, ENCODER_WEIGHTS) if (stage / name).is_file()), None)
    if weights is None:
        raise ValueError(f"{stage}: expected {UNET_WEIGHTS} or {ENCODER_WEIGHTS}")
    if hashlib.sha256(weights.read_bytes()).hexdigest() != expected:
        raise ValueError(f"{weights}: expected the weights of its {RECORD_FILE}, got others")
