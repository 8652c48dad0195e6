"""The labels of a folder as one COCO file and back, for CVAT and Label Studio."""

from __future__ import annotations

import io
import itertools
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ground_tools.foundation.files import write_whole
from ground_tools.labelling.annotations import Annotation
from ground_tools.labelling.collection import ImageEntry
from ground_tools.labelling.image_names import ImageNames
from ground_tools.labelling.intake import Drawing, Intake
from ground_tools.labelling.labelme import find_label
from ground_tools.labelling.regions import trace
from ground_tools.labelling.run_lengths import decode_run_lengths
from ground_tools.labelling.shapes import LABELS, Shape, area, bounds, outline


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


def read_coco(path: Path, names: ImageNames, categories: Mapping[str, str]) -> Intake:
    """The labels of a COCO file, as COCO's own tools, CVAT and Label Studio write it.

    A polygon is a shape, and so is a bounding box without a segmentation; a bitmap (run lengths, plain or compressed)
    becomes a polygon for each of its parts, along the edges of its pixels, with its holes.

    Args:
        path: the file, or the ZIP archive with it.
        names: the images.
        categories: as of parse_categories.

    Raises:
        ValueError: naming the file, when it is no COCO file.
    """
    data = _read_json(path)
    try:
        labels = {entry["id"]: str(entry["name"]) for entry in data["categories"]}
        numbers = [entry["id"] for entry in data["images"]]
        images = dict(zip(numbers, data["images"], strict=True))
        annotations = list(data["annotations"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected a COCO file with images, categories and annotations ({error!r})") from error
    if len(images) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise ValueError(f"{path}: images: expected each id once, got {twice!r} twice")
    intake = Intake()
    shapes: dict[Any, list[Shape]] = {number: [] for number in images}
    known = _known_images(path, images, annotations, names, intake)
    for annotation in annotations:
        number = _image_of(annotation)
        place = f"{path}: annotation {annotation.get('id') if isinstance(annotation, dict) else annotation!r}"
        if number in images and number not in known:
            continue
        try:
            if number not in known:
                raise ValueError(f"image_id: no such image {number!r}")
            label = find_label(
                labels.get(annotation["category_id"], f"category {annotation['category_id']}"), categories
            )
            shapes[number] += _shapes(annotation, label, _size(images[number]))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            text = error if isinstance(error, ValueError) else ValueError(f"expected an annotation of COCO ({error!r})")
            intake.add_problem(place, text, known[number].file if number in known else None)
    intake.drawings = [
        Drawing(f"{path}: image {number}", entry, _size(images[number]), tuple(shapes[number]))
        for number, entry in known.items()
    ]
    return intake


def _read_json(path: Path) -> Any:
    try:
        data = path.read_bytes()
        if zipfile.is_zipfile(io.BytesIO(data)):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                inside = [name for name in archive.namelist() if name.endswith(".json") and not _is_litter(name)]
                if len(inside) != 1:
                    found = ", ".join(inside) or "none"
                    raise ValueError(f"{path}: expected one JSON file in the archive, got {found}; unpack it, name one")
                data = archive.read(inside[0])
        return json.loads(data.decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not readable as JSON ({error})") from error


def _is_litter(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _known_images(
    path: Path, images: Mapping[Any, Any], annotations: list[Any], names: ImageNames, intake: Intake
) -> dict[Any, ImageEntry]:
    """The images of a file that are in the manifest. Others are a problem where something is drawn in them."""
    drawn = set(map(_image_of, annotations))
    known = {}
    for number, image in images.items():
        try:
            known[number] = names.match(str(image["file_name"]))
            if number in drawn and not all(_size(image)):
                text = f"expected its width and height, got {image.get('width')!r} and {image.get('height')!r}"
                intake.add_problem(f"{path}: image {number}", ValueError(text), known.pop(number).file)
        except (KeyError, TypeError) as error:
            intake.add_problem(f"{path}: image {number}", ValueError(f"expected a file_name, got none ({error!r})"))
        except ValueError as error:
            if number in drawn:
                hint = f"{error}; --name-map says which of them it is"
                intake.add_problem(f"{path}: image {number}", ValueError(hint))
            else:
                intake.remarks.append(f"{path}: image {number}: {error}; nothing drawn in it, left out")
    return known


def _image_of(annotation: Any) -> int | str | None:
    number = annotation.get("image_id") if isinstance(annotation, dict) else None
    return number if isinstance(number, int | str) else None


def _size(image: Mapping[str, Any]) -> tuple[int, int]:
    width, height = image.get("width"), image.get("height")
    # In place of a size that is not told, one that no image has.
    return (width, height) if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0 else (0, 0)


def _shapes(annotation: dict[str, Any], label: str, size: tuple[int, int]) -> list[Shape]:
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        return [Shape(label, points) for points in trace(decode_run_lengths(segmentation, size))]
    if not segmentation:
        return [_box(annotation, label)]
    if not isinstance(segmentation, list):
        raise ValueError(f"segmentation: expected polygons or run lengths, got {str(segmentation)[:40]!r}")
    shapes = []
    for values in segmentation:
        if not isinstance(values, list) or len(values) % 2:
            what = f"{len(values)} numbers" if isinstance(values, list) else repr(values)
            raise ValueError(f"segmentation: expected lists of pairs of numbers, got {what}")
        shapes.append(Shape(label, tuple((float(x), float(y)) for x, y in zip(values[::2], values[1::2], strict=True))))
    return shapes


def _box(annotation: dict[str, Any], label: str) -> Shape:
    """A bounding box that was drawn as such; CVAT tells beside it by how many degrees it was turned."""
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"expected a segmentation or a bbox of four numbers, got {box!r}")
    x, y, width, height = map(float, box)
    if not (width > 0.0 and height > 0.0):
        raise ValueError(f"bbox: expected a width and a height above 0, got {width:g} and {height:g}")
    turn = math.radians(float((annotation.get("attributes") or {}).get("rotation") or 0.0))
    if turn == 0.0:
        return Shape(label, ((x, y), (x + width, y + height)), "rectangle")
    corners = []
    for u, v in ((-width, -height), (width, -height), (width, height), (-width, height)):
        turned = (u * math.cos(turn) - v * math.sin(turn), u * math.sin(turn) + v * math.cos(turn))
        corners.append((round(x + (width + turned[0]) / 2.0, 2), round(y + (height + turned[1]) / 2.0, 2)))
    return Shape(label, tuple(corners), "oriented_rectangle")
