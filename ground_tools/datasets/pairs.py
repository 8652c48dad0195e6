"""Sets of image-mask pairs that come from elsewhere, in the store's format: any class table, grey or colour."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ground_tools.datasets.identity import finish_set
from ground_tools.datasets.store import (
    FORMAT_VERSION,
    SPLITS,
    read_description,
    sample_digest,
    shard_bytes,
    webp_bytes,
)
from ground_tools.foundation.files import write_whole
from ground_tools.foundation.names import check_name
from ground_tools.labels.class_table import IGNORED, ClassTable

_SHARD_SAMPLES = 100
# Parquet's readers fail on lists of fixed length that are null.
_UNKNOWN = [float("nan")] * 3
_NOTHING = np.zeros((0, 0), dtype=np.uint16)


@dataclass(frozen=True)
class Pair:
    """One image and its mask.

    Attributes:
        file: where it comes from, for people.
        domain: what it is like others in, as a camera's name; the store's column "body".
        split: train, validation or test.
        image: (H, W) or (H, W, 3) uint8.
        mask: (H, W) uint8, numbers of classes or IGNORED.
        source_size: height and width before it was brought to the set's size, pixels.
    """

    file: str
    domain: str
    split: str
    image: np.ndarray
    mask: np.ndarray
    source_size: tuple[int, ...]


@dataclass(frozen=True)
class PairSet:
    """What the description of a set of pairs states.

    Attributes:
        name: of the set.
        table: its classes.
        source: where the images come from, and under what terms, for people.
        split_by: how images were put into splits: "published", "image" or "group".
        seed: of what was drawn at random.
        publish_images: whether its images may be passed on, as in a bundle's self-test.
    """

    name: str
    table: ClassTable
    source: str
    split_by: str
    seed: int
    publish_images: bool


def pair_row(pair: Pair, table: ClassTable, number: int, seed: int) -> dict[str, Any]:
    """A pair as the store's row; number: within its domain and split.

    Raises:
        ValueError: the mask holds other values than the table's classes, or is of another size than the image.
    """
    if pair.mask.shape != pair.image.shape[:2]:
        raise ValueError(f"{pair.file}: expected a mask of {pair.image.shape[:2]} as the image, got {pair.mask.shape}")
    labelled = pair.mask[pair.mask != IGNORED]
    if len(labelled) and int(labelled.max()) >= len(table):
        raise ValueError(f"{pair.file}: expected classes 0..{len(table) - 1} or {IGNORED}, got {int(labelled.max())}")
    return {
        "body": pair.domain,
        "split": pair.split,
        "index": number,
        "seed": seed,
        "camera_km": _UNKNOWN,
        "sun_direction": _UNKNOWN,
        "class_pixels": np.bincount(labelled, minlength=len(table)).tolist(),
        "sha256": sample_digest(pair.image, pair.mask, _NOTHING, _NOTHING),
        "image": webp_bytes(pair.image),
        "mask": webp_bytes(pair.mask),
    }


def write_pairs(pairs: Iterable[Pair], about: PairSet, out: Path) -> dict[str, Any]:
    """Write a set of pairs; returns its description.

    Args:
        pairs: all of one size and one number of channels; one at a time is held in memory.
        about: for the description.
        out: folder to write.

    Raises:
        ValueError: there are no pairs, they do not fit each other or the classes, or the folder holds something else.
    """
    check_name(about.name, "name")
    clear_folder(out, about.name)
    counts: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[int, ...]] = Counter()
    record: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    shape: tuple[int, ...] | None = None
    shard = 0
    for pair in pairs:
        shape = shape or pair.image.shape
        if pair.image.shape != shape:
            raise ValueError(f"{pair.file}: expected an image of {shape} as the others, got {pair.image.shape}")
        check_name(pair.domain, f"{pair.file}: domain")
        number = counts[pair.domain, pair.split]
        rows.append(pair_row(pair, about.table, number, about.seed))
        record.append({"file": pair.file, "body": pair.domain, "split": pair.split, "index": number})
        counts[pair.domain, pair.split] += 1
        sizes[pair.source_size] += 1
        if len(rows) == _SHARD_SAMPLES:
            _write_shard(out, shard, rows)
            rows, shard = [], shard + 1
    if shape is None:
        raise ValueError(f"{about.name}: expected pairs of images and masks, got none")
    if rows:
        _write_shard(out, shard, rows)
    description = describe_pairs(about, shape, counts, sizes, record)
    return finish_set(out, description, len(record))


def describe_pairs(
    about: PairSet,
    shape: tuple[int, ...],
    counts: Counter[tuple[str, str]],
    sizes: Counter[tuple[int, ...]],
    record: list[dict[str, Any]],
) -> dict[str, Any]:
    """The description of a set, but for samples and sha256.

    Args:
        about: see PairSet.
        shape: (H, W) or (H, W, 3), of the images.
        counts: samples by domain and split.
        sizes: samples by height and width of their source.
        record: file, body, split and index of each sample.
    """
    channels = 1 if len(shape) == 2 else shape[2]
    domains = sorted({domain for domain, _ in counts})
    return {
        "format": FORMAT_VERSION,
        "name": about.name,
        **about.table.describe(),
        "image": f"{shape[1]} x {shape[0]}, {'one channel' if channels == 1 else 'red, green, blue'}, 8 bit",
        "channels": channels,
        "noise": None,
        "publish_images": about.publish_images,
        "source": about.source,
        "campaign": {
            "seed": about.seed,
            "split_by": about.split_by,
            "bodies": {domain: [counts[domain, split] for split in SPLITS] for domain in domains},
        },
        "source_sizes": [[*size, count] for size, count in sorted(sizes.items())],
        "images": record,
    }


def _write_shard(out: Path, number: int, rows: list[dict[str, Any]]) -> None:
    write_whole(out / "shards" / f"pairs-{number:04}.parquet", shard_bytes(rows))


def clear_folder(out: Path, name: str) -> None:
    """Make room for a set in a folder that is empty, or holds an earlier make of it.

    Raises:
        ValueError: it holds something else.
    """
    if not out.exists() or not any(out.iterdir()):
        return
    try:
        same = read_description(out)["name"] == name
    except ValueError:
        # A first make that was cut off has shards, and nothing besides.
        same = [path.name for path in out.iterdir()] == ["shards"]
    if not same:
        raise ValueError(f"{out}: expected an empty folder or an earlier make of {name}, got something else")
    for path in (out / "dataset.json", out / "index.parquet"):
        path.unlink(missing_ok=True)
    shutil.rmtree(out / "shards", ignore_errors=True)
