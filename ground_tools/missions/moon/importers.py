"""Lunar sets from elsewhere: "Artificial Lunar Landscape", and polygons of Chang'e frames."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
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
    label_colors,
    random_splits,
    read_color,
)
from ground_tools.missions.moon.rocks import label_rocks

CLASSES = Path(__file__).with_name("classes.toml")
GROUND, SMALL_ROCKS, LARGE_ROCKS, SKY = range(4)

_LANDSCAPE = "Artificial Lunar Landscape Dataset (R. Pessia, G. Ishigami, Q. Jodelet; Kaggle)"
_CHANGE = "Chang'e 3 and 4 surface frames with polygons of github.com/Ghulam-Hussain04/Chand.AI (Roboflow, CC BY 4.0)"
# A frame's sky: dark pixels that hang together with the top row, most of which is dark.
_DARK, _TOP_SHARE, _LEAST_SKY = 24, 0.6, 0.01


def read_landscapes(folder: Path, options: ImportOptions) -> tuple[PairSet, Iterator[Pair]]:
    """The layout of "Artificial Lunar Landscape": images/render with images/ground or images/clean; real_moon_images.

    Parts: ground (masks as rendered), clean (the smallest rocks taken out by its makers), real (the photographs of
    Chang'e cameras with masks named g_*, all of them test images). Splits of the rendered parts are random by seed.

    Raises:
        ValueError: the folder is not laid out so; an image has no mask.
    """
    table = read_class_table(CLASSES)
    part = LANDSCAPES.part_of(options)
    if part == "real":
        masks: dict[str, Path] = {}
        images: dict[str, Path] = {}
        for stem, path in find_images(find_folder(folder, "real_moon_images")).items():
            (masks if stem.lower().startswith("g_") else images)[stem.lower().removeprefix("g_")] = path
        domains = {stem: "".join(filter(str.isalpha, stem)) or "real" for stem in images}
        files = {stem: path for stem, path in images.items() if stem in masks}
        splits = dict.fromkeys(files, "test")
    else:
        root = find_folder(folder, "images", ".")
        files = {_number(stem): path for stem, path in find_images(find_folder(root, "render")).items()}
        masks = {_number(stem): path for stem, path in find_images(find_folder(root, part)).items()}
        domains = dict.fromkeys(files, "rendered")
        drawn = random_splits(list(domains.values()), list(files), options.shares, options.seed)
        splits = dict(zip(files, drawn, strict=True))
    missing = sorted(set(files) - set(masks))
    if missing or not files:
        raise ValueError(f"{folder}: expected a mask for each image, got none for {', '.join(missing[:5]) or 'any'}")
    split_by = "published" if part == "real" else "image"
    about = PairSet(f"lunar_{part}", table, _LANDSCAPE, split_by, options.seed, publish_images=False)
    return about, _landscape_pairs(files, masks, domains, splits, table, options)


def _number(stem: str) -> str:
    """The number of render0001, ground0001 and clean0001, by which they belong together."""
    return "".join(filter(str.isdigit, stem)) or stem


def _landscape_pairs(
    files: dict[str, Path],
    masks: dict[str, Path],
    domains: dict[str, str],
    splits: dict[str, str],
    table: ClassTable,
    options: ImportOptions,
) -> Iterator[Pair]:
    # No mask of theirs has pixels without a label; their purple edges lie between sky and rocks.
    table = replace(table, ignored_color=None)
    for stem, path in files.items():
        image, colors = read_color(path), read_color(masks[stem])
        mask = fit_to_image(label_colors(colors, table, masks[stem]), image)
        source = mask.shape
        image, mask = bring_to_size(image, mask, options.size)
        yield Pair(path.name, domains[stem], splits[stem], image, mask, source)


def read_change_frames(folder: Path, options: ImportOptions) -> tuple[PairSet, Iterator[Pair]]:
    """Frames of Chang'e cameras in the layout of a COCO export of Roboflow: train, valid and test folders.

    Rocks and boulders are small or large by the extent that is seen, as in our own landscapes; parts of the lander and
    "rocky regions", in which single rocks were not drawn, are ignored; what is dark and hangs together with the upper
    edge is sky; the rest is ground. Of each frame the first of its augmented copies is taken. Parts: all, or unaltered
    (valid and test, which hold each frame once, all of them as test images).

    Raises:
        ValueError: the folder is not laid out so, or a file of polygons is malformed.
    """
    part = CHANGE_FRAMES.part_of(options)
    root = find_folder(folder, "Lunar-Scene-Analysis-5", ".")
    names = {"train": "train", "valid": "validation", "test": "test"}
    chosen = names if part == "all" else {"valid": "test", "test": "test"}
    files = {name: find_folder(root, name) / "_annotations.coco.json" for name in chosen}
    about = PairSet(
        "lunar_real" if part == "all" else "lunar_real_test",
        read_class_table(CLASSES),
        _CHANGE,
        "published",
        options.seed,
        publish_images=True,
    )
    return about, _change_pairs(files, chosen, options)


def _change_pairs(files: dict[str, Path], chosen: dict[str, str], options: ImportOptions) -> Iterator[Pair]:
    for name, path in files.items():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            categories = {entry["id"]: entry["name"] for entry in content["categories"]}
            by_image: dict[int, list[dict[str, Any]]] = {}
            for annotation in content["annotations"]:
                by_image.setdefault(annotation["image_id"], []).append(annotation)
            images = [(entry["id"], entry["file_name"], entry["extra"]["name"]) for entry in content["images"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: expected polygons in COCO's format, got {error!r}") from error
        seen: set[str] = set()
        for number, file, original in images:
            if original in seen:
                continue
            seen.add(original)
            image = read_color(path.parent / file)
            mask = change_mask(image, [(categories[a["category_id"]], a) for a in by_image.get(number, [])])
            source = mask.shape
            image, mask = bring_to_size(image, mask, options.size)
            yield Pair(original, _camera(original), chosen[name], image, mask, source)


def _camera(name: str) -> str:
    """Which camera a frame is from, by its name."""
    known = {"PCAM": "pcam", "C3_TCAM": "tcam", "chang4": "yutu_2"}
    return next((camera for start, camera in known.items() if name.startswith(start)), "other")


def change_mask(image: np.ndarray, annotations: list[tuple[str, dict[str, Any]]]) -> np.ndarray:
    """The mask of a frame, (H, W) uint8, from its picture and the polygons with their categories' names."""
    mask = np.where(find_sky(image), SKY, GROUND).astype(np.uint8)
    rocks = np.zeros(mask.shape, dtype=np.int32)
    unknown = np.zeros(mask.shape, dtype=np.uint8)
    for index, (category, annotation) in enumerate(annotations, start=1):
        polygons = annotation["segmentation"]
        if category not in ("rock", "boulder", "artifact", "rocky region"):
            continue
        if isinstance(polygons, dict):
            # Run lengths, of a few regions: nobody tells what lies inside of them here.
            x, y, width, height = (round(value) for value in annotation["bbox"])
            unknown[y : y + height, x : x + width] = 1
            continue
        outlines = [np.rint(np.asarray(polygon).reshape(-1, 2)).astype(np.int32) for polygon in polygons]
        if category in ("rock", "boulder"):
            cv2.fillPoly(rocks, outlines, (index,))
        else:
            cv2.fillPoly(unknown, outlines, (1,))
    mask[unknown > 0] = IGNORED
    return label_rocks(mask, rocks)


def find_sky(image: np.ndarray) -> np.ndarray:
    """Where a frame shows black sky, (H, W) bool: all of it that hangs together with the upper edge."""
    dark = cv2.medianBlur(image.max(axis=2), 3) <= _DARK
    if dark[0].mean() < _TOP_SHARE:
        return np.zeros(dark.shape, dtype=bool)
    _, parts = cv2.connectedComponents(dark.astype(np.uint8), connectivity=4)
    sky = dark & np.isin(parts, np.unique(parts[0][dark[0]]))
    return sky if sky.mean() >= _LEAST_SKY else np.zeros(dark.shape, dtype=bool)


LANDSCAPES = Layout(
    "Artificial Lunar Landscape: images/render, images/ground or images/clean, real_moon_images",
    ("ground", "clean", "real"),
    read_landscapes,
)
CHANGE_FRAMES = Layout(
    "Chang'e frames with COCO polygons, as github.com/Ghulam-Hussain04/Chand.AI has them (commit 53eab0e)",
    ("unaltered", "all"),
    read_change_frames,
)
