"""What is in a set: counts, classes, geometry, size, digests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ground_tools.datasets.figures import SetStatistics, Spread
from ground_tools.datasets.identity import labels_sha256
from ground_tools.datasets.store import SPLITS, known_numbers, read_description, read_index, shard_paths
from ground_tools.pages.blocks import Table, percent
from ground_tools.pages.text import text_table


def describe(path: Path) -> SetStatistics:
    """Statistics of a finished set (folder or packed file)."""
    description = read_description(path)
    index = read_index(path)
    pixels = np.asarray(index["class_pixels"].to_pylist(), dtype=np.int64)
    names = description["classes"]
    bodies, splits = index["body"].to_pylist(), index["split"].to_pylist()
    pairs = list(zip(bodies, splits, strict=True))
    files = [path] if path.is_file() else [*shard_paths(path), path / "index.parquet", path / "dataset.json"]
    return SetStatistics(
        name=description["name"],
        sha256=description["sha256"],
        labels_sha256=labels_sha256(path),
        samples=len(index),
        bytes=sum(file.stat().st_size for file in files),
        counts={body: {split: pairs.count((body, split)) for split in SPLITS} for body in dict.fromkeys(bodies)},
        class_share=dict(
            zip(names, (pixels / np.maximum(pixels.sum(axis=1, keepdims=True), 1)).mean(axis=0).tolist(), strict=True)
        ),
        class_present=dict(zip(names, (pixels > 0).mean(axis=0).tolist(), strict=True)),
        range_d0=_spread(index["range_d0"]),
        phase_angle_deg=_spread(index["phase_angle_deg"]),
    )


def _spread(column: Any) -> Spread:
    values = known_numbers(column.drop_null())
    if not len(values):
        return None
    return float(values.min()), float(np.median(values)), float(values.max())


def as_text(s: SetStatistics) -> str:
    """The statistics as a text for the terminal."""
    size = f"{s.bytes / 1e6:.1f} MB ({s.bytes / s.samples / 1e3:.1f} kB a sample)"
    counts = [[body, *(str(of_split[split]) for split in SPLITS)] for body, of_split in s.counts.items()]
    shares = [
        [name, f"{percent(share)} %", f"{percent(s.class_present[name])} %"] for name, share in s.class_share.items()
    ]
    digests = f"sha256 {s.sha256}\nlabels_sha256 {s.labels_sha256} (geometry and labels)"
    parts = [
        f"{s.name}: {s.samples} samples, {size}\n{digests}",
        text_table(Table(["body", *SPLITS], counts)),
        text_table(Table(["class", "pixels", "present in"], shares)),
        "range        "
        + _described("{:.2f} .. {:.2f} .. {:.2f} D0 (least, median, largest)", s.range_d0)
        + "\nphase angle  "
        + _described("{:.1f} .. {:.1f} .. {:.1f} degrees", s.phase_angle_deg),
    ]
    return "\n\n".join(parts) + "\n"


def _described(form: str, values: Spread) -> str:
    return "not known" if values is None else form.format(*values)
