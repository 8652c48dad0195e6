"""Aerial images with masks, and frames of any kind without: both are cut into pieces; scaling would cost detail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from flight.tile_layout import find_starts
from ground_tools.datasets.pairs import Pair, PairSet
from ground_tools.labels.class_table import IGNORED, IGNORED_COLOR, SMALL_BODY_CLASSES, ClassTable, read_class_table
from ground_tools.missions.layouts import (
    ImportOptions,
    Layout,
    find_folder,
    find_images,
    label_colors,
    random_splits,
    read_color,
    read_grey,
)

CLASSES = Path(__file__).with_name("classes.toml")
_AERIAL = "Semantic segmentation of aerial imagery (Humans in the Loop; github.com/Kaarti22/satellite-imagery)"
_SIZE = (256, 256)
# Of the eight areas that were photographed, those whose images are for tests.
_TEST = ("tile_7", "tile_8")
_UNLABELED = ("unlabeled", (155, 155, 155), "hazard")
# Whose classes a set of frames is to have: their file, and the channels of its images.
_CLASSES_OF = {
    "small-bodies": (None, 1),
    "moon": ("moon", 3),
    "mars": ("mars", 1),
    "spacecraft": ("spacecraft", 3),
    "aerial": ("multitask", 3),
}


def read_aerial(folder: Path, options: ImportOptions) -> tuple[PairSet, Iterator[Pair]]:
    """The layout "Tile N/images" and "Tile N/masks", N from 1 to 8, nine pairs in each, of no one size.

    Each is cut into pieces of `options.size` (256 x 256), as few as cover it. Tiles 7 and 8 are the test split;
    validation is drawn from the pictures of the others, as `options.shares` has it of the first two shares. What the
    masks call unlabeled has no label, or is a class of its own.

    Raises:
        ValueError: the folder is not laid out so, or an image has no mask.
    """
    AERIAL.part_of(options)
    root = find_folder(folder, "Semantic segmentation dataset", ".")
    tiles = sorted(path for path in root.glob("Tile *") if path.is_dir())
    if not tiles:
        raise ValueError(f"{root}: expected folders Tile 1 to Tile 8, got none")
    files: list[tuple[Path, Path, str]] = []
    for tile in tiles:
        masks = find_images(find_folder(tile, "masks"))
        for stem, path in find_images(find_folder(tile, "images")).items():
            if stem not in masks:
                raise ValueError(f"{path}: expected a mask {tile / 'masks' / stem}.png, got none")
            files.append((path, masks[stem], tile.name.lower().replace(" ", "_")))
    training = [number for number, (_, _, domain) in enumerate(files) if domain not in _TEST]
    first, second, _ = options.shares
    shares = (first / (first + second), second / (first + second), 0.0)
    drawn = random_splits([files[n][2] for n in training], [str(files[n][0]) for n in training], shares, options.seed)
    splits = {**dict.fromkeys(range(len(files)), "test"), **dict(zip(training, drawn, strict=True))}
    table = read_class_table(CLASSES)
    about = PairSet("aerial", table, _AERIAL, "published", options.seed, publish_images=False)
    if options.masked == "classes":
        about = replace(about, table=_with_unlabeled(table))
    return about, _aerial_pairs(files, splits, about.table, options)


def _with_unlabeled(table: ClassTable) -> ClassTable:
    name, color, role = _UNLABELED
    names, colors, roles = (*table.names, name), (*table.colors, color), (*table.roles, role)
    return replace(table, names=names, colors=colors, roles=roles, ignored_color=None)


def _aerial_pairs(
    files: list[tuple[Path, Path, str]], splits: dict[int, str], table: ClassTable, options: ImportOptions
) -> Iterator[Pair]:
    for number, (path, mask_path, domain) in enumerate(files):
        image, mask = read_color(path), label_colors(read_color(mask_path), table, mask_path)
        if mask.shape != image.shape[:2]:
            raise ValueError(f"{mask_path}: expected a mask of {image.shape[:2]} as the image, got {mask.shape}")
        name = f"{path.parent.parent.name}/{path.name}"
        yield from cut_pair(Pair(name, domain, splits[number], image, mask, mask.shape), options)


def cut_pair(pair: Pair, options: ImportOptions) -> Iterator[Pair]:
    """A pair in pieces of the options' size, evenly spread, as few as cover it.

    Raises:
        ValueError: the image is smaller.
    """
    height, width = options.size or _SIZE
    try:
        rows = find_starts(pair.mask.shape[0], height, 0, 1)
        columns = find_starts(pair.mask.shape[1], width, 0, 1)
    except ValueError:
        got = " x ".join(map(str, pair.mask.shape))
        raise ValueError(f"{pair.file}: expected at least {height} x {width} px, as --size has it, got {got}") from None
    for row in rows:
        for column in columns:
            window = slice(row, row + height), slice(column, column + width)
            image, mask = np.ascontiguousarray(pair.image[window]), np.ascontiguousarray(pair.mask[window])
            yield replace(pair, file=f"{pair.file} at {row}, {column}", image=image, mask=mask)


def read_frames(folder: Path, options: ImportOptions) -> tuple[PairSet, Iterator[Pair]]:
    """Images of a folder, or of `images` in it, without masks: no pixel has a label, all are for training.

    They are cut into pieces as aerial images are. The part says whose classes the set is to have, and so whether it is
    grey or colour: that of the set beside which it is used.

    Raises:
        ValueError: there are no images.
    """
    name, channels = _CLASSES_OF[FRAMES.part_of(options)]
    folder = find_folder(folder, "images", ".")
    files = find_images(folder)
    table = SMALL_BODY_CLASSES if name is None else read_class_table(CLASSES.parents[1] / name / "classes.toml")
    table = replace(table, ignored_color=table.ignored_color or IGNORED_COLOR)
    about = PairSet("frames", table, f"{folder.resolve().name}: images without masks", "image", options.seed, False)
    return about, _frame_pairs(list(files.values()), channels, options)


def _frame_pairs(files: list[Path], channels: int, options: ImportOptions) -> Iterator[Pair]:
    for path in files:
        image = read_grey(path) if channels == 1 else read_color(path)
        mask = np.full(image.shape[:2], IGNORED, dtype=np.uint8)
        yield from cut_pair(Pair(path.name, "frames", "train", image, mask, mask.shape), options)


AERIAL = Layout(
    "aerial images with masks, as github.com/Kaarti22/satellite-imagery has them: Tile N/{images,masks}",
    ("all",),
    read_aerial,
)
FRAMES = Layout("images without masks, for the super-resolution alone", tuple(_CLASSES_OF), read_frames)
