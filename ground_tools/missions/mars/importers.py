"""Sets of Mars's terrain: AI4Mars as NASA publishes it, and a copy at 256 px."""

from __future__ import annotations

import csv
import pickle
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ground_tools.datasets.pairs import Pair, PairSet
from ground_tools.labels.class_table import IGNORED, ClassTable, read_class_table
from ground_tools.missions.layouts import (
    ImportOptions,
    Layout,
    bring_to_size,
    find_folder,
    find_images,
    fit_to_image,
    random_splits,
    read_grey,
)

CLASSES = Path(__file__).with_name("classes.toml")
_SOURCE = "AI4Mars, Curiosity's navigation cameras (Swan et al. 2021, doi:10.1109/CVPRW53098.2021.00186; NASA/JPL)"
_COPY = f"{_SOURCE}; at 256 px as in github.com/UnDauphin/ai4mars_DL-v3"
# Classes besides the four where masks of rover and range are kept as such.
_ROVER, _FAR = ("rover", (90, 90, 200), "background"), ("far", (200, 225, 240), "background")
_GOLD = re.compile(r"_merged$")
_SITE = re.compile(r"_F(\d{3})")


def camera_of(stem: str) -> str:
    """The camera of a frame by its product's name: NLA_..., the left navigation camera of computer A, as `nla`."""
    return stem[:3].lower()


def site_of(stem: str) -> str:
    """The rover's site by a product's name, F0020000 being site 2: frames of one show the same ground."""
    found = _SITE.search(stem)
    return f"site {found[1]}" if found else stem


def read_original(folder: Path, options: ImportOptions) -> tuple[PairSet, Iterator[Pair]]:
    """AI4Mars in its own layout: msl/images/{edr,mxy,rng-30m}, msl/labels/train, labels/test/masked-gold-minN-100agree.

    Test images are those on which at least N experts agree, N by the part. Those for validation are drawn from the
    training labels by whole sites of the rover, as `options.shares` has it of the first two shares. Rover (mxy) and far
    ground (rng) are ignored, or classes of their own.

    Raises:
        ValueError: the folder is not laid out so.
    """
    part = ORIGINAL.part_of(options)
    root = find_folder(folder, "msl/ncam", "msl", "ncam", ".")
    images = find_images(find_folder(root, "images/edr"))
    train = find_images(find_folder(root, "labels/train"))
    test_folder = find_folder(root, f"labels/test/masked-gold-{part}-100agree")
    test = {_GOLD.sub("", stem): path for stem, path in find_images(test_folder).items()}
    train = {stem: path for stem, path in train.items() if stem in images and stem not in test}
    if not train or not set(test) & set(images):
        raise ValueError(f"{root}: expected labels of the images in images/edr, got none")
    first, second, _ = options.shares
    shares = (first / (first + second), second / (first + second), 0.0)
    drawn = random_splits([camera_of(s) for s in train], [site_of(s) for s in train], shares, options.seed)
    splits = {**dict(zip(train, drawn, strict=True)), **{stem: "test" for stem in test if stem in images}}
    classes = _with_masked(read_class_table(CLASSES)) if options.masked == "classes" else read_class_table(CLASSES)
    about = PairSet(f"ai4mars_{part}", classes, _SOURCE, "group", options.seed, publish_images=True)
    masked = [_beside(root, "images/mxy", "MXY"), _beside(root, "images/rng-30m", "RNG")]
    if not any(path.is_dir() for path, _ in masked):
        masked = []
    return about, _original_pairs(images, {**train, **test}, splits, masked, options)


def _with_masked(table: ClassTable) -> ClassTable:
    added = (_ROVER, _FAR)
    return replace(
        table,
        names=(*table.names, *(name for name, _, _ in added)),
        colors=(*table.colors, *(color for _, color, _ in added)),
        roles=(*table.roles, *(role for _, _, role in added)),
    )


def _beside(root: Path, folder: str, product: str) -> tuple[Path, str]:
    other = folder.removesuffix("-30m")
    return root / (folder if (root / folder).is_dir() else other), product


def _original_pairs(
    images: dict[str, Path],
    labels: dict[str, Path],
    splits: dict[str, str],
    masked: list[tuple[Path, str]],
    options: ImportOptions,
) -> Iterator[Pair]:
    known = len(read_class_table(CLASSES))
    for stem, split in splits.items():
        image, mask = read_grey(images[stem]), read_grey(labels[stem]).copy()
        mask = fit_to_image(mask, image)
        mask[mask >= known] = IGNORED
        for number, (folder, product) in enumerate(masked):
            path = folder / f"{stem.replace('EDR', product)}.png"
            if path.is_file():
                hidden = fit_to_image(read_grey(path), mask) > 0
                mask[hidden] = known + number if options.masked == "classes" else IGNORED
        source = mask.shape
        image, mask = bring_to_size(image, mask, options.size)
        yield Pair(images[stem].name, camera_of(stem), split, image, mask, source)


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, texts and numbers alone: a file from elsewhere must not run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"expected plain values, got {module}.{name}")


def read_published_splits(path: Path) -> dict[str, str]:
    """Split of each image from a file of `train_ids` and `val_ids`.

    Raises:
        ValueError: the file is missing or another one.
    """
    try:
        with path.open("rb") as file:
            content = _PlainUnpickler(file).load()
        return {
            **dict.fromkeys(map(str, content["train_ids"]), "train"),
            **dict.fromkeys(map(str, content["val_ids"]), "validation"),
        }
    except (OSError, pickle.UnpicklingError, KeyError, TypeError, EOFError) as error:
        raise ValueError(f"{path}: expected lists train_ids and val_ids, got {error!r}") from error


def read_copy(folder: Path, options: ImportOptions) -> tuple[PairSet, Iterator[Pair]]:
    """The copy at 256 px: data/images_256, data/masks_256, processed/ with splits as published and the expert images.

    Raises:
        ValueError: the folder is not laid out so, or a file that the splits name is missing.
    """
    COPY.part_of(options)
    images = find_images(find_folder(folder, "data/images_256"))
    masks = {_GOLD.sub("", stem): path for stem, path in find_images(find_folder(folder, "data/masks_256")).items()}
    splits = read_published_splits(folder / "processed" / "split_indices_msl6k.pkl")
    experts = folder / "processed" / "manifest_msl_gold_test.csv"
    try:
        with experts.open(newline="", encoding="utf-8") as file:
            splits |= {row["id"]: "test" for row in csv.DictReader(file)}
    except (OSError, KeyError) as error:
        raise ValueError(f"{experts}: expected a table with a column id, got {error!r}") from error
    missing = sorted(stem for stem in splits if stem not in images or stem not in masks)
    if missing:
        raise ValueError(f"{folder}: expected images and masks of {len(splits)} frames, got none of {missing[0]}")
    about = PairSet("ai4mars_256", read_class_table(CLASSES), _COPY, "published", options.seed, publish_images=True)
    return about, _copy_pairs(images, masks, splits, options)


def _copy_pairs(
    images: dict[str, Path], masks: dict[str, Path], splits: dict[str, str], options: ImportOptions
) -> Iterator[Pair]:
    known = len(read_class_table(CLASSES))
    for stem in sorted(splits):
        image, mask = read_grey(images[stem]), read_grey(masks[stem]).copy()
        mask[mask >= known] = IGNORED
        source = mask.shape
        image, mask = bring_to_size(image, mask, options.size)
        yield Pair(images[stem].name, camera_of(stem), splits[stem], image, np.ascontiguousarray(mask), source)


ORIGINAL = Layout(
    "AI4Mars as NASA publishes it: msl/images/{edr,mxy,rng-30m}, msl/labels/{train,test}",
    ("min3", "min2", "min1"),
    read_original,
)
COPY = Layout(
    "AI4Mars at 256 px, as github.com/UnDauphin/ai4mars_DL-v3 has it: data/images_256, data/masks_256, processed",
    ("all",),
    read_copy,
)
