"""D-4 and its like: sets of real images with hand labels, in the format of the rendered sets."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ground_tools.datasets.identity import finish_set
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
)
from ground_tools.foundation.files import write_whole
from ground_tools.labelling.annotations import Annotation, Crop
from ground_tools.labelling.checks import usable
from ground_tools.labelling.collection import D4_LABELS, Rules, read_image, read_manifest, read_rules
from ground_tools.labelling.label_files import read_labels
from ground_tools.labelling.rasterisation import Sample, crop_with, crops_of, is_too_small, sample_of
from ground_tools.labelling.splits import split_by_body, split_by_copy, split_by_image
from ground_tools.labels.classes import CLASS_NAMES

SIZES = (128, 256)
# What goes to one split as a whole: an image with its group, or all images of a body; or each copy goes by itself.
SPLIT_KINDS = ("image", "body", "copy")
# Each image gives four samples, as in the reference paper; which flips and turns it took is not told there.
COPIES = ("as it is", "mirrored left to right", "turned by 90 degrees", "turned by 180 degrees")
_SHARD_SAMPLES = 100
# Parquet's readers fail on lists of fixed length that are null.
_UNKNOWN = [float("nan")] * 3


@dataclass(frozen=True)
class RealImage:
    """One labelled image of a set: its name in manifest.csv, body, group, labels, and the crop that is its sample.

    An image that gives close-ups is here once for each.
    """

    file: str
    body: str
    group: str
    annotation: Annotation
    crop: Crop
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
            least, body, group = rules.minimum_across_in(fit), entries[file].body, rules.group_of(file)
            found += [
                RealImage(file, body, group, fit, crop, sample_of(image, fit, crop, size, least))
                for crop in crops_of(fit, rules.margin)
            ]
        except ValueError as error:
            problems.append(f"{error}; left out")
    if not found:
        raise ValueError(f"{labels}: expected labelled images of {images}, found none that can be used")
    shown = set(np.unique(np.concatenate([np.unique(image.sample.mask) for image in found])).tolist())
    problems += [f"class {name}: empty, no image shows it" for k, name in enumerate(CLASS_NAMES) if k not in shown]
    return found, rules, problems


def splits_of(found: list[RealImage], rules: Rules, kind: str) -> list[list[str | None]]:
    """The split of each copy of each image, None for copies that are not used.

    kind: one of SPLIT_KINDS. Raises ValueError as split_by_body does.
    """
    if kind == "copy":
        by_copy = rules.split_by_copy
        return split_by_copy(len(found), len(COPIES), by_copy.shares, by_copy.images, rules.seed)
    return [[split] * len(COPIES) for split in _image_splits(found, rules, kind)]


def _image_splits(found: list[RealImage], rules: Rules, kind: str) -> list[str]:
    bodies, groups = [image.body for image in found], [image.group for image in found]
    if kind == "body":
        by_body = rules.split_by_body
        return split_by_body(bodies, groups, by_body.train, by_body.test, by_body.validation_share, rules.seed)
    if kind != "image":
        raise ValueError(f"split: expected {' or '.join(SPLIT_KINDS)}, got {kind!r}")
    by_image = rules.split_by_image
    tested, never_tested = (
        {rules.group_of(file) for file in files} for files in (by_image.tested, by_image.never_tested)
    )
    return split_by_image(bodies, groups, by_image.shares, rules.seed, tested, never_tested)


def build(found: list[RealImage], rules: Rules, out: Path, kind: str = "image") -> dict[str, Any]:
    """Write a set of the ordinary format; returns its description.

    What a rendered set knows of camera and sun is null, or NaN in vectors. Raises ValueError when the folder holds
    anything but an earlier make of the same set.
    """
    _clear_folder(out, rules.name)
    splits = splits_of(found, rules, kind)
    size = found[0].sample.image.shape[0]
    counts: dict[str, list[int]] = {body: [0, 0, 0] for body in sorted({image.body for image in found})}
    record: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for image, of_copies in zip(found, splits, strict=True):
        first = list(counts[image.body])
        rows += _rows(image, of_copies, counts[image.body], rules.seed)
        for split, begin, end in zip(SPLITS, first, counts[image.body], strict=True):
            if end > begin:
                record.append(_entry(image, split, [begin, end - 1]))
    description = {
        "format": FORMAT_VERSION,
        "name": rules.name,
        **({} if rules.edition is None else {"edition": rules.edition}),
        "classes": list(CLASS_NAMES),
        "image": f"{size} x {size}, one channel, 8 bit, real images as published, with their cameras' noise",
        "noise": None,
        "publish_images": False,
        "campaign": {"seed": rules.seed, "split_by": kind, "bodies": {b: n for b, n in counts.items() if any(n)}},
        "minimum_across_px_of_128": rules.minimum_across,
        "copies": list(COPIES),
        "overview": overview(found, rules),
        "images": record,
    }
    write_description(out, description)
    for number, start in enumerate(range(0, len(rows), _SHARD_SAMPLES)):
        write_whole(out / "shards" / f"real-{number:03}.parquet", shard_bytes(rows[start : start + _SHARD_SAMPLES]))
    return finish_set(out, description, len(rows))


def _entry(image: RealImage, split: str, samples: list[int]) -> dict[str, Any]:
    """What dataset.json tells of an image, or of those of its copies that are in one split. samples: first and last."""
    return {
        "file": image.file,
        "sha256": image.annotation.sha256,
        "body": image.body,
        "group": image.group,
        "split": split,
        "samples": samples,
        "silhouette": image.annotation.silhouette,
        "crop": list(image.crop),
        "close_up": bool(image.annotation.close_ups),
    }


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


def _rows(image: RealImage, splits: list[str | None], counts: list[int], seed: int) -> list[dict[str, Any]]:
    """The rows of an image's copies. splits: of each copy, None: left out. counts: its body's rows so far, changed."""
    sample = image.sample
    rows = []
    turned = zip(*(make_copies(a) for a in (sample.image, sample.mask, sample.identifiers, sample.ground)), strict=True)
    for split, arrays in zip(splits, turned, strict=True):
        if split is None:
            continue
        grey, mask, identifiers, ground = (np.ascontiguousarray(array) for array in arrays)
        rows.append(
            {
                "body": image.body,
                "split": split,
                "index": counts[SPLITS.index(split)],
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
        counts[SPLITS.index(split)] += 1
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
    """What `dataset info` tells of real images: counts, splits, class balance, as plain values for JSON.

    images, pairs: numbers; close_ups: of the images, those that are one of several squares of a larger picture, or are
    called so. bodies: body -> images. shapes: label -> number of those in use. split_by_image, split_by_body: body ->
    images in train, validation, test (null where set.toml has no lists of bodies); split_by_copy: body -> copies.
    class_share, class_present: as of rendered sets.
    """
    masks = np.stack([image.sample.mask for image in found])
    shares = [float((masks == k).mean()) for k in range(len(CLASS_NAMES))]
    present = [float((masks == k).any(axis=(1, 2)).mean()) for k in range(len(CLASS_NAMES))]
    bodies = sorted({image.body for image in found})
    labels = [
        shape.label
        for image in found
        for shape in image.annotation.shapes
        # A shape that several close-ups show is one.
        if crop_with(shape, crops_of(image.annotation, rules.margin)) == image.crop
        and not is_too_small(shape, image.crop, rules.minimum_across_in(image.annotation))
    ]
    return {
        "name": rules.name,
        "images": len(found),
        "pairs": len(found) * len(COPIES),
        "close_ups": sum(bool(image.annotation.close_ups) for image in found),
        "groups": len({image.group for image in found}),
        "bodies": {body: sum(image.body == body for image in found) for body in bodies},
        "shapes": {label: labels.count(label) for label in dict.fromkeys(labels)},
        "silhouettes_inferred": sum(image.annotation.silhouette == "inferred" for image in found),
        "split_by_image": _split_table(found, rules, "image", bodies),
        "split_by_body": _split_table(found, rules, "body", bodies) if rules.split_by_body.test else None,
        "split_by_copy": _split_table(found, rules, "copy", bodies),
        "class_share": dict(zip(CLASS_NAMES, shares, strict=True)),
        "class_present": dict(zip(CLASS_NAMES, present, strict=True)),
    }


def _split_table(found: list[RealImage], rules: Rules, kind: str, bodies: list[str]) -> dict[str, list[int]]:
    splits = splits_of(found, rules, kind)
    pairs = [(image.body, split) for image, of_copies in zip(found, splits, strict=True) for split in of_copies]
    each = 1 if kind == "copy" else len(COPIES)
    return {body: [pairs.count((body, split)) // each for split in SPLITS] for body in bodies}


def as_text(figures: dict[str, Any]) -> str:
    """The overview as a text for the terminal."""
    lines = [
        f"{figures['name']}: {figures['images']} real images of {len(figures['bodies'])} bodies, "
        f"{figures['pairs']} pairs (each image {len(COPIES)} times), {figures['close_ups']} close-ups",
        f"shapes: {', '.join(f'{count} {label}' for label, count in figures['shapes'].items())}; "
        f"{figures['silhouettes_inferred']} outlines inferred; {figures['groups']} groups of images that show the same",
    ]
    for kind in SPLIT_KINDS:
        table = figures[f"split_by_{kind}"]
        if table is None:
            lines += ["", "split by body: set.toml names no bodies for train and test"]
            continue
        counted = "copies" if kind == "copy" else "images"
        lines += ["", f"{f'split by {kind}, {counted}':<24}{'train':>8}{'validation':>12}{'test':>8}"]
        lines += [f"{body:<24}{c[0]:>8}{c[1]:>12}{c[2]:>8}" for body, c in table.items()]
        totals = [sum(c[k] for c in table.values()) for k in range(3)]
        lines.append(f"{'all':<24}{totals[0]:>8}{totals[1]:>12}{totals[2]:>8}")
    lines += ["", f"{'class':<24}{'pixels':>8}{'present in':>12}"]
    lines += [
        f"{name:<24}{s:>8.1%}{figures['class_present'][name]:>12.1%}" for name, s in figures["class_share"].items()
    ]
    return "\n".join(lines) + "\n"
