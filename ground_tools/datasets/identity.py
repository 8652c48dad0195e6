"""What a set is known by: a digest over all of it, and one over geometry and labels alone.

Grey levels of rendered images depend on the processor's vector units in their last bits, so that the same campaign has
another sha256 elsewhere, though nothing is seen or measured differently. Two sets of one labels_sha256 differ in grey
levels at most.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ground_tools.datasets.store import (
    AIM,
    SPLITS,
    chosen_rows,
    read_batches,
    read_description,
    sample_schema,
    webp_array,
    write_description,
    write_index,
)

_NAMES = ("body", "split", "index")
_VECTORS = ("camera_km", AIM.name, "sun_direction")
_NUMBERS = ("range_km", "range_d0", "phase_angle_deg", "time_s")
_LABELS = ("mask", "identifiers", "ground")
# Geometry counts to so many digits: trigonometric functions differ in the last ones from processor to processor.
_DIGITS = 6


def labels_digest(path: Path, splits: list[str] | None = None, bodies: list[str] | None = None) -> str:
    """SHA-256 over geometry and labels of a set's samples, in order; of some splits or bodies, or of all.

    Geometry counts to six digits, and labels, which are masks, identifiers and ground, by the pixel.
    """
    return _digest(path, read_description(path), splits, bodies)


def _digest(path: Path, description: dict[str, Any], splits: list[str] | None, bodies: list[str] | None) -> str:
    there = sample_schema(description).names
    columns = [*_NAMES, *(name for name in _VECTORS if name in there), *_NUMBERS, *_LABELS]
    total = hashlib.sha256()
    with ThreadPoolExecutor() as pool:
        for table in read_batches(path, columns):
            for digest in pool.map(_sample_digest, chosen_rows(table, splits, bodies).to_pylist()):
                total.update(digest)
    return total.hexdigest()


def labels_sha256(path: Path) -> str:
    """The digest over geometry and labels that a set states; computed, of one that was made before there were any."""
    stated = read_description(path).get("labels_sha256")
    return labels_digest(path) if stated is None else str(stated)


def evaluated_labels(path: Path) -> str:
    """The digest over geometry and labels of what evaluation may look at: all splits but the one for training.

    Over all samples where there is nothing else.
    """
    parts = [split for split in SPLITS if split != "train"]
    held = {name for table in read_batches(path, ["split"]) for name in table["split"].to_pylist()}
    return labels_digest(path, parts if held & set(parts) else None)


def finish_set(folder: Path, description: dict[str, Any], samples: int) -> dict[str, Any]:
    """Write the index of a set whose shards are all there, and its description with both digests; returns that.

    Args:
        folder: of the set.
        description: without samples and digests.
        samples: how many there are.
    """
    finished = {**description, "samples": samples, "sha256": write_index(folder)}
    finished["labels_sha256"] = _digest(folder, finished, None, None)
    write_description(folder, finished)
    return finished


def _sample_digest(row: dict[str, Any]) -> bytes:
    total = hashlib.sha256()
    total.update("\n".join([*(str(row[name]) for name in _NAMES), *_geometry(row)]).encode())
    for name in _LABELS:
        if row[name] is not None:
            labels = webp_array(row[name], name)
            total.update(f"\n{name} {labels.shape}\n".encode())
            total.update(labels.tobytes())
    return total.digest()


def _geometry(row: dict[str, Any]) -> Iterable[str]:
    """Geometry as text: vectors by their length and their components over it."""
    for name in _VECTORS:
        if name in row:
            vector = np.asarray(row[name], dtype=np.float64)
            length = float(np.linalg.norm(vector))
            yield f"{length:.{_DIGITS}g}"
            # Adding 0 makes a rounded -0 one that is written like 0.
            yield from (f"{value:.{_DIGITS}f}" for value in np.round(vector / (length or 1.0), _DIGITS) + 0.0)
    for name in _NUMBERS:
        value = row[name]
        yield "unknown" if value is None or not np.isfinite(value) else f"{value:.{_DIGITS}g}"
