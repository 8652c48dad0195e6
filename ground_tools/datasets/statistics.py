"""What is in a set, from its index alone: counts, classes, geometry, size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ground_tools.datasets.store import SPLITS, known_numbers, read_description, read_index, shard_paths


def describe(path: Path) -> dict[str, Any]:
    """Statistics of a finished set (folder or packed file), as plain values for JSON.

    counts: body -> split -> samples. class_share: class -> mean share of the pixels. class_present: class -> share of
    the samples that show it. range_d0, phase_angle_deg: least, median, largest; None where no sample knows it, as of
    real images. bytes: on disk, with the index.
    """
    description = read_description(path)
    index = read_index(path)
    pixels = np.asarray(index["class_pixels"].to_pylist(), dtype=np.int64)
    names = description["classes"]
    bodies, splits = index["body"].to_pylist(), index["split"].to_pylist()
    pairs = list(zip(bodies, splits, strict=True))
    files = [path] if path.is_file() else [*shard_paths(path), path / "index.parquet", path / "dataset.json"]
    return {
        "name": description["name"],
        "sha256": description["sha256"],
        "samples": len(index),
        "bytes": sum(file.stat().st_size for file in files),
        "counts": {body: {split: pairs.count((body, split)) for split in SPLITS} for body in dict.fromkeys(bodies)},
        "class_share": dict(
            zip(names, (pixels / pixels.sum(axis=1, keepdims=True)).mean(axis=0).tolist(), strict=True)
        ),
        "class_present": dict(zip(names, (pixels > 0).mean(axis=0).tolist(), strict=True)),
        "range_d0": _spread(index["range_d0"]),
        "phase_angle_deg": _spread(index["phase_angle_deg"]),
    }


def _spread(column: Any) -> list[float] | None:
    values = known_numbers(column.drop_null())
    if not len(values):
        return None
    return [float(values.min()), float(np.median(values)), float(values.max())]


def as_text(statistics: dict[str, Any]) -> str:
    """The statistics as a text for the terminal."""
    lines = [
        f"{statistics['name']}: {statistics['samples']} samples, {statistics['bytes'] / 1e6:.1f} MB "
        f"({statistics['bytes'] / statistics['samples'] / 1e3:.1f} kB a sample)",
        f"sha256 {statistics['sha256']}",
        "",
        f"{'body':<24}{'train':>8}{'validation':>12}{'test':>8}",
        *(
            f"{body:<24}{counts['train']:>8}{counts['validation']:>12}{counts['test']:>8}"
            for body, counts in statistics["counts"].items()
        ),
        "",
        f"{'class':<24}{'pixels':>8}{'present in':>12}",
        *(
            f"{name:<24}{share:>8.1%}{statistics['class_present'][name]:>12.1%}"
            for name, share in statistics["class_share"].items()
        ),
        "",
        "range        " + _described("{:.2f} .. {:.2f} .. {:.2f} D0 (least, median, largest)", statistics["range_d0"]),
        "phase angle  " + _described("{:.1f} .. {:.1f} .. {:.1f} degrees", statistics["phase_angle_deg"]),
    ]
    return "\n".join(lines) + "\n"


def _described(form: str, values: list[float] | None) -> str:
    return "not known" if values is None else form.format(*values)
