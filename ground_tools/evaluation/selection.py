"""Which samples of a set are evaluated: a split, an even share of every body, of the classes and size of the bundle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from flight.bundle import Bundle
from ground_tools.datasets.identity import evaluated_labels
from ground_tools.datasets.store import SPLITS, LoadedSet, content_digest, load, read_description, read_index
from ground_tools.evaluation.passes import camera_frames
from ground_tools.foundation.sampling import even_share
from ground_tools.training.records import set_name, split_rule


@dataclass(frozen=True)
class Selection:
    """Samples that are to be evaluated.

    name: of the set, as results call it (see records.set_name); sha256: of its content but for the training split, so
    that a set of which that split grows, or was never rendered, has the figures of the whole one; labels_sha256: of the
    same but for the grey levels, see datasets.identity. split: the one asked
    for, or "all" where the set has no splits; split_by: the rule of the splits that it states, if any. total: samples
    in the split. noise: what its images get before a network sees them, as the set states it; None for real ones, with
    their own. publish_images: whether its images may be shown. positions: (N,) int64, places in the split, the seeds of
    the masks. views: (N,) int64, one number for samples that show one view (copies of a real image, crops of one
    picture): figures of such samples are not independent.
    """

    path: Path
    name: str
    sha256: str
    labels_sha256: str
    split: str
    split_by: str | None
    total: int
    noise: dict[str, Any] | None
    publish_images: bool
    positions: np.ndarray
    views: np.ndarray
    samples: LoadedSet

    @property
    def label(self) -> str:
        """How results name these samples: by the set, and by the split where it is not the one for results."""
        return self.name if self.split in ("test", "all") else f"{self.name}_{self.split}"

    def frames(self) -> np.ndarray:
        """The images as a camera gives them to the networks, (N, H, W) uint8."""
        return camera_frames(self.samples.images, self.noise)

    def __len__(self) -> int:
        return len(self.positions)


def views(description: dict[str, Any], samples: LoadedSet) -> np.ndarray:
    """A number for every view that samples show, from the images that a set of real ones lists; else one for each.

    Returns (N,) int64, the same for samples of one group of images.
    """
    groups: dict[tuple[str, str, int], str] = {}
    for image in description.get("images", []):
        first, last = image["samples"]
        groups |= {(image["body"], image["split"], index): image["group"] for index in range(first, last + 1)}
    keys = zip(samples.bodies.tolist(), samples.splits.tolist(), samples.indices.tolist(), strict=True)
    names = [groups.get(key, str(key)) for key in keys]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def splits_of(path: Path) -> list[str]:
    """The splits in which a finished set has samples."""
    present = set(read_index(path)["split"].to_pylist())
    return [split for split in SPLITS if split in present]


def _evaluated_digest(path: Path) -> str:
    """SHA-256 over the samples of a set outside its training split, in order; over all where there is nothing else."""
    index = read_index(path)
    kept = index.filter(pc.not_equal(index["split"], "train"))
    return content_digest(kept if len(kept) else index)


@lru_cache(maxsize=64)
def _labels_of_content(path: Path, content: str) -> str:
    """The digest over geometry and labels of what has a content: each set is asked for it several times."""
    return evaluated_labels(path)


def select(path: Path, split: str, count: int, bundle: Bundle, identifiers: bool = False) -> Selection:
    """Load the samples of a set that a bundle is to be evaluated on.

    split: where it is "test", a set that has neither a test nor a training split gives all of its samples. count: so
    many samples, an even share of every body; 0 for all. Raises ValueError naming the set when it has not the bundle's
    classes or image size, or no such split.
    """
    description = read_description(path)
    expected = [definition.name for definition in bundle.classes]
    if description["classes"] != expected:
        raise ValueError(
            f"dataset {path}: classes: expected {', '.join(expected)}, as bundle {bundle.name} has, "
            f"got {', '.join(description['classes'])}"
        )
    present = splits_of(path)
    asked = split if split in present else None
    if asked is None and (split != "test" or "train" in present):
        raise ValueError(f"dataset {path}: expected samples in split {split}, got {', '.join(present)}")
    loaded = load(path, asked, identifiers=identifiers)
    if loaded.images.shape[1:] != (bundle.height, bundle.width):
        raise ValueError(
            f"dataset {path}: images: expected {bundle.height} x {bundle.width} pixels, as bundle {bundle.name} takes, "
            f"got {loaded.images.shape[1]} x {loaded.images.shape[2]}"
        )
    positions = even_share(loaded.bodies, count)
    content = _evaluated_digest(path)
    return Selection(
        path=path,
        name=set_name(description),
        sha256=content,
        labels_sha256=_labels_of_content(path, content),
        split=asked or "all",
        split_by=split_rule(description),
        total=len(loaded),
        noise=description["noise"],
        publish_images=description.get("publish_images", True),
        positions=positions,
        views=views(description, loaded)[positions],
        samples=loaded.chosen(positions),
    )
