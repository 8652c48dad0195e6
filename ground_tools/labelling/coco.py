"""The labels of a folder as one COCO file and back, for CVAT and Label Studio."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ground_tools.foundation.files import write_whole
from ground_tools.labelling.annotations import Annotation
from ground_tools.labelling.collection import ImageEntry, find_image
from ground_tools.labelling.shapes import LABELS, Shape, area, bounds, outline

# Points nearer to each other than this are the same: tools round coordinates (pixels).
_SAME_POINT = 0.02


def as_coco(annotations: dict[str, Annotation]) -> dict[str, Any]:
    """COCO's object-detection format: images, categories body, crater, boulder, terminator, polygons."""
    images: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    for number, annotation in enumerate(annotations.values(), start=1):
        images.append(
            {"id": number, "file_name": annotation.file, "width": annotation.width, "height": annotation.height}
        )
        for shape in annotation.shapes:
            x0, y0, x1, y1 = bounds([shape])
            entries.append(
                {
                    "id": len(entries) + 1,
                    "image_id": number,
                    "category_id": LABELS.index(shape.label) + 1,
                    "segmentation": [[round(v, 3) for v in itertools.chain.from_iterable(outline(shape).tolist())]],
                    "bbox": [round(x0, 3), round(y0, 3), round(x1 - x0, 3), round(y1 - y0, 3)],
                    "area": round(area(shape), 3),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": label} for number, label in enumerate(LABELS, start=1)]
    return {"images": images, "categories": categories, "annotations": entries}


def write_coco(annotations: dict[str, Annotation], path: Path) -> None:
    """Write the labels as a COCO file."""
    write_whole(path, (json.dumps(as_coco(annotations), indent=1) + "\n").encode())


def read_coco(
    path: Path, entries: dict[str, ImageEntry], present: dict[str, Annotation]
) -> tuple[dict[str, Annotation], list[str]]:
    """The labels of a COCO file by image, and what is wrong with parts of it, which are left out.

    An image's shapes are replaced; what our files say besides (crop, silhouette, note) stays. A polygon that came back
    as it went keeps its kind and description. Raises ValueError naming the file when it is no COCO file.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        categories = {entry["id"]: str(entry["name"]).strip().lower() for entry in data["categories"]}
        images = {entry["id"]: entry for entry in data["images"]}
        annotations = list(data["annotations"])
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not readable as JSON ({error})") from error
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected a COCO file with images, categories and annotations ({error!r})") from error
    problems: list[str] = []
    known: dict[Any, ImageEntry] = {}
    for number, image in images.items():
        try:
            known[number] = _entry(entries, str(image["file_name"]))
        except (KeyError, ValueError) as error:
            problems.append(f"{path}: image {number}: {error}; left out")
    shapes: dict[Any, list[Shape]] = {number: [] for number in known}
    for annotation in annotations:
        try:
            where = f"annotation {annotation.get('id')}"
            if annotation["image_id"] not in known:
                if annotation["image_id"] not in images:
                    problems.append(f"{path}: {where}: image_id: no such image {annotation['image_id']}; left out")
                continue
            shapes[annotation["image_id"]] += _shapes(annotation, categories)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{path}: {where}: {error}; left out")
    result = {}
    for number, entry in known.items():
        before = present.get(entry.file) or Annotation(
            entry.file, entry.sha256, int(images[number]["width"]), int(images[number]["height"])
        )
        result[entry.file] = replace(before, shapes=tuple(_as_before(shape, before) for shape in shapes[number]))
    return result, problems


def _entry(entries: dict[str, ImageEntry], name: str) -> ImageEntry:
    """The image of a file name, which tools may give with other folders before it."""
    parts = name.replace("\\", "/").split("/")
    for first in range(len(parts)):
        tail = "/".join(parts[first:])
        if tail in entries:
            return entries[tail]
    return find_image(entries, parts[-1])


def _shapes(annotation: dict[str, Any], categories: dict[Any, str]) -> list[Shape]:
    label = categories.get(annotation["category_id"], f"category {annotation['category_id']}")
    polygons = annotation["segmentation"]
    if not isinstance(polygons, list) or not polygons:
        raise ValueError("segmentation: expected polygons, got a bitmap or nothing; draw polygons, not brush strokes")
    shapes = []
    for values in polygons:
        if len(values) % 2:
            raise ValueError(f"segmentation: expected pairs of numbers, got {len(values)}")
        points = tuple((float(x), float(y)) for x, y in zip(values[::2], values[1::2], strict=True))
        shapes.append(Shape(label, points))
    return shapes


def _as_before(shape: Shape, before: Annotation) -> Shape:
    """The shape of the file that a polygon came from, when nobody has moved it."""
    for old in before.shapes:
        if old.label == shape.label:
            points = outline(old)
            if len(points) == len(shape.points) and abs(points - shape.points).max() < _SAME_POINT:
                return old
    return shape
