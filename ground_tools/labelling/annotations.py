"""One image's labels as a labelme file: shapes in labelme's own fields, ours below the key `rubblemap`."""

from __future__ import annotations

import itertools
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ground_tools.foundation.files import write_whole
from ground_tools.labelling.labelme import LabelmeFile, read_labelme, read_shapes
from ground_tools.labelling.shapes import SILHOUETTES, Shape

LABELME_VERSION = "5.5.0"

# A square of an image: first column, first row, side, pixels.
Crop = tuple[int, int, int]


@dataclass(frozen=True)
class Annotation:
    """The labels of one image.

    file: its name in manifest.csv. sha256: of the image's file. width, height: pixels. shapes: in the order drawn.
    silhouette: whether the body's outline follows what is seen, or what a person infers of the unlit side, too.
    crop: the square that becomes the sample; None: automatic. close_ups: squares that become samples in its place, each
    one its own, where the ground goes on beyond the square; no two share a pixel. labelled: a person has looked at it
    and calls it done. note: anything worth telling.
    """

    file: str
    sha256: str
    width: int
    height: int
    shapes: tuple[Shape, ...] = ()
    silhouette: str = "seen"
    crop: Crop | None = None
    labelled: bool = False
    note: str = ""
    close_ups: tuple[Crop, ...] = ()


def default_name(file: str) -> str:
    """The name of the label file for an image: `still/bennu_01.png` -> `still_bennu_01.json`."""
    return file.replace("/", "_").rsplit(".", 1)[0] + ".json"


def write_annotation(annotation: Annotation, path: Path) -> None:
    """Write a label file whole."""
    write_whole(path, _encode(annotation))


def write_annotations(annotations: Mapping[Path, Annotation]) -> None:
    """Write many label files, all or none: where one cannot be written, those of before are there again."""
    parts = {path: path.with_name(f".{path.name}.{os.getpid()}.part") for path in annotations}
    before = {path: path.with_name(f".{path.name}.{os.getpid()}.before.part") for path in annotations}
    replaced: list[Path] = []
    try:
        for path, part in parts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(_encode(annotations[path]))
            if path.exists():
                before[path].write_bytes(path.read_bytes())
        for path, part in parts.items():
            part.replace(path)
            replaced.append(path)
    except BaseException:
        for path in replaced:
            if before[path].exists():
                before[path].replace(path)
            else:
                path.unlink()
        raise
    finally:
        for path in (*parts.values(), *before.values()):
            path.unlink(missing_ok=True)


def _encode(annotation: Annotation) -> bytes:
    """A label file, one shape a line, so that changes read well side by side."""
    shapes = [
        json.dumps(
            {
                "label": shape.label,
                "points": [[x, y] for x, y in shape.points],
                "group_id": None,
                "description": shape.description,
                "shape_type": shape.kind,
                "flags": {},
            }
        )
        for shape in annotation.shapes
    ]
    ours = {
        "sha256": annotation.sha256,
        "silhouette": annotation.silhouette,
        "crop": None if annotation.crop is None else list(annotation.crop),
        **({"close_ups": [list(square) for square in annotation.close_ups]} if annotation.close_ups else {}),
        "labelled": annotation.labelled,
        "note": annotation.note,
    }
    fields = {
        "version": json.dumps(LABELME_VERSION),
        "flags": "{}",
        "shapes": "[\n  " + ",\n  ".join(shapes) + "\n ]" if shapes else "[]",
        "imagePath": json.dumps(annotation.file),
        "imageData": "null",
        "imageHeight": str(annotation.height),
        "imageWidth": str(annotation.width),
        "rubblemap": json.dumps(ours),
    }
    text = "{\n" + ",\n".join(f' "{name}": {value}' for name, value in fields.items()) + "\n}\n"
    return text.encode()


def read_annotation(path: Path) -> tuple[Annotation, list[str]]:
    """Read a label file; returns the labels, and what is wrong with single shapes, which are left out.

    Raises ValueError naming the file when it is no label file at all.
    """
    return annotation_of(read_labelme(path))


def annotation_of(drawn: LabelmeFile) -> tuple[Annotation, list[str]]:
    """The labels of a labelme file, as of `read_annotation`."""
    path, ours = drawn.path, drawn.ours
    if not isinstance(ours, dict):
        raise ValueError(f"{path}: rubblemap: expected an object with the image's sha256; {how_to_import(path)}")
    for name, value in (("imageWidth", drawn.width), ("imageHeight", drawn.height)):
        if value is None:
            raise ValueError(f"{path}: {name}: expected int, got None")
    silhouette = ours.get("silhouette", "seen")
    if silhouette not in SILHOUETTES:
        raise ValueError(f"{path}: rubblemap.silhouette: expected {' or '.join(SILHOUETTES)}, got {silhouette!r}")
    shapes, wrong = read_shapes(drawn)
    annotation = Annotation(
        file=drawn.image,
        sha256=_field(path, ours, "sha256", str),
        width=drawn.width or 0,
        height=drawn.height or 0,
        shapes=tuple(shapes),
        silhouette=silhouette,
        crop=None if ours.get("crop") is None else _crop(path, "crop", ours["crop"]),
        labelled=bool(ours.get("labelled", False)),
        note=str(ours.get("note", "")),
        close_ups=_close_ups(path, ours.get("close_ups", [])),
    )
    return annotation, [f"{path}: shape {number}: {error}; left out" for number, error in wrong]


def how_to_import(path: Path) -> str:
    """What to do with a file that was drawn in labelme without our commands."""
    return f"drawn in labelme, not taken in yet: `ground-tools label import --labelme {shlex.quote(str(path))}`"


def _field(path: Path, data: dict[str, Any], name: str, kind: type) -> Any:
    value = data.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{path}: {name}: expected {kind.__name__}, got {value!r}")
    return value


def _crop(path: Path, field: str, value: Any) -> Crop:
    whole = isinstance(value, list) and len(value) == 3 and all(type(v) is int for v in value)
    if not whole or value[2] < 8:
        raise ValueError(
            f"{path}: rubblemap.{field}: expected three integers x, y, side, the side 8 or more, got {value!r}"
        )
    return value[0], value[1], value[2]


def _close_ups(path: Path, value: Any) -> tuple[Crop, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{path}: rubblemap.close_ups: expected a list of squares, got {value!r}")
    squares = tuple(_crop(path, f"close_ups[{number}]", square) for number, square in enumerate(value))
    check_apart(squares, f"{path}: rubblemap.close_ups")
    return squares


def check_apart(squares: Sequence[Crop], place: str) -> None:
    """Raise ValueError when two squares share a pixel: one sample would show what another one does."""
    for (x, y, side), (other_x, other_y, other_side) in itertools.combinations(squares, 2):
        if x < other_x + other_side and other_x < x + side and y < other_y + other_side and other_y < y + side:
            first, second = (f"{one[0]},{one[1]},{one[2]}" for one in ((x, y, side), (other_x, other_y, other_side)))
            raise ValueError(f"{place}: expected squares that share no pixel, got {first} and {second}")
