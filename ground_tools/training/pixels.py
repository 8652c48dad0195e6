"""Images and masks of one split for training: in memory, or in a file from which batches are read as they come."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ground_tools.datasets.store import (
    PIXEL_COLUMNS,
    channels_of,
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
    """images: (N, H, W) or (N, H, W, 3) uint8, without noise. masks: (N, H, W) uint8 classes. Either may be mapped.

    noisy: whether networks are to see them with the paper's noise; real images have their own.
    """

    images: np.ndarray
    masks: np.ndarray
    noisy: bool = True

    def __len__(self) -> int:
        return len(self.images)

    def chosen(self, rows: np.ndarray) -> Pixels:
        """The samples of some rows."""
        return Pixels(self.images[rows], self.masks[rows], self.noisy)

    def some(self, count: int) -> Pixels:
        """So many of the samples, evenly through them; all for 0 or where there are no more."""
        if count in range(1, len(self)):
            return self.chosen(evenly(len(self), count))
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
    description = read_description(dataset)
    noisy, channels = description["noise"] is not None, channels_of(description)
    if folder is None:
        return _as_pixels(_unpack(dataset, split, minimum_boulder_pixels, count, None), channels, noisy)
    path = folder / f"{_digest(dataset, split)[:20]}_{minimum_boulder_pixels}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        _unpack(dataset, split, minimum_boulder_pixels, count, part)
        part.replace(path)
    return _as_pixels(np.load(path, mmap_mode="r"), channels, noisy)


def read_size(dataset: Path) -> tuple[int, int]:
    """Height and width of a set's images, pixels."""
    for table in read_batches(dataset, ["mask"]):
        for data in table["mask"].to_pylist()[:1]:
            height, width = webp_array(data, "mask").shape
            return height, width
    raise ValueError(f"dataset {dataset}: expected samples, got none")


def read_domains(dataset: Path, split: str) -> np.ndarray:
    """The domain (body, camera) of each sample of a split, in the order of `read_pixels`; (N,) names."""
    index = read_index(dataset)
    return np.asarray(index.filter(pc.equal(index["split"], split))["body"].to_pylist())


def _as_pixels(planes: np.ndarray, channels: int, noisy: bool) -> Pixels:
    """planes: (channels + 1, N, H, W), the last one the masks."""
    images = planes[0] if channels == 1 else planes[:channels].transpose(1, 2, 3, 0)
    return Pixels(images, planes[channels], noisy)


def _digest(dataset: Path, split: str) -> str:
    """SHA-256 over the samples of a split: sets of one content may differ in their splits."""
    index = read_index(dataset)
    return content_digest(index.filter(pc.equal(index["split"], split)))


def _unpack(dataset: Path, split: str, minimum_boulder_pixels: int, count: int, path: Path | None) -> np.ndarray:
    """(C + 1, N, H, W) uint8, images and masks; decoded shard by shard: one alone is in memory with its identifiers."""
    channels = channels_of(read_description(dataset))
    both: np.ndarray | None = None
    done = 0
    label = f"{dataset.name}: read {split}"
    with ThreadPoolExecutor() as pool, progress(total=count, unit="sample", label=label, keep=False) as bar:
        for table in read_batches(dataset, ["split", "body", *PIXEL_COLUMNS]):
            chosen = chosen_rows(table, [split], None)
            images = list(pool.map(lambda data: webp_array(data, "image", channels), chosen["image"].to_pylist()))
            masks = list(pool.map(lambda row: _mask(row, minimum_boulder_pixels), _rows(chosen)))
            if not images:
                continue
            if both is None:
                shape = (channels + 1, count, *images[0].shape[:2])
                both = (
                    np.empty(shape, dtype=np.uint8)
                    if path is None
                    else np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
                )
            stacked = np.stack(images)
            rows = slice(done, done + len(images))
            both[:channels, rows] = stacked[None] if channels == 1 else stacked.transpose(3, 0, 1, 2)
            both[channels, rows] = masks
            done += len(images)
            bar.update(len(images))
    if both is None or done != count:
        raise ValueError(f"dataset {dataset}: expected {count} samples in split {split}, as its index has, got {done}")
    if isinstance(both, np.memmap):
        both.flush()
    return both


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    return list(table.select(["mask", "identifiers", "ground"]).to_pylist())


def _mask(row: dict[str, Any], minimum_boulder_pixels: int) -> np.ndarray:
    if row["identifiers"] is None:
        # Of another mission: its classes are what its masks say.
        return webp_array(row["mask"], "mask")
    mask, identifiers, ground = (webp_array(row[name], name) for name in ("mask", "identifiers", "ground"))
    return stack_masks(identifiers, ground, mask == TERMINATOR, minimum_boulder_pixels)
