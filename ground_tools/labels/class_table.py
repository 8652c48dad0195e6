"""Class tables: the classes of a set or network with their colours and roles, and the value of pixels without a label.

A mask holds the number of a class in each pixel, or IGNORED where nobody has said what is there: such a pixel gives no
loss and no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from ground_tools.foundation.descriptions import read_structure
from ground_tools.foundation.names import check_name
from ground_tools.foundation.structures import FieldError, TomlTable
from ground_tools.labels.classes import CLASS_NAMES, CLASS_ROLES, COLORS

IGNORED = 255
IGNORED_COLOR = (255, 0, 255)
MOST_CLASSES = 64
ROLES = ("background", "safe", "hazard", "terminator")

Color = tuple[int, int, int]
_Byte = Annotated[int, Meta(ge=0, le=255)]


class ClassEntry(TomlTable, frozen=True):
    """One class of a file of classes."""

    name: Annotated[str, Meta(min_length=1, max_length=32, description="what results and maps call it")]
    color: Annotated[tuple[_Byte, _Byte, _Byte], Meta(description="red, green, blue, in RGB masks and pictures")]
    role: Annotated[str, Meta(description="what it means to a consumer: background, safe, hazard or terminator")]

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise FieldError("role", " or ".join(ROLES), repr(self.role))


class ClassFile(TomlTable, frozen=True):
    """A file of classes."""

    classes: Annotated[tuple[ClassEntry, ...], Meta(min_length=1)]
    ignored_color: Annotated[
        tuple[_Byte, _Byte, _Byte] | None, Meta(description="of pixels without a label in RGB masks")
    ] = None

    def __post_init__(self) -> None:
        if not 2 <= len(self.classes) <= MOST_CLASSES:
            raise FieldError("classes", f"2..{MOST_CLASSES} classes", str(len(self.classes)))


@dataclass(frozen=True)
class ClassTable:
    """Classes in the order of their numbers.

    Attributes:
        names: what results call them.
        colors: red, green, blue, 0..255.
        roles: what they mean to a consumer.
        ignored_color: of pixels without a label in RGB masks; None where masks have a label everywhere.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    roles: tuple[str, ...]
    ignored_color: Color | None = None

    def __post_init__(self) -> None:
        for name in self.names:
            check_name(name, "classes")
        colors = [*self.colors, *([self.ignored_color] if self.ignored_color is not None else [])]
        for what, values in (("names", self.names), ("colours", colors)):
            if len(set(values)) < len(values):
                raise ValueError(f"classes: expected different {what}, got {', '.join(map(str, values))}")

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def palette(self) -> np.ndarray:
        """(256, 3) uint8: the colour of each value that a mask may have."""
        palette = np.full((256, 3), self.ignored_color or IGNORED_COLOR, dtype=np.uint8)
        palette[: len(self)] = self.colors
        return palette

    def describe(self) -> dict[str, Any]:
        """As dataset.json and training.json hold it; `table_of` reads it."""
        return {
            "classes": list(self.names),
            "class_colors": [list(color) for color in self.colors],
            "class_roles": list(self.roles),
            "ignored_color": None if self.ignored_color is None else list(self.ignored_color),
        }

    def manifest_entries(self) -> list[dict[str, Any]]:
        """As a bundle's manifest holds it."""
        triples = zip(self.names, self.colors, self.roles, strict=True)
        return [
            {"index": index, "name": name, "color": list(color), "role": role}
            for index, (name, color, role) in enumerate(triples)
        ]


SMALL_BODY_CLASSES = ClassTable(
    CLASS_NAMES, tuple(COLORS[name] for name in CLASS_NAMES), tuple(CLASS_ROLES[name] for name in CLASS_NAMES)
)


def read_class_table(path: Path) -> ClassTable:
    """Read a file of classes.

    Raises:
        ValueError: naming file and field, where it is malformed.
    """
    file = read_structure("classes", path, ClassFile)
    try:
        return ClassTable(
            tuple(entry.name for entry in file.classes),
            tuple(entry.color for entry in file.classes),
            tuple(entry.role for entry in file.classes),
            file.ignored_color,
        )
    except ValueError as error:
        raise ValueError(f"classes {path}: {error}") from error


def table_of(description: dict[str, Any]) -> ClassTable:
    """The classes that the description of a set, or a training's record, states; of others, those of small bodies.

    Raises:
        ValueError: names and colours do not fit each other.
    """
    if "class_colors" not in description:
        return SMALL_BODY_CLASSES
    ignored = description.get("ignored_color")
    names, colors, roles = (tuple(description[key]) for key in ("classes", "class_colors", "class_roles"))
    if not len(names) == len(colors) == len(roles):
        raise ValueError(f"classes: expected {len(names)} colours and roles, got {len(colors)} and {len(roles)}")
    return ClassTable(names, tuple(map(_color, colors)), roles, None if ignored is None else _color(ignored))


def _color(values: Sequence[int]) -> Color:
    red, green, blue = (int(value) for value in values)
    return red, green, blue
