"""D-4 and its like: sets of real images with hand labels, in the format of the rendered sets."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ground_tools.datasets.store import (
    FORMAT_VERSION,
    SPLITS,
    LoadedSet,
    load,
    read_description,
    sample_digest,
    shard_bytes,
    webp_bytes,
    write_description,
    write_index,
)
from ground_tools.foundation.files import write_whole
from ground_tools.labelling.annotations import Annotation
from ground_tools.labelling.checks import usable
from ground_tools.labelling.collection import D4_LABELS, Rules, read_image, read_manifest, read_rules
from ground_tools.labelling.label_files import read_labels
from ground_tools.labelling.rasterisation import Sample, crop_of, is_too_small, sample_of
from ground_tools.labelling.splits import split_by_body, split_by_image
from ground_tools.labels.classes import CLASS_NAMES

SIZES = (128, 256)
SPLIT_KINDS = ("image", "body")
# Each image gives four samples, as in the reference paper; which flips and turns it took is not told there.
COPIES = ("as it is", "mirrored left to right", "turned by 90 degrees", "turned by 180 degrees")
_SHARD_SAMPLES = 100
# Parquet's readers fail on lists of fixed length that are null.
_UNKNOWN = [float("nan")] * 3


@dataclass(frozen=True)
class RealImage:
    """One labelled image of a set: its name in manifest.csv, body, group, labels and sample."""

    file: str
    body: str
    group: str
    annotation: Annotation
    sample: Sample


def make_copies(array: np.ndarray) -> list[np.ndarray]:
    """The four copies of a square image or mask, in the order of COPIES."""
    return [array, array[:, ::-1], np.rot90(array), np.rot90(array, 2)]


def read_real(images: Path, labels: Path = D4_LABELS, size: int = 128) -> tuple[list[RealImage], Rules, list[str]]:
    """All images that a person has labelled, their samples, the set's rules, and what is wrong: it is left out.

    images: a folder with manifest.csv. labels: a folder of label files. Raises ValueError when the folder of images is
    none, or nothing can be used.
    """
    if size not in SIZES:
        raise ValueError(f"size: expected {' or '.join(map(str, SIZES))}, got {size}")
    entries, rules = read_manifest(images), read_rules(labels)
    annotations, problems = read_labels(labels, entries)
    found = []
    for file, annotation in sorted(annotations.items(), key=lambda item: (entries[item[0]].body, item[0])):
        if not annotation.labelled or file in rules.excluded:
            continue
        try:
            image = read_image(images, entries[file])
            if image.shape != (annotation.height, annotation.width):
                raise ValueError(
                    f"{file}: expected {image.shape[1]} x {image.shape[0]} pixels as the image has, "
                    f"got {annotation.width} x {annotation.height}"
                )
            fit, wrong = usable(annotation)
            problems += wrong
            sample = sample_of(image, fit, size, rules.minimum_across, rules.margin)
        except ValueError as error:
            problems.append(f"{error}; left out")
            continue
        found.append(RealImage(file, entries[file].body, rules.group_of(file), fit, sample))
    if not found:
        raise ValueError(f"{labels}: expected labelled images of {images}, found none that can be used")
    shown = set(np.unique(np.concatenate([np.unique(image.sample.mask) for image in found])).tolist())
    problems += [f"class {name}: empty, no image shows it" for k, name in enumerate(CLASS_NAMES) if k not in shown]
    return found, rules, problems


def splits_of(found: list[RealImage], rules: Rules, kind: str) -> list[str]:
    """The split of each image. kind: image or body. Raises ValueError as split_by_body does."""
    bodies, groups = [image.body for image in found], [image.group for image in found]
    if kind == "body":
        by_body = rules.split_by_body
        return split_by_body(bodies, groups, by_body.train, by_body.test, by_body.validation_share, rules.seed)
    if kind != "image":
        raise ValueError(f"split: expected {' or '.join(SPLIT_KINDS)}, got {kind!r}")
    return split_by_image(bodies, groups, rules.split_by_image.shares, rules.seed)


def build(found: list[RealImage], rules: Rules, out: Path, kind: str = "image") -> dict[str, Any]:
    """Write a set of the ordinary format; returns its description.

    What a rendered set knows of camera and sun is null, or NaN in vectors. Raises ValueError when the folder holds
    anything but an earlier make of the same set.
    """
    _clear_folder(out, rules.name)
    splits = splits_of(found, rules, kind)
    size = found[0].sample.image.shape[0]
    counts: dict[str, list[int]] = {body: [0, 0, 0] for body in sorted({image.body for image in found})}
    record, rows = [], []
    for image, split in zip(found, splits, strict=True):
        first = counts[image.body][SPLITS.index(split)]
        counts[image.body][SPLITS.index(split)] += len(COPIES)
        rows += _rows(image, split, first, rules.seed)
        record.append(
            {
                "file": image.file,
                "sha256": image.annotation.sha256,
                "body": image.body,
                "group": image.group,
                "split": split,
                "samples": [first, first + len(COPIES) - 1],
                "silhouette": image.annotation.silhouette,
            }
        )
    description = {
        "format": FORMAT_VERSION,
        "name": rules.name,
        "classes": list(CLASS_NAMES),
        "image": f"{size} x {size}, one channel, 8 bit, real images as published, with their cameras' noise",
        "noise": None,
        "publish_images": False,
        "campaign": {"seed": rules.seed, "split_by": kind, "bodies": counts},
        "minimum_across_px_of_128": rules.minimum_across,
        "copies": list(COPIES),
        "overview": overview(found, rules),
        "images": record,
    }
    write_description(out, description)
    for number, start in enumerate(range(0, len(rows), _SHARD_SAMPLES)):
        write_whole(out / "shards" / f"real-{number:03}.parquet", shard_bytes(rows[start : start + _SHARD_SAMPLES]))
    description |= {"samples": len(rows), "sha256": write_index(out)}
    write_description(out, description)
    return description


def _clear_folder(out: Path, name: str) -> None:
    if not out.exists() or not any(out.iterdir()):
        return
    try:
        same = read_description(out)["name"] == name and "copies" in read_description(out)
    except ValueError:
        same = False
    if not same:
        raise ValueError(f"{out}: expected an empty folder or an earlier make of {name}, found something else")
    shutil.rmtree(out / "shards", ignore_errors=True)


def _rows(image: RealImage, split: str, first: int, seed: int) -> list[dict[str, Any]]:
    sample = image.sample
    rows = []
    turned = zip(*(make_copies(a) for a in (sample.image, sample.mask, sample.identifiers, sample.ground)), strict=True)
    for number, arrays in enumerate(turned):
        grey, mask, identifiers, ground = (np.ascontiguousarray(array) for array in arrays)
        rows.append(
            {
                "body": image.body,
                "split": split,
                "index": first + number,
                "seed": seed,
                "camera_km": _UNKNOWN,
                "sun_direction": _UNKNOWN,
                "class_pixels": np.bincount(mask.ravel(), minlength=len(CLASS_NAMES)).tolist(),
                "sha256": sample_digest(grey, mask, identifiers, ground),
                "image": webp_bytes(grey),
                "mask": webp_bytes(mask),
                "identifiers": webp_bytes(identifiers),
                "ground": webp_bytes(ground),
            }
        )
    return rows


def load_real(
    images: Path,
    split: str | None = None,
    labels: Path = D4_LABELS,
    size: int = 128,
    kind: str = "image",
    identifiers: bool = False,
) -> tuple[LoadedSet, list[str]]:
    """Samples in memory as store.load gives them, straight from images and labels; and what was left out."""
    found, rules, problems = read_real(images, labels, size)
    with tempfile.TemporaryDirectory() as folder:
        build(found, rules, Path(folder), kind)
        return load(Path(folder), split, identifiers=identifiers), problems


def overview(found: list[RealImage], rules: Rules) -> dict[str, Any]:
    """What `dataset info` tells of real images: counts, both splits, class balance, as plain values for JSON.

    images, pairs: numbers. bodies: body -> images. shapes: label -> number of those in use. split_by_image,
    split_by_body: body -> images in train, validation, test (null where set.toml has no lists of bodies). class_share,
    class_present: as of rendered sets.
    """
    masks = np.stack([image.sample.mask for image in found])
    shares = [float((masks == k).mean()) for k in range(len(CLASS_NAMES))]
    present = [float((masks == k).any(axis=(1, 2)).mean()) for k in range(len(CLASS_NAMES))]
    bodies = sorted({image.body for image in found})
    labels = [
        shape.label
        for image in found
        for shape in image.annotation.shapes
        if not is_too_small(shape, crop_of(image.annotation, rules.margin), rules.minimum_across)
    ]
    return {
        "name": rules.name,
        "images": len(found),
        "pairs": len(found) * len(COPIES),
        "groups": len({image.group for image in found}),
        "bodies": {body: sum(image.body == body for image in found) for body in bodies},
        "shapes": {label: labels.count(label) for label in dict.fromkeys(labels)},
        "silhouettes_inferred": sum(image.annotation.silhouette == "inferred" for image in found),
        "split_by_image": _split_table(found, rules, "image", bodies),
        "split_by_body": _split_table(found, rules, "body", bodies) if rules.split_by_body.test else None,
        "class_share": dict(zip(CLASS_NAMES, shares, strict=True)),
        "class_present": dict(zip(CLASS_NAMES, present, strict=True)),
    }


def _split_table(found: list[RealImage], rules: Rules, kind: str, bodies: list[str]) -> dict[str, list[int]]:
    pairs = list(zip([image.body for image in found], splits_of(found, rules, kind), strict=True))
    return {body: [pairs.count((body, split)) for split in SPLITS] for body in bodies}


def as_text(figures: dict[str, Any]) -> str:
    """The overview as a text for the terminal."""
    lines = [
        f"{figures['name']}: {figures['images']} real images of {len(figures['bodies'])} bodies, "
        f"{figures['pairs']} pairs (each image {len(COPIES)} times)",
        f"shapes: {', '.join(f'{count} {label}' for label, count in figures['shapes'].items())}; "
        f"{figures['silhouettes_inferred']} outlines inferred; {figures['groups']} groups of images that show the same",
    ]
    for kind in SPLIT_KINDS:
        table = figures[f"split_by_{kind}"]
        if table is None:
            lines += ["", "split by body: set.toml names no bodies for train and test"]
            continue
        lines += ["", f"{f'split by {kind}, images':<24}{'train':>8}{'validation':>12}{'test':>8}"]
        lines += [f"{body:<24}{c[0]:>8}{c[1]:>12}{c[2]:>8}" for body, c in table.items()]
        totals = [sum(c[k] for c in table.values()) for k in range(3)]
        lines.append(f"{'all':<24}{totals[0]:>8}{totals[1]:>12}{totals[2]:>8}")
    lines += ["", f"{'class':<24}{'pixels':>8}{'present in':>12}"]
    lines += [
        f"{name:<24}{s:>8.1%}{figures['class_present'][name]:>12.1%}" for name, s in figures["class_share"].items()
    ]
    return "\n".join(lines) + "\n"
