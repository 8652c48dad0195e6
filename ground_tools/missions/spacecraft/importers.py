"""Sets of spacecraft with masks of their parts: the published one, and pairs that others chose from it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ground_tools.datasets.pairs import Pair, PairSet
from ground_tools.labels.class_table import ClassTable, read_class_table
from ground_tools.missions.layouts import (
    ImportOptions,
    Layout,
    bring_to_size,
    find_folder,
    find_images,
    fit_to_image,
    label_colors,
    random_splits,
    read_color,
)

CLASSES = Path(__file__).with_name("classes.toml")
_SOURCE = "A Spacecraft Dataset for Detection, Segmentation and Parts Recognition (Hoang et al. 2021, arXiv:2106.08186)"
_CURATED = (
    f"{_SOURCE}; pairs of github.com/atlan-antillia/TensorFlow-FlexUNet-Tiled-Image-Segmentation-Curated-Spacecrafts"
)
# Images up to here have masks drawn with care, the others coarse ones.
_LAST_FINE = 1002
_NUMBER = re.compile(r"\d+")
# A box is believed where it holds so much of the craft; masks reach so many pixels beyond it.
_HELD, _BEYOND = 0.95, 5

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Files:
    """An image, its mask, and where its craft is (first and last column, first and last row), if that is known."""

    image: Path
    mask: Path
    domain: str
    box: Box | None = None


def number_of(stem: str) -> int | None:
    """The number of an image by its file's name: 12 of img_resize_12 and mask_12."""
    found = _NUMBER.findall(stem)
    return int(found[-1]) if found else None


def read_published(folder: Path, options: ImportOptions) -> tuple[PairSet, Iterator[Pair]]:
    """The published layout: images/{train,val}, mask/{train,val}, all_bbox.txt; files belong together by their number.

    Its validation split, all of whose masks are fine, is our test split; ours is drawn from its training split, as
    `options.shares` has it of the first two shares. Images without a mask, and files that cannot be read, are left out
    and told. Parts: all, fine, coarse masks.

    Raises:
        ValueError: the folder is not laid out so.
    """
    part = PUBLISHED.part_of(options)
    boxes = read_boxes(folder / "all_bbox.txt")
    images, masks = find_folder(folder, "images"), find_folder(folder, "mask", "masks")
    files: dict[int, _Files] = {}
    published: dict[int, str] = {}
    missing = 0
    for split, names in (("train", ("train",)), ("test", ("val", "valid", "validation"))):
        of_masks = {number_of(stem): path for stem, path in find_images(find_folder(masks, *names)).items()}
        for stem, path in find_images(find_folder(images, *names)).items():
            number = number_of(stem)
            if number is None or number not in of_masks:
                missing += 1
                continue
            domain = "fine" if number <= _LAST_FINE else "coarse"
            if part in ("all", domain):
                files[number] = _Files(path, of_masks[number], domain, boxes.get(number))
                published[number] = split
    _tell(folder, missing, "without a mask")
    first, second, _ = options.shares
    shares = (first / (first + second), second / (first + second), 0.0)
    train = sorted(number for number, split in published.items() if split == "train")
    drawn = random_splits([files[n].domain for n in train], list(map(str, train)), shares, options.seed)
    splits = published | dict(zip(train, drawn, strict=True))
    about = PairSet(
        f"spacecraft_{part}", read_class_table(CLASSES), _SOURCE, "published", options.seed, publish_images=False
    )
    chosen = [(files[number], splits[number]) for number in sorted(files)]
    return about, _pairs(folder, chosen, about.table, options)


def read_boxes(path: Path) -> dict[int, Box]:
    """Where the craft are, by the number of the image: (first column, last column, first row, last row).

    Args:
        path: of a file with a dictionary, [max_x, max_y, min_x, min_y] or a list of such for each number; none may be
            there.

    Raises:
        ValueError: the file holds something else.
    """
    if not path.is_file():
        return {}
    try:
        content = ast.literal_eval(path.read_text(encoding="utf-8"))
        boxes = {}
        for number, corners in content.items():
            values = np.asarray(corners, dtype=np.float64).reshape(-1, 4)
            last, first = values[:, :2].max(axis=0), values[:, 2:].min(axis=0)
            boxes[int(number)] = (int(first[0]), int(last[0]), int(first[1]), int(last[1]))
        return boxes
    except (ValueError, SyntaxError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path}: expected a dictionary of boxes by number, got {error!r}") from error


def read_curated(folder: Path, options: ImportOptions) -> tuple[PairSet, Iterator[Pair]]:
    """Pairs in folders images and masks, of one name each. Parts: mini-test, all of them test images; splits, with
    folders train, valid and test around them.

    Raises:
        ValueError: the folder is not laid out so.
    """
    part = CURATED.part_of(options)
    if part == "mini-test":
        project = "projects/TensorFlowFlexUNet/Curated-Spacecrafts/mini_test"
        folders = {"test": find_folder(folder, project, "mini_test", ".")}
    else:
        root = find_folder(folder, "Curated-Spacecrafts", "dataset/Curated-Spacecrafts", ".")
        names = {"train": "train", "validation": "valid", "test": "test"}
        folders = {split: find_folder(root, name) for split, name in names.items()}
    chosen = []
    for split, of_split in folders.items():
        masks = find_images(find_folder(of_split, "masks"))
        images = find_images(find_folder(of_split, "images"))
        _tell(of_split, len(set(images) - set(masks)), "without a mask")
        chosen += [(_Files(images[stem], masks[stem], "craft"), split) for stem in sorted(images) if stem in masks]
    name = "spacecraft_" + part.replace("-", "_")
    about = PairSet(name, read_class_table(CLASSES), _CURATED, "published", options.seed, publish_images=False)
    return about, _pairs(folder, chosen, about.table, options)


def _tell(folder: Path, count: int, what: str) -> None:
    if count:
        print(f"{folder}: {count} images {what} are left out", file=sys.stderr)


def _pairs(folder: Path, chosen: list[tuple[_Files, str]], table: ClassTable, options: ImportOptions) -> Iterator[Pair]:
    damaged = 0
    for files, split in chosen:
        try:
            image, colors = read_color(files.image), read_color(files.mask)
        except ValueError:
            damaged += 1
            continue
        mask = fit_to_image(label_colors(colors, table, files.mask), image)
        if files.box is not None:
            mask = keep_in_box(mask, files.box)
        source = mask.shape
        image, mask = bring_to_size(image, mask, options.size)
        yield Pair(files.image.name, files.domain, split, image, mask, source)
    _tell(folder, damaged, "that cannot be read")


def keep_in_box(mask: np.ndarray, box: Box) -> np.ndarray:
    """The mask without parts away from the craft, which impure colours leave; as it is where most lies outside the box.

    Args:
        mask: (H, W) uint8.
        box: first and last column, first and last row of the craft.
    """
    left, right, top, bottom = box
    inside = np.zeros(mask.shape, dtype=bool)
    inside[max(top - _BEYOND, 0) : bottom + _BEYOND + 1, max(left - _BEYOND, 0) : right + _BEYOND + 1] = True
    craft = mask > 0
    if not craft.any() or (craft & inside).sum() < _HELD * craft.sum():
        return mask
    kept: np.ndarray = np.where(inside, mask, 0).astype(np.uint8)
    return kept


PUBLISHED = Layout(
    "spacecraft as published: images/{train,val}, mask/{train,val}, all_bbox.txt",
    ("all", "fine", "coarse"),
    read_published,
)
CURATED = Layout(
    "pairs of spacecraft in images and masks, as FlexUNet's repository has them in mini_test",
    ("mini-test", "splits"),
    read_curated,
)
