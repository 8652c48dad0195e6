"""Images and masks of one split for training: in memory, or in a file from which batches are read as they come."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ground_tools.datasets.store import (
    PIXEL_COLUMNS,
    chosen_rows,
    content_digest,
    read_batches,
    read_description,
    read_index,
    webp_array,
)
from ground_tools.foundation.progress import progress
from ground_tools.foundation.sampling import evenly
from ground_tools.labels.classes import TERMINATOR
from ground_tools.labels.stacking import stack_masks


@dataclass(frozen=True)
class Pixels:
    """images: (N, H, W) uint8, without noise. masks: (N, H, W) uint8 classes. Either may be mapped from a file.

    noisy: whether networks are to see them with the paper's noise; real images have their own.
    """

    images: np.ndarray
    masks: np.ndarray
    noisy: bool = True

    def __len__(self) -> int:
        return len(self.images)

    def some(self, count: int) -> Pixels:
        """So many of the samples, evenly through them; all for 0 or where there are no more."""
        if count in range(1, len(self)):
            chosen = evenly(len(self), count)
            return Pixels(self.images[chosen], self.masks[chosen], self.noisy)
        return self


def read_pixels(dataset: Path, split: str, minimum_boulder_pixels: int, folder: Path | None = None) -> Pixels:
    """Read a split, its masks by the rule that a rock is a boulder from so many visible pixels on.

    folder: where to unpack the split to, 2 bytes a pixel, to be mapped instead of held in memory; None: in memory. What
    was unpacked there before is used again, if it is of the same set, split and rule. Raises ValueError naming the set
    when it is not finished or holds no such sample.
    """
    splits = read_index(dataset)["split"]
    count = int(pc.sum(pc.equal(splits, split)).as_py() or 0)
    if count == 0:
        raise ValueError(f"dataset {dataset}: expected samples in split {split}, got none")
    noisy = read_description(dataset)["noise"] is not None
    if folder is None:
        both = _unpack(dataset, split, minimum_boulder_pixels, count, None)
        return Pixels(both[0], both[1], noisy)
    path = folder / f"{_digest(dataset, split)[:20]}_{minimum_boulder_pixels}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        _unpack(dataset, split, minimum_boulder_pixels, count, part)
        part.replace(path)
    both = np.load(path, mmap_mode="r")
    return Pixels(both[0], both[1], noisy)


def _digest(dataset: Path, split: str) -> str:
    """SHA-256 over the samples of a split: sets of one content may differ in their splits."""
    index = read_index(dataset)
    return content_digest(index.filter(pc.equal(index["split"], split)))


def _unpack(dataset: Path, split: str, minimum_boulder_pixels: int, count: int, path: Path | None) -> np.ndarray:
    """(2, N, H, W) uint8, images and masks; decoded shard by shard: one alone is in memory with its identifiers."""
    both: np.ndarray | None = None
    done = 0
    label = f"{dataset.name}: read {split}"
    with ThreadPoolExecutor() as pool, progress(total=count, unit="sample", label=label, keep=False) as bar:
        for table in read_batches(dataset, ["split", "body", *PIXEL_COLUMNS]):
            rows = chosen_rows(table, [split], None)
            images = list(pool.map(lambda data: webp_array(data, "image"), rows["image"].to_pylist()))
            masks = list(pool.map(lambda row: _mask(row, minimum_boulder_pixels), _rows(rows)))
            if not images:
                continue
            if both is None:
                shape = (2, count, *images[0].shape)
                both = (
                    np.empty(shape, dtype=np.uint8)
                    if path is None
                    else np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
                )
            both[0, done : done + len(images)], both[1, done : done + len(images)] = images, masks
            done += len(images)
            bar.update(len(images))
    if both is None or done != count:
        raise ValueError(f"dataset {dataset}: expected {count} samples in split {split}, as its index has, got {done}")
    if isinstance(both, np.memmap):
        both.flush()
    return both


def _rows(table: pa.Table) -> list[dict[str, bytes]]:
    return list(table.select(["mask", "identifiers", "ground"]).to_pylist())


def _mask(row: dict[str, bytes], minimum_boulder_pixels: int) -> np.ndarray:
    mask, identifiers, ground = (webp_array(row[name], name) for name in ("mask", "identifiers", "ground"))
    return stack_masks(identifiers, ground, mask == TERMINATOR, minimum_boulder_pixels)
