"""Craft as models: triangles with the part and the finish of each; and our own ones, read from TOML."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from msgspec import Meta

from ground_tools.foundation.descriptions import parse, read_toml
from ground_tools.foundation.expectations import format_toml_value
from ground_tools.foundation.names import PLAIN_NAME, is_plain_name
from ground_tools.foundation.structures import FieldError, TomlTable
from ground_tools.missions.spacecraft.finishes import FINISHES

OWN_CRAFT = Path(__file__).with_name("craft.toml")
PARTS = ("background", "body", "solar_panel", "antenna")
Part = Literal["body", "solar_panel", "antenna"]
Split = Literal["train", "validation", "test"]
Length = Annotated[float, Meta(gt=0, le=1000)]
# Share of a craft's surface by which it is framed.
_HELD = 0.9
Reach = Annotated[float, Meta(ge=0, le=1000)]
# What pieces of each kind need besides where they are; the first ones are always given.
_NEEDS: dict[str, tuple[str, ...]] = {
    "box": ("size",),
    "ball": ("diameter",),
    "cylinder": ("axis", "diameter", "length"),
    "dish": ("axis", "diameter", "length"),
    "wing": ("axis", "size", "panels"),
}
_MAY_HAVE: dict[str, tuple[str, ...]] = {"cylinder": ("top", "sides"), "wing": ("yoke",), "dish": ("feed",)}


class Vector(NamedTuple):
    """A place, a direction or extents along the axes of a craft."""

    x: float
    y: float
    z: float


class Piece(TomlTable, frozen=True):
    """A simple body that craft are made of, in metres, z up."""

    kind: Annotated[Literal["box", "ball", "cylinder", "dish", "wing"], Meta(description="what it is")]
    part: Annotated[Part, Meta(description="class of its pixels")]
    finish: Annotated[str, Meta(description="surface, a name of `finishes.FINISHES`")]
    at: Annotated[Vector, Meta(description="middle of a box or a ball; foot of a cylinder, a dish, a wing; m")] = (
        Vector(0.0, 0.0, 0.0)
    )
    size: Annotated[
        Vector | None, Meta(description="extents of a box, or of one panel of a wing along, across and through; m")
    ] = None
    axis: Annotated[Vector | None, Meta(description="where a cylinder, a dish or a wing goes from its foot")] = None
    diameter: Annotated[Length | None, Meta(description="of a ball, a cylinder, a dish's rim; m")] = None
    length: Annotated[Length | None, Meta(description="of a cylinder; depth of a dish; m")] = None
    top: Annotated[Reach | None, Meta(description="diameter of a cylinder's far end, m (default: the same)")] = None
    sides: Annotated[Annotated[int, Meta(ge=3, le=256)] | None, Meta(description="of a cylinder (default: 32)")] = None
    panels: Annotated[Annotated[int, Meta(ge=1, le=32)] | None, Meta(description="panels of a wing")] = None
    yoke: Annotated[Reach | None, Meta(description="length of a wing's yoke, m (default: 0.3)")] = None
    feed: Annotated[bool | None, Meta(description="whether a dish has a feed on three legs (default: true)")] = None
    copies: Annotated[int, Meta(ge=1, le=64, description="how many there are, at equal angles around the z axis")] = 1
    swing_deg: Annotated[
        float,
        Meta(ge=0, le=180, description="how far a wing turns about its axis, or a dish tilts, from image to image"),
    ] = 0.0

    def __post_init__(self) -> None:
        if self.finish not in FINISHES:
            raise FieldError("finish", f"one of {', '.join(FINISHES)}", format_toml_value(self.finish))
        needed, possible = _NEEDS[self.kind], _MAY_HAVE.get(self.kind, ())
        for name in ("size", "axis", "diameter", "length", "top", "sides", "panels", "yoke", "feed"):
            value = getattr(self, name)
            if name in needed and value is None:
                raise FieldError(name, f"it, as of every {self.kind}", "nothing")
            if value is not None and name not in (*needed, *possible):
                raise FieldError(name, f"none, as of every {self.kind}", format_toml_value(value))
        if self.size is not None and min(self.size) <= 0:
            raise FieldError("size", "extents above 0", format_toml_value(list(self.size)))
        if self.axis is not None and not any(self.axis):
            raise FieldError("axis", "a direction", format_toml_value(list(self.axis)))


class CraftRecipe(TomlTable, frozen=True):
    """A craft of our own: its pieces, and the split that all of its images go to."""

    split: Annotated[Split, Meta(description="split of all of its images")]
    pieces: Annotated[tuple[Piece, ...], Meta(min_length=1, description="what it is made of")]


class _OwnCraft(TomlTable, frozen=True):
    craft: dict[str, CraftRecipe]


@dataclass(frozen=True)
class CraftModel:
    """A craft as triangles, in metres, in its own frame.

    Attributes:
        vertices: (V, 3) float64, metres.
        faces: (F, 3) int32.
        parts: (F,) uint8, the class of each triangle, a place in PARTS.
        slots: (F,) int32, what each triangle is finished with, a place in `finishes`.
        finishes: names of FINISHES.
    """

    vertices: np.ndarray
    faces: np.ndarray
    parts: np.ndarray
    slots: np.ndarray
    finishes: tuple[str, ...]

    @property
    def extent(self) -> float:
        """The diameter of the ball about its origin that holds it, metres."""
        return 2.0 * float(np.linalg.norm(self.vertices, axis=1).max())

    @cached_property
    def middle(self) -> np.ndarray:
        """The mean of its surface, (3,) float64, metres."""
        centers, areas = self._surface
        mean: np.ndarray = areas @ centers / areas.sum()
        return mean

    @cached_property
    def span(self) -> float:
        """The diameter of the ball about its middle that holds most of its surface, metres: thin booms go beyond."""
        centers, areas = self._surface
        distances = np.linalg.norm(centers - self.middle, axis=1)
        order = np.argsort(distances)
        held = np.cumsum(areas[order]) / areas.sum()
        return 2.0 * float(distances[order][np.searchsorted(held, _HELD)])

    @cached_property
    def _surface(self) -> tuple[np.ndarray, np.ndarray]:
        """Centers (F, 3) and areas (F,) of the triangles."""
        corners = self.vertices[self.faces]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        return corners.mean(axis=1), np.linalg.norm(across, axis=1) / 2.0


def read_own_craft(path: Path = OWN_CRAFT) -> dict[str, CraftRecipe]:
    """The craft in a TOML file, by name.

    Raises:
        ValueError: naming the file and field that does not fit.
    """
    table: dict[str, Any] = read_toml("craft", path)
    found = parse(f"craft {path}", table, _OwnCraft).craft
    for name in found:
        if not is_plain_name(name):
            raise ValueError(f"craft {path}: craft: expected {PLAIN_NAME}, got {format_toml_value(name)}")
    return found
