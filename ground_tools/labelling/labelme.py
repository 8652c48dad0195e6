"""Files as labelme writes them: their fields, and all its types of shapes as ours."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ground_tools.labelling.regions import stroke, trace
from ground_tools.labelling.shapes import BODY, LABELS, TERMINATOR, Shape, bounds

# A line whose ends are no farther apart than this share of its length goes around something.
_CLOSED = 0.1
# Width of a terminator that is drawn as a line: this share of the side of the square about the body, which is the
# largest extent of the body times the usual margin. 6 pixels of a sample of 128 x 128.
_LINE_SHARE, _MARGIN = 6.0 / 128.0, 1.15
# Fields that hold what labelme itself means by a shape without an area.
_WITHOUT_AREA = {"point": "a point", "points": "points", "line": "a line", "linestrip": "an open line"}


class NoLabelmeFile(ValueError):
    """A JSON file that is something else."""


class UnknownLabel(ValueError):
    """A shape of something that is not labelled here. name: what the file calls it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"label: expected {', '.join(LABELS)}, got {name!r}")
        self.name = name


@dataclass(frozen=True)
class LabelmeFile:
    """One file of labelme.

    image: path of the image as the file has it, with / between folders. width, height: pixels; None where an old
    version of labelme did not tell. shapes: as in the file. ours: what stands below the key `rubblemap`; None in a
    file that was drawn without our commands. image_sha256: of the image's own bytes, where the file has them in it.
    """

    path: Path
    image: str
    width: int | None
    height: int | None
    shapes: list[Any]
    ours: Any
    image_sha256: str | None


def read_labelme(path: Path) -> LabelmeFile:
    """Read a file of labelme.

    Raises:
        NoLabelmeFile: it is JSON of something else.
        ValueError: naming the file and the field, when it is broken.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(data, dict) or not isinstance(data.get("shapes"), list):
        raise NoLabelmeFile(f"{path}: expected a labelme file with a list `shapes`")
    image = data.get("imagePath")
    if not isinstance(image, str):
        raise ValueError(f"{path}: imagePath: expected str, got {image!r}")
    return LabelmeFile(
        path,
        # labelme writes the separators of its own system.
        image.replace("\\", "/"),
        _size(path, data, "imageWidth"),
        _size(path, data, "imageHeight"),
        data["shapes"],
        data.get("rubblemap"),
        _digest(data.get("imageData")),
    )


def _size(path: Path, data: dict[str, Any], name: str) -> int | None:
    value = data.get(name)
    if value is not None and (type(value) is not int or value < 1):
        raise ValueError(f"{path}: {name}: expected int, got {value!r}")
    return value


def _digest(image_data: Any) -> str | None:
    if not isinstance(image_data, str) or not image_data:
        return None
    try:
        return hashlib.sha256(base64.b64decode(image_data)).hexdigest()
    except (binascii.Error, ValueError):
        return None


def find_label(name: str, categories: Mapping[str, str] | None = None) -> str:
    """The label of ours that a name in a file stands for: of other case, or as `categories` have it.

    categories: name in the file, in lower case -> label. Raises UnknownLabel.
    """
    plain = name.strip().lower()
    label = (categories or {}).get(plain, plain)
    if label not in LABELS:
        raise UnknownLabel(name)
    return label


def read_shapes(
    file: LabelmeFile, categories: Mapping[str, str] | None = None, line_width: float | None = None
) -> tuple[list[Shape], list[tuple[int, ValueError]]]:
    """The shapes of a file as ours, and what is wrong with the others, by number.

    A painted mask becomes a polygon for each of its parts, along the edges of its pixels, with its holes. A line that
    ends where it begins is the outline of what it goes around; a terminator that is drawn as a line is a band about it.

    Args:
        file: as from read_labelme.
        categories: as of find_label.
        line_width: of the band, pixels of the image; None: 6 pixels of a sample of 128 x 128.
    """
    found: dict[int, list[Shape]] = {}
    problems: list[tuple[int, ValueError]] = []
    # Lines last: how wide they are depends on the body.
    for number in sorted(range(len(file.shapes)), key=lambda number: _is_line(file.shapes[number])):
        entry = file.shapes[number]
        try:
            if _is_line(entry) and line_width is None:
                line_width = _line_width([shape for shapes in found.values() for shape in shapes], file)
            found[number] = _read_shape(entry, file, categories, line_width or 0.0)
        except ValueError as error:
            problems.append((number, error))
        except (TypeError, KeyError, AttributeError, OverflowError) as error:
            problems.append((number, ValueError(f"expected a shape with label, points and shape_type ({error!r})")))
    return [shape for number in sorted(found) for shape in found[number]], sorted(problems, key=lambda item: item[0])


def _is_line(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("shape_type") in ("line", "linestrip")


def _line_width(drawn: list[Shape], file: LabelmeFile) -> float:
    bodies = [shape for shape in drawn if shape.label == BODY]
    if bodies:
        x0, y0, x1, y1 = bounds(bodies)
        return _LINE_SHARE * _MARGIN * max(x1 - x0, y1 - y0, 1.0)
    return _LINE_SHARE * max(file.width or 0, file.height or 0, 128)


def _read_shape(
    entry: dict[str, Any], file: LabelmeFile, categories: Mapping[str, str] | None, line_width: float
) -> list[Shape]:
    label = find_label(str(entry["label"]), categories)
    points = tuple((float(x), float(y)) for x, y in entry["points"])
    kind = entry.get("shape_type") or "polygon"
    description = str(entry.get("description") or "")
    if kind == "mask":
        return [Shape(label, outline) for outline in _mask_outlines(entry, points, file)]
    if kind in ("line", "linestrip"):
        return [_shape_of_line(label, points, kind, line_width, description)]
    if kind in _WITHOUT_AREA:
        raise ValueError(f"{label}: expected a shape with an area, got {_WITHOUT_AREA[kind]}; draw a circle or polygon")
    if kind == "rectangle" and len(points) == 4:
        # Some versions of labelme write all four corners.
        points = (points[0], points[2])
    return [Shape(label, points, kind, description)]


def _shape_of_line(
    label: str, points: tuple[tuple[float, float], ...], kind: str, line_width: float, description: str
) -> Shape:
    """What a line stands for: the area that it goes around, or a band about a terminator."""
    if len(points) < 2 or not np.isfinite(points).all():
        raise ValueError(f"{label} {kind}: expected 2 or more points, got {len(points)}: {points}")
    steps = np.hypot(*np.diff(np.array(points), axis=0).T)
    if kind == "linestrip" and len(points) > 3 and math.dist(points[0], points[-1]) <= _CLOSED * float(steps.sum()):
        return Shape(label, points[:-1] if points[0] == points[-1] else points, "polygon", description)
    if label == TERMINATOR:
        return Shape(label, stroke(points, line_width), "polygon", description)
    raise ValueError(
        f"{label}: expected a shape with an area, got {_WITHOUT_AREA[kind]}; draw a polygon, or end the line where it "
        "begins"
    )


def _mask_outlines(
    entry: dict[str, Any], points: tuple[tuple[float, float], ...], file: LabelmeFile
) -> list[tuple[tuple[float, float], ...]]:
    """The outlines of what is painted in a mask: a picture of the box whose corner pixels are its two points."""
    try:
        data = np.frombuffer(base64.b64decode(entry["mask"]), dtype=np.uint8)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"mask: expected a PNG in base64, got {str(entry.get('mask'))[:20]!r}") from error
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if picture is None:
        raise ValueError(f"mask: expected a PNG in base64, got {len(data)} bytes that are none")
    if len(points) != 2 or not np.isfinite(points).all():
        raise ValueError(f"mask: expected 2 points, got {points}")
    x, y = (int(v) for v in np.rint(np.min(points, axis=0)))
    width, height = (int(v) + 1 for v in np.rint(np.max(points, axis=0)) - (x, y))
    painted = picture.reshape(*picture.shape[:2], -1).any(axis=2)
    # Corners that are no whole numbers may be rounded either way.
    if abs(painted.shape[0] - height) > 1 or abs(painted.shape[1] - width) > 1:
        raise ValueError(
            f"mask: expected {width} x {height} pixels as its points say, got {painted.shape[1]} x {painted.shape[0]}"
        )
    for axis, (start, size) in enumerate(((y, file.height), (x, file.width))):
        # What is painted beyond the image is nothing.
        at = start + np.arange(painted.shape[axis])
        beyond = (at < 0) | (at >= size if size is not None else False)
        painted[beyond if axis == 0 else (slice(None), beyond)] = False
    if not painted.any():
        raise ValueError("mask: expected painted pixels in the image, got none")
    return [tuple((px + x, py + y) for px, py in outline) for outline in trace(painted)]
