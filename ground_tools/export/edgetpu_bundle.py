"""A bundle whose files the Coral Edge TPU's compiler takes, made of another one's, and compared with it.

No network is trained again: every file is rewritten (edgetpu.py). Both bundles then run on this computer, in int8, on
the same frames with the same dropout masks; what they differ by is what the rewriting costs. The compiler, where there
is one, goes over the new files last.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flight.bundle import Bundle, load_bundle
from flight.closed_form_files import CLOSED_FORM_PARTS
from flight.inference.engine import Engine
from flight.inference.interpreter import is_compiled
from flight.inference.self_test import decode_test_image
from flight.settings import default_settings
from ground_tools.export.bundle_folder import check_place, put_in_place, record_self_test, write_manifest
from ground_tools.export.edgetpu import rewrite_for_edgetpu
from ground_tools.foundation.json_records import from_plain, to_plain
from ground_tools.foundation.progress import progress

_COMPILE_S = 1800
_CARD = """

## Coral Edge TPU

The files are those of version {version}, rewritten for the Edge TPU. On {images} images, with the same dropout masks:
{engines}.
"""


@dataclass(frozen=True)
class RewritingParity:
    """A rewritten bundle beside the original, int8 beside int8, with the same masks.

    Attributes:
        images: how many.
        passes: of each.
        class_agreement: share of the pixels with the same class.
        entropy_difference: mean over pixels of the absolute difference of the predictive entropy, nats.
        entropy_bias: the same with its sign.
        other_masks: what the original's predictive entropy differs by from its own with other masks, nats.
    """

    images: int
    passes: int
    class_agreement: float
    entropy_difference: float
    entropy_bias: float
    other_masks: float


def write_edgetpu_bundle(
    source: Path, out: Path, frames: np.ndarray | None, compiler: str | None = None
) -> tuple[Bundle, dict[str, RewritingParity]]:
    """Write a bundle's twin for the Edge TPU.

    Args:
        source: the bundle's folder.
        out: folder to write; may be the bundle's own.
        frames: (N, H, W) or (N, H, W, 3) uint8, of the networks' input size, to compare on; None for the self-test's.
        compiler: edgetpu_compiler, a program; None: the files are left to be compiled.

    Returns:
        The bundle, and by engine what it differs by.

    Raises:
        ValueError: a network is not in int8; the compiler does not take what has to run on the Edge TPU.
        OSError: the compiler is not there.
    """
    check_place(out)
    bundle = load_bundle(source)
    other = [network.name for network in bundle.networks if network.quantization != "int8"]
    if other:
        raise ValueError(f"{source}: expected networks in int8, got others: {', '.join(other)}")
    if compiler is not None and shutil.which(compiler) is None:
        raise ValueError(f"--compiler {compiler}: expected a program, got none of this name")
    with tempfile.TemporaryDirectory(prefix="rubblemap_bundle_") as scratch:
        folder = Path(scratch) / bundle.name
        shutil.copytree(source, folder)
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        manifest["version"] = _twin_version(bundle)
        # What was promised was promised of the original's entropies, which are not quite these.
        manifest.pop("risk_thresholds", None)
        for entry in _file_entries(manifest):
            _replace(folder, entry, rewrite_for_edgetpu)
        record_self_test(folder, manifest)
        twin = load_bundle(folder)
        parity = compare_bundles(bundle, twin, frames)
        manifest["metrics"]["edgetpu"] = to_plain(parity)
        _add_to_card(folder / "card.md", bundle.version, parity)
        if compiler is not None:
            _compile(folder, manifest, compiler)
        write_manifest(folder, manifest)
        load_bundle(folder)
        put_in_place(folder, out)
    return load_bundle(out), parity


def read_parity(bundle: Bundle, twin: Bundle) -> dict[str, RewritingParity]:
    """What a bundle for the Edge TPU differs by from its original, as it states.

    Raises:
        ValueError: it was not made of this one.
    """
    if twin.version != _twin_version(bundle) or "edgetpu" not in twin.manifest["metrics"]:
        raise ValueError(f"--edgetpu: expected version {_twin_version(bundle)} of {bundle.name}, got {twin.version}")
    return from_plain(dict[str, RewritingParity], twin.manifest["metrics"]["edgetpu"], f"manifest of {twin.name}")


def _twin_version(bundle: Bundle) -> str:
    return f"{bundle.version.partition('+')[0][:24]}+edgetpu"


def compare_bundles(bundle: Bundle, twin: Bundle, frames: np.ndarray | None) -> dict[str, RewritingParity]:
    """Run both on the same frames with the same masks, with each engine that they have.

    Args:
        bundle: the original.
        twin: with the same networks, rewritten.
        frames: as of write_edgetpu_bundle.
    """
    images = list(_self_test_frames(bundle) if frames is None else frames)
    engines = Engine(bundle), Engine(twin)
    found = {}
    for kind in engines[0].kinds:
        settings = replace(default_settings(bundle), engine=kind)
        same, differences, noise, name = [], [], [], kind
        for seed, frame in enumerate(progress(images, unit="image", label=f"parity, {kind}")):
            given: dict[str, Any] = {"bit_depth": 8, "centered": True, "settings": settings}
            first, second = (engine.segment(frame, seed=seed, **given) for engine in engines)
            again = engines[0].segment(frame, seed=len(images) + seed, **given)
            name = first.engine
            same.append(np.mean(first.class_map == second.class_map))
            differences.append(second.predictive_entropy - first.predictive_entropy)
            noise.append(np.abs(again.predictive_entropy - first.predictive_entropy).mean())
        found[name] = RewritingParity(
            images=len(images),
            passes=settings.passes,
            class_agreement=round(float(np.mean(same)), 5),
            entropy_difference=round(float(np.abs(differences).mean()), 5),
            entropy_bias=round(float(np.mean(differences)), 5),
            other_masks=round(float(np.mean(noise)), 5),
        )
    for engine in engines:
        engine.close()
    return found


def _self_test_frames(bundle: Bundle) -> list[np.ndarray]:
    return [decode_test_image(bundle, bundle.self_test.image, "image")]


def _file_entries(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a manifest says of each .tflite file: "file" and "sha256" of it."""
    for network in manifest["networks"]:
        yield network
        if "closed_form" in network:
            yield from (network["closed_form"][part] for part in CLOSED_FORM_PARTS)


def _replace(folder: Path, entry: dict[str, Any], change: Callable[[bytes], bytes]) -> None:
    path = folder / entry["file"]
    content = change(path.read_bytes())
    path.write_bytes(content)
    entry["sha256"] = hashlib.sha256(content).hexdigest()


def _compile(folder: Path, manifest: dict[str, Any], compiler: str) -> None:
    """Put what the compiler makes of the files in their place.

    What is run together is compiled together, so that it shares the chip's memory. Whole passes of a network that has
    the closed form need not be taken: their activations may be too large.
    """
    needed, spare = [], []
    for network in manifest["networks"]:
        parts = [network["closed_form"][part] for part in CLOSED_FORM_PARTS] if "closed_form" in network else []
        needed += parts or [network]
        spare += [network] if parts else []
    _run_compiler(compiler, folder, needed)
    for entry in spare:
        try:
            _run_compiler(compiler, folder, [entry])
        except ValueError as error:
            print(f"{error}: whole passes of this network stay on the CPU", file=sys.stderr)


def _run_compiler(compiler: str, folder: Path, entries: list[dict[str, Any]]) -> None:
    """Compile files together, and put the results in their place. Raises ValueError where the compiler fails."""
    files = [folder / entry["file"] for entry in entries]
    names = ", ".join(path.name for path in files)
    with tempfile.TemporaryDirectory(prefix="rubblemap_edgetpu_") as scratch:
        command = [compiler, "--out_dir", scratch, *map(str, files)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_COMPILE_S)
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"{compiler}: {names}: not done after {_COMPILE_S} s") from error
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise ValueError(f"{compiler}: {names}: {said[-1] if said else f'exit code {done.returncode}'}")
        for path, entry in zip(files, entries, strict=True):
            compiled = Path(scratch) / f"{path.stem}_edgetpu.tflite"
            if not compiled.is_file() or not is_compiled(compiled.read_bytes(), "edgetpu"):
                raise ValueError(f"{compiler}: {path.name}: expected a part for the Edge TPU, got none")
            content = compiled.read_bytes()
            path.write_bytes(content)
            entry["sha256"] = hashlib.sha256(content).hexdigest()


def _add_to_card(card: Path, version: str, parity: dict[str, RewritingParity]) -> None:
    if not card.is_file():
        return
    engines = "; ".join(
        f"{name}, {100 * each.class_agreement:.2f} % of the pixels of one class, predictive entropy "
        f"{each.entropy_difference:.4f} nat apart on average (with other masks: {each.other_masks:.4f})"
        for name, each in parity.items()
    )
    images = next(iter(parity.values())).images
    text = card.read_text(encoding="utf-8").rstrip("\n") + _CARD.format(version=version, images=images, engines=engines)
    card.write_text(text, encoding="utf-8")
