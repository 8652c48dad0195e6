"""Labelled shapes: what may be drawn, their outlines and sizes, and their lines of text.

Coordinates are pixels of the original image, x to the right, y down, as labelme and COCO have them: the first pixel
covers 0..1, its middle is at 0.5.
"""

from __future__ import annotations

import itertools
import math
import zlib
from dataclasses import dataclass, replace

import cv2
import numpy as np

BODY, CRATER, BOULDER, TERMINATOR = LABELS = ("body", "crater", "boulder", "terminator")
SILHOUETTES = ("seen", "inferred")
# How many points each kind has; a polygon has that many or more.
KINDS = {"polygon": 3, "circle": 2, "rectangle": 2, "oriented_rectangle": 4}
# Sides that are looked at together for crossings.
_STRETCH = 64
# An ellipse becomes a polygon that keeps nearer to it than this (pixels).
_ELLIPSE_TOLERANCE = 0.05
_ELLIPSE_POINTS = (16, 200)
_PROPOSED = "proposed"


@dataclass(frozen=True)
class Shape:
    """One labelled shape.

    label: one of LABELS. points: (x, y) pixels of the original image. kind: polygon (3 or more points), circle (the
    middle and a point of the rim), rectangle (two opposite corners) or oriented_rectangle (four corners in order).
    description: free text of the file; here it tells of an ellipse that the polygon was made from, and whether the
    shape is a proposal.
    """

    label: str
    points: tuple[tuple[float, float], ...]
    kind: str = "polygon"
    description: str = ""

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise ValueError(f"label: expected {', '.join(LABELS)}, got {self.label!r}")
        if self.kind not in KINDS:
            raise ValueError(f"shape type: expected {', '.join(KINDS)}, got {self.kind!r}")
        count, needed = len(self.points), KINDS[self.kind]
        if count < needed if self.kind == "polygon" else count != needed:
            expected = f"{needed} or more" if self.kind == "polygon" else needed
            raise ValueError(f"{self.label} {self.kind}: expected {expected} points, got {count}")
        if not np.isfinite(self.points).all():
            raise ValueError(f"{self.label} {self.kind}: expected finite coordinates, got {self.points}")


def outline(shape: Shape) -> np.ndarray:
    """The shape as a polygon: (N, 2) float64, x and y in pixels of the original image, not closed."""
    points = np.asarray(shape.points, dtype=np.float64)
    if shape.kind == "circle":
        radius = float(np.hypot(*(points[1] - points[0])))
        return np.asarray(_ellipse_points(points[0][0], points[0][1], radius, radius, 0.0))
    if shape.kind == "rectangle":
        (x0, y0), (x1, y1) = points
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    return points


def ellipse(label: str, x: float, y: float, a: float, b: float, angle: float = 0.0) -> Shape:
    """An ellipse as a polygon of 16 to 200 points; its description keeps the figures.

    x, y: its middle. a, b: half axes, pixels. angle: of the axis a, degrees from the x axis, clockwise as seen. Raises
    ValueError for axes that are not positive.
    """
    if not (a > 0.0 and b > 0.0):
        raise ValueError(f"{label} ellipse: expected half axes above 0, got {a:g} and {b:g}")
    points = tuple((round(px, 2), round(py, 2)) for px, py in _ellipse_points(x, y, a, b, angle))
    return Shape(label, points, "polygon", f"ellipse {x:g},{y:g},{a:g},{b:g},{angle:g}")


def _ellipse_points(x: float, y: float, a: float, b: float, angle: float) -> list[tuple[float, float]]:
    largest = max(a, b, 1e-9)
    step = 2.0 * math.acos(max(1.0 - _ELLIPSE_TOLERANCE / largest, -1.0))
    count = int(np.clip(math.ceil(2.0 * math.pi / step), *_ELLIPSE_POINTS))
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    points = []
    for turn in np.arange(count) * (2.0 * math.pi / count):
        u, v = a * math.cos(turn), b * math.sin(turn)
        points.append((x + u * cosine - v * sine, y + u * sine + v * cosine))
    return points


def area(shape: Shape) -> float:
    """Area within the outline, square pixels of the original image."""
    x, y = outline(shape).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2.0)


def middle(shape: Shape) -> tuple[float, float]:
    """The centre of the area within the outline, pixels of the image; of an outline without area, that of its box."""
    points = outline(shape)
    corner = points.min(axis=0)
    # Small numbers: far from the image's corner the sums would cancel.
    (x, y), (next_x, next_y) = (points - corner).T, (np.roll(points, -1, axis=0) - corner).T
    crosses = x * next_y - next_x * y
    total = crosses.sum()
    if abs(total) < 1e-6:
        centre = (points.max(axis=0) - corner) / 2.0
    else:
        centre = np.array([((x + next_x) * crosses).sum(), ((y + next_y) * crosses).sum()]) / (3.0 * total)
    return float(corner[0] + centre[0]), float(corner[1] + centre[1])


def across(shape: Shape) -> float:
    """How far the shape reaches across: the longer side of the smallest rectangle around it, pixels of the image."""
    return float(max(cv2.minAreaRect(outline(shape).astype(np.float32))[1]))


def crosses_itself(shape: Shape) -> bool:
    """Whether two sides of the outline cross.

    Sides that are gone along both ways are none: they join an outline to its holes.
    """
    points = outline(shape)
    sides = list(zip(map(tuple, points.tolist()), map(tuple, np.roll(points, -1, axis=0).tolist()), strict=True))
    there = set(sides)
    ends = np.array([side for side in sides if side[::-1] not in there]).reshape(-1, 2, 2)
    low, high = ends.min(axis=1), ends.max(axis=1)
    for first in range(0, len(ends), _STRETCH):
        stretch = slice(first, first + _STRETCH)
        # Of the sides after, those that may reach this stretch.
        near = (low <= high[stretch].max(axis=0)).all(axis=1) & (high >= low[stretch].min(axis=0)).all(axis=1)
        near[:first] = False
        if _meet(ends[stretch, None, 0], ends[stretch, None, 1], ends[near, 0], ends[near, 1]).any():
            return True
    return False


def _side(a: np.ndarray, b: np.ndarray, p: np.ndarray) -> np.ndarray:
    """On which side of the lines a -> b the points p lie: the sign of the cross product, 0 at their ends."""
    sides: np.ndarray = np.sign(
        (b[..., 0] - a[..., 0]) * (p[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (p[..., 0] - a[..., 0])
    )
    return sides


def _meet(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Whether the sides a -> b properly cross the sides c -> d."""
    meet: np.ndarray = (_side(a, b, c) * _side(a, b, d) < 0) & (_side(c, d, a) * _side(c, d, b) < 0)
    return meet


def _mark(shape: Shape) -> str:
    text = " ".join(f"{x:.2f},{y:.2f}" for x, y in shape.points)
    return f"{_PROPOSED} {zlib.crc32(text.encode()):08x}"


def as_proposal(shape: Shape) -> Shape:
    """The shape marked as a proposal; the mark holds as long as nobody moves a point, with whatever tool."""
    return replace(shape, description=_mark(shape))


def is_proposal(shape: Shape) -> bool:
    """Whether the shape is a proposal that nobody has changed or accepted."""
    return shape.description == _mark(shape)


def accepted(shape: Shape) -> Shape:
    """The shape without the mark of a proposal."""
    return replace(shape, description="") if shape.description.startswith(_PROPOSED) else shape


def as_line(shape: Shape) -> str:
    """The shape as a line of text, which shape_of_line reads: `crater ellipse 120,80,14,10,30`."""
    if shape.description.startswith("ellipse "):
        with_figures = _ellipse_of(shape.label, shape.description.removeprefix("ellipse "))
        if with_figures.points == shape.points:
            return f"{shape.label} {shape.description}"
    if shape.kind == "circle":
        (x, y), rim = shape.points
        return f"{shape.label} circle {x:g},{y:g},{math.hypot(rim[0] - x, rim[1] - y):g}"
    return f"{shape.label} {shape.kind} " + " ".join(f"{x:g},{y:g}" for x, y in shape.points)


def shape_of_line(line: str) -> Shape:
    """A shape from `LABEL ellipse X,Y,A,B,ANGLE`, `LABEL circle X,Y,R`, `LABEL polygon X,Y X,Y ...`, or rectangle.

    Raises ValueError with the line.
    """
    label, _, rest = line.strip().partition(" ")
    kind, _, values = rest.strip().partition(" ")
    try:
        if kind == "ellipse":
            return _ellipse_of(label, values)
        if kind == "circle":
            x, y, radius = _numbers(values, 3)
            if not radius > 0.0:
                raise ValueError(f"expected a radius above 0, got {radius:g}")
            return Shape(label, ((x, y), (x + radius, y)), "circle")
        points = tuple((x, y) for x, y in (_numbers(pair, 2) for pair in values.split()))
        return Shape(label, points, kind)
    except ValueError as error:
        raise ValueError(f"{line.strip()!r}: {error}") from error


def _ellipse_of(label: str, values: str) -> Shape:
    numbers = _numbers(values, 4, 5)
    return ellipse(label, *numbers)


def _numbers(text: str, least: int, most: int | None = None) -> list[float]:
    parts = [part for part in text.replace(" ", "").split(",") if part]
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if not least <= len(numbers) <= (most or least):
        raise ValueError(f"expected {least}{f' or {most}' if most else ''} numbers with commas between, got {text!r}")
    return numbers


def counted(shapes: tuple[Shape, ...] | list[Shape]) -> dict[str, int]:
    """How many shapes of each label, in the order of LABELS."""
    labels = [shape.label for shape in shapes]
    return {label: labels.count(label) for label in LABELS}


def bounds(shapes: list[Shape]) -> tuple[float, float, float, float]:
    """Least x, least y, largest x, largest y of all outlines. Raises ValueError for no shapes."""
    if not shapes:
        raise ValueError("expected shapes, got none")
    points = np.array(list(itertools.chain.from_iterable(outline(shape) for shape in shapes)))
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)
