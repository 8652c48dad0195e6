"""The sets of a training plan as a few files of even size, with what training needs of them and no more.

An archive part is a Parquet file; a row is a block of samples of one split of one set: the images as lossless WebP, as
sets store them, and the masks by every rule of smallest boulders that the plan's recipes have, joined into one plane of
codes, packed by bzip2. The identifiers that masks are made of stay at home, a fifth of a set. Test images are taken for
the encoder alone, which C-1 trains to name the body of any image of the set; their masks are not.
"""

from __future__ import annotations

import bz2
import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ground_tools.datasets.body_sets import BodySet, label_bodies
from ground_tools.datasets.store import PIXEL_COLUMNS, read_batches, read_description, webp_array, webp_bytes
from ground_tools.foundation.sampling import evenly
from ground_tools.labels.classes import CLASS_NAMES, TERMINATOR
from ground_tools.labels.stacking import stack_masks
from ground_tools.training.chain.unlabelled import is_image_folder, provenance_of, read_squares
from ground_tools.training.pixels import Pixels
from ground_tools.training.records import provenance

FORMAT = 2
DESCRIPTION_KEY = b"rubblemap_training_piece"
# Bodies on which nothing is ever trained: they are held out for evaluation.
HELD_OUT_BODIES = ("mathilde", "phobos")
_BLOCK_SAMPLES = 250
_SCHEMA = pa.schema(
    [
        pa.field("dataset", pa.string(), metadata={"meaning": "name in the plan"}),
        pa.field("split", pa.string(), metadata={"meaning": "train, validation or test"}),
        pa.field("places", pa.list_(pa.int32()), metadata={"meaning": "of the samples in the set's order"}),
        pa.field("bodies", pa.list_(pa.string()), metadata={"meaning": "of the samples"}),
        pa.field("images", pa.list_(pa.binary()), metadata={"meaning": "WebP of the samples, without noise"}),
        pa.field("masks", pa.binary(), metadata={"meaning": "bzip2 of the samples' codes; empty for test images"}),
        pa.field("sha256", pa.string(), metadata={"meaning": "over the raw pixels of all images, then the codes"}),
    ]
)


@dataclass(frozen=True)
class Wanted:
    """What a plan needs of a set.

    rules: least pixels of a boulder, each once. encoder: whether it trains one. labelled: whether it has masks; else it
    is a folder of images.
    """

    rules: tuple[int, ...]
    encoder: bool
    labelled: bool = True


@dataclass(frozen=True)
class PackedSet:
    """A set out of its parts, in the set's order.

    images: (N, S, S) uint8, without noise. codes: (N, S, S) uint8, the masks by all rules; 0 in test images. noise: as
    the set's description states it. provenance: as a training's record states it. labelled: whether the codes mean
    something.
    """

    name: str
    images: np.ndarray
    codes: np.ndarray
    splits: np.ndarray
    bodies: np.ndarray
    rules: tuple[int, ...]
    noise: dict[str, Any] | None
    provenance: dict[str, Any]
    labelled: bool = True

    def pixels(self, split: str, minimum_boulder_pixels: int) -> Pixels:
        """Images and masks of a split by one rule. Raises ValueError where there are none."""
        chosen = self.splits == split
        if minimum_boulder_pixels not in self.rules or not chosen.any() or split == "test":
            known = ", ".join(map(str, self.rules))
            raise ValueError(
                f"packed set {self.name}: expected split train or validation and boulders from {known} pixels on, "
                f"got {split} and {minimum_boulder_pixels}"
            )
        masks = self.codes[chosen] // len(CLASS_NAMES) ** self.rules.index(minimum_boulder_pixels) % len(CLASS_NAMES)
        return Pixels(self.images[chosen], masks, self.noise is not None)

    def body_set(self) -> BodySet:
        """C-1 of the set."""
        return label_bodies(self.name, self.images, self.bodies)

    def fraction(self, part: float) -> PackedSet:
        """So large a part of each split, at least two samples, evenly through it."""
        rows = [np.flatnonzero(self.splits == split) for split in sorted(set(self.splits.tolist()))]
        kept = np.sort(np.concatenate([r[evenly(len(r), max(2, round(part * len(r))))] for r in rows]))
        chosen = {name: getattr(self, name)[kept] for name in ("images", "codes", "splits", "bodies")}
        return replace(self, **chosen)


def write_archive(
    sets: Mapping[str, Path], wanted: Mapping[str, Wanted], out: Path, parts: int, bits: int = 8
) -> list[Path]:
    """Pack sets into so many files, part_1.parquet and so on, of about equal size. Returns them.

    sets: where each set of the plan is. bits: that grey levels of rendered training images keep; those of validation
    and real images keep all. Raises ValueError when a set is missing or not finished, or shows a body that is held out
    for evaluation.
    """
    if sorted(sets) != sorted(wanted):
        raise ValueError(
            f"--dataset: expected {', '.join(sorted(wanted))}, as the plan has, got {', '.join(sorted(sets))}"
        )
    described: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    # Squares of images without labels are as large as the images of the sets.
    for name, path in sorted(sets.items(), key=lambda item: not wanted[item[0]].labelled):
        if is_image_folder(path) == wanted[name].labelled:
            kind = "a set" if wanted[name].labelled else "a folder of images"
            raise ValueError(f"--dataset: expected {name} to be {kind}, as the plan has, got {path}")
        described[name] = {"rules": wanted[name].rules, "labelled": wanted[name].labelled}
        if wanted[name].labelled:
            noise = read_description(path)["noise"]
            described[name] |= {"noise": noise, "provenance": provenance(path)}
            rows += _blocks(name, path, wanted[name], 8 if noise is None else bits)
        else:
            squares = read_squares(path, len(webp_array(rows[0]["images"][0], "image")))
            described[name] |= {"noise": None, "provenance": provenance_of(path, squares)}
            rows += _unlabelled_blocks(name, squares)
    shares = _even_shares([_bytes_of(row) for row in rows], parts)
    identity = hashlib.sha256("".join(row["sha256"] for row in rows).encode()).hexdigest()
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, share in enumerate(shares, start=1):
        description = {"format": FORMAT, "piece": number, "pieces": parts, "sha256": identity, "sets": described}
        schema = _SCHEMA.with_metadata({DESCRIPTION_KEY: json.dumps(description).encode()})
        path = out / f"part_{number}.parquet"
        # Not compressed once more: WebP and bzip2 leave nothing to gain.
        pq.write_table(pa.Table.from_pylist([rows[i] for i in share], schema=schema), path, compression="none")
        paths.append(path)
    return paths


def read_archive(paths: list[Path]) -> dict[str, PackedSet]:
    """The packed sets by name, from all of their parts in any order.

    Raises ValueError naming the file that is no archive part or damaged, and when parts are missing or of another
    packing.
    """
    tables, numbers = [], []
    description: dict[str, Any] = {}
    for path in paths:
        table, found = _read_part(path)
        if description and found["sha256"] != description["sha256"]:
            raise ValueError(
                f"archive part {path}: expected a part of the same packing as {paths[0]}, got another one's"
            )
        tables.append(table)
        numbers.append(found["piece"])
        description = found
    if not paths or sorted(numbers) != list(range(1, description["pieces"] + 1)):
        expected = f"parts 1 to {description['pieces']}" if paths else "files"
        raise ValueError(f"--parts: expected {expected}, got {', '.join(map(str, numbers)) or 'none'}")
    rows = pa.concat_tables(tables).to_pylist()
    with ThreadPoolExecutor() as pool:
        unpacked = list(pool.map(_unpack, rows))
    return {
        name: _joined(name, known, [(r, u) for r, u in zip(rows, unpacked, strict=True) if r["dataset"] == name])
        for name, known in description["sets"].items()
    }


def _unlabelled_blocks(name: str, squares: list[tuple[str, bytes]]) -> Iterator[dict[str, Any]]:
    """The rows of a folder of images: all of them to train on, no masks."""
    for origin, _ in squares:
        _check_body(origin, Path(origin).name.lower())
    for first in range(0, len(squares), _BLOCK_SAMPLES):
        images = [data for _, data in squares[first : first + _BLOCK_SAMPLES]]
        places = list(range(first, first + len(images)))
        yield _row(name, "train", places, [""] * len(images), images, b"")


def _check_body(origin: str, body: str) -> None:
    for name in HELD_OUT_BODIES:
        if name in body:
            raise ValueError(f"{origin}: body {name}: expected none of it, it is held out for evaluation")


def _blocks(name: str, path: Path, wanted: Wanted, bits: int) -> Iterator[dict[str, Any]]:
    """The rows of a set, shards joined to blocks of one split. bits: that its training images keep."""
    place = 0
    waiting: list[dict[str, Any]] = []
    for table in read_batches(path, ["split", "body", *PIXEL_COLUMNS]):
        for sample in table.to_pylist():
            sample["place"] = place
            place += 1
            if sample["split"] == "test" and not wanted.encoder:
                continue
            _check_body(f"dataset {path}", sample["body"])
            if sample["split"] == "train" and bits < 8:
                sample["image"] = webp_bytes(keep_bits(webp_array(sample["image"], "image"), bits))
            if waiting and (sample["split"] != waiting[0]["split"] or len(waiting) == _BLOCK_SAMPLES):
                yield _block(name, waiting, wanted.rules)
                waiting = []
            waiting.append(sample)
    if waiting:
        yield _block(name, waiting, wanted.rules)


def keep_bits(image: np.ndarray, bits: int) -> np.ndarray:
    """The nearest of 2^bits grey levels, evenly from 0. (H, W) uint8 -> (H, W) uint8."""
    step = 1 << (8 - bits)
    rounded = (image.astype(np.uint16) + step // 2) // step * step
    return np.minimum(rounded, 256 - step).astype(np.uint8)


def _block(name: str, samples: list[dict[str, Any]], rules: tuple[int, ...]) -> dict[str, Any]:
    split = samples[0]["split"]
    codes = b"" if split == "test" else np.stack([_codes(sample, rules) for sample in samples]).tobytes()
    places, bodies, images = ([sample[column] for sample in samples] for column in ("place", "body", "image"))
    return _row(name, split, places, bodies, images, codes)


def _row(
    name: str, split: str, places: list[int], bodies: list[str], images: list[bytes], codes: bytes
) -> dict[str, Any]:
    total = hashlib.sha256(b"".join(webp_array(data, "image").tobytes() for data in images))
    total.update(codes)
    return {
        "dataset": name,
        "split": split,
        "places": places,
        "bodies": bodies,
        "images": images,
        "masks": bz2.compress(codes) if codes else b"",
        "sha256": total.hexdigest(),
    }


def _codes(sample: dict[str, Any], rules: tuple[int, ...]) -> np.ndarray:
    """The masks by all rules as the digits of one number. Returns (S, S) uint8."""
    mask, identifiers, ground = (webp_array(sample[name], name) for name in ("mask", "identifiers", "ground"))
    codes = np.zeros(mask.shape, np.uint8)
    for index, rule in enumerate(rules):
        codes += stack_masks(identifiers, ground, mask == TERMINATOR, rule) * np.uint8(len(CLASS_NAMES) ** index)
    return codes


def _bytes_of(row: dict[str, Any]) -> int:
    return sum(map(len, row["images"])) + len(row["masks"])


def _even_shares(sizes: list[int], count: int) -> list[list[int]]:
    """Which of the blocks go together so that their sizes are about equal: the largest first, each to the least."""
    shares: list[list[int]] = [[] for _ in range(count)]
    totals = [0] * count
    for block in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        least = totals.index(min(totals))
        shares[least].append(block)
        totals[least] += sizes[block]
    return [sorted(share) for share in shares]


def _read_part(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    try:
        table = pq.read_table(path)
        description = json.loads((table.schema.metadata or {})[DESCRIPTION_KEY])
    except (OSError, KeyError, json.JSONDecodeError, pa.ArrowInvalid) as error:
        raise ValueError(f"archive part {path}: expected a file of `train-chain pack` ({error})") from error
    if description["format"] != FORMAT:
        raise ValueError(
            f"archive part {path}: expected format {FORMAT}, got {description['format']}; pack the sets again"
        )
    return table, description


def _unpack(row: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Images and codes of a block, (N, S, S) uint8 each. Raises ValueError where they are not what was packed."""
    images = np.stack([webp_array(data, "image") for data in row["images"]])
    codes = bz2.decompress(row["masks"]) if row["masks"] else b""
    total = hashlib.sha256(images.tobytes())
    total.update(codes)
    if total.hexdigest() != row["sha256"]:
        raise ValueError(f"packed set {row['dataset']}: expected pixels of hash {row['sha256']}, got others")
    if not codes:
        return images, np.zeros_like(images)
    return images, np.frombuffer(codes, np.uint8).reshape(images.shape)


def _joined(name: str, known: dict[str, Any], blocks: list[tuple[dict[str, Any], Any]]) -> PackedSet:
    order = np.argsort(np.concatenate([row["places"] for row, _ in blocks]), kind="stable")
    return PackedSet(
        name,
        np.concatenate([images for _, (images, _) in blocks])[order],
        np.concatenate([codes for _, (_, codes) in blocks])[order],
        np.concatenate([[row["split"]] * len(row["places"]) for row, _ in blocks])[order],
        np.concatenate([row["bodies"] for row, _ in blocks])[order],
        tuple(known["rules"]),
        known["noise"],
        known["provenance"],
        known["labelled"],
    )
