"""Landing circles from a product of map.hazard: the largest discs that hold nothing but certain, safe ground.

The same calculation in C++: rubblemap/consumers.hpp. docs/gnc.md states the rules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from flight.client.map_view import Doubles, MapView, Mask, Refusal, Spread, unit_range, view_of
from flight.icd.limits import TOPIC_HAZARD
from flight.icd.products import Product

MOST_CIRCLES = 16
# What one search may cost: so many looks at a pixel for each pixel of the map, and never less than LEAST_BUDGET_PIXELS
# have, as in a small or narrow map most pixels may tie; a candidate costs its window's pixels and CANDIDATE_VISITS
# more. A map needs few; a damaged plane of clearances could promise room everywhere.
MOST_VISITS = 256
LEAST_BUDGET_PIXELS = 128 * 128
CANDIDATE_VISITS = 1024
# From the centre of a pixel to its corner: a circle that keeps this far from a hazard's centre misses all of its pixel.
HALF_DIAGONAL = math.sqrt(0.5)
# Clearances come as binary16, which may have rounded them up by this part.
HALF_ROUNDING = 2.0**-11


@dataclass(frozen=True)
class LandingCircle:
    """A disc of safe ground. Sensor pixels: x right, y down, pixel centres at integers.

    x, y: centre. radius: in the direction in which the affine stretches least. column, row: map pixel in the centre.
    worst_probability: the largest hazard probability of the map pixels that the disc touches. worst_x, worst_y,
    worst_entropy: where that is, and its predictive entropy, nats. mean_probability: over the same map pixels.
    """

    x: float
    y: float
    radius: float
    column: int
    row: int
    worst_probability: float
    worst_x: float
    worst_y: float
    worst_entropy: float
    mean_probability: float


@dataclass(frozen=True)
class LandingCircles:
    """Circles, the largest first, none overlapping another; empty where the map has no room.

    dropped: candidates whose clearance promised room that the map does not show. complete: False when MOST_VISITS
    ended the search; the circles found until then hold. warnings: the product's flags, in the ICD's order,
    "unknown_flag" last.
    """

    circles: tuple[LandingCircle, ...]
    dropped: int
    complete: bool
    warnings: tuple[str, ...]


def landing_circles(product: Product, minimum_radius_px: float, count: int) -> LandingCircles | Refusal:
    """Up to `count` (1..16) landing circles of at least `minimum_radius_px` sensor pixels.

    Refused: an invalid product, one flagged body_not_found, dark, empty_sky or high_entropy, an affine that does not
    span the sensor. Raises ValueError for a product of another topic or an argument out of range.
    """
    if not (minimum_radius_px >= 0.0 and math.isfinite(minimum_radius_px)):
        raise ValueError(f"minimum_radius_px: expected a finite number, 0 or more, got {minimum_radius_px:g}")
    if not 1 <= count <= MOST_CIRCLES:
        raise ValueError(f"count: expected 1..{MOST_CIRCLES}, got {count}")
    view = view_of(product, TOPIC_HAZARD, "landing_circles")
    if isinstance(view, Refusal):
        return view
    return _Search(view, minimum_radius_px).run(count)


class _Search:
    """The greedy search over one map; circles in map pixels."""

    def __init__(self, view: MapView, minimum_radius_px: float) -> None:
        self._view = view
        self._safe = view.with_role("enhanced_class_map", "safe")
        self._probability = unit_range(view.planes["hazard_probability"].astype(np.float64))
        self._radii = _radii(view)
        self._scale = _least_scale(view)
        self._alive: Mask = (self._radii > 0.0) & (self._radii * self._scale >= minimum_radius_px)
        self._worst: dict[int, float] = {}  # of candidates looked into, by their place in raster order
        self._visits = 0
        self._most_visits = MOST_VISITS * max(view.height * view.width, LEAST_BUDGET_PIXELS)
        self._dropped = 0
        self._complete = True

    def run(self, count: int) -> LandingCircles:
        circles: list[LandingCircle] = []
        while len(circles) < count and self._complete and self._alive.any():
            self._visits += 2 * self._alive.size  # the two passes of this round
            best = self._best_of_largest()
            if best is None:
                continue
            circles.append(self._circle(best))
            self._drop_overlapping(best)
        return LandingCircles(tuple(circles), self._dropped, self._complete, self._view.warnings)

    def _best_of_largest(self) -> int | None:
        """Of the largest candidates left, the one with the smallest worst probability, the first of equal ones.

        None when none of them holds, or too many were looked into.
        """
        radii = np.where(self._alive, self._radii, 0.0).ravel()
        best: int | None = None
        for place in np.flatnonzero(radii == radii.max()):
            place = int(place)
            if place not in self._worst:
                rows, columns = self._window(place)
                self._visits += (rows.stop - rows.start) * (columns.stop - columns.start) + CANDIDATE_VISITS
                if self._visits > self._most_visits:
                    self._complete = False
                    return None
                rows, columns, inside = self._inside(place)
                if not self._safe[rows, columns][inside].all():
                    self._dropped += 1
                    self._alive.flat[place] = False
                    continue
                self._worst[place] = float(self._probability[rows, columns][inside].max())
            if best is None or self._worst[place] < self._worst[best]:
                best = place
        return best

    def _window(self, place: int) -> tuple[slice, slice]:
        """Rows and columns of the part of the map in which a candidate's circle lies."""
        row, column = divmod(place, self._view.width)
        reach = math.ceil(float(self._radii[row, column]) + 0.5)
        rows = slice(max(row - reach, 0), min(row + reach + 1, self._view.height))
        columns = slice(max(column - reach, 0), min(column + reach + 1, self._view.width))
        return rows, columns

    def _inside(self, place: int) -> tuple[slice, slice, Mask]:
        """The window of a candidate, and its pixels that the circle touches."""
        row, column = divmod(place, self._view.width)
        radius = float(self._radii[row, column])
        rows, columns = self._window(place)
        dv, du = _beyond_half(rows, row), _beyond_half(columns, column)
        return rows, columns, (du * du)[None, :] + (dv * dv)[:, None] < radius * radius

    def _circle(self, place: int) -> LandingCircle:
        view = self._view
        row, column = divmod(place, view.width)
        rows, columns, inside = self._inside(place)
        touched = self._probability[rows, columns][inside]
        places_v, places_u = np.nonzero(inside)
        first = int(np.argmax(touched))
        v, u = int(places_v[first]) + rows.start, int(places_u[first]) + columns.start
        x, y = view.sensor_point(column, row)
        worst_x, worst_y = view.sensor_point(u, v)
        return LandingCircle(
            x=x,
            y=y,
            radius=float(self._radii[row, column]) * self._scale,
            column=column,
            row=row,
            worst_probability=float(touched[first]),
            worst_x=worst_x,
            worst_y=worst_y,
            worst_entropy=_entropy(float(view.planes["predictive_entropy"][v, u]), math.log(view.classes)),
            mean_probability=float(np.cumsum(touched)[-1]) / len(touched),
        )

    def _drop_overlapping(self, place: int) -> None:
        row, column = divmod(place, self._view.width)
        du = np.arange(self._view.width, dtype=np.float64) - column
        dv = np.arange(self._view.height, dtype=np.float64) - row
        reach = self._radii + self._radii[row, column]
        self._alive &= (du * du)[None, :] + (dv * dv)[:, None] >= reach * reach


def _radii(view: MapView) -> Doubles:
    """(H, W) radius of the largest disc around each pixel that its clearance and the map's border leave, map pixels.

    0 where there is none.
    """
    clearance = view.planes["clearance"].astype(np.float64)
    columns, rows = np.arange(view.width, dtype=np.float64), np.arange(view.height, dtype=np.float64)
    across = np.minimum(columns, view.width - 1.0 - columns) + 0.5
    down = np.minimum(rows, view.height - 1.0 - rows) + 0.5
    border = np.minimum(across[None, :], down[:, None])
    free = clearance * (1.0 - HALF_ROUNDING) - HALF_DIAGONAL
    # Comparisons, not minimum and maximum: they leave out what is no number.
    return np.where(free > 0.0, np.where(free < border, free, border), 0.0)


def _least_scale(view: MapView) -> float:
    """Sensor pixels of one map pixel in the direction in which the affine stretches least."""
    a, b, _, d, e, _ = view.affine
    _, smaller = Spread(a * a + d * d, a * b + d * e, b * b + e * e).eigenvalues()
    return math.sqrt(max(smaller, 0.0))


def _beyond_half(window: slice, centre: int) -> Doubles:
    """Distance from the centre to the nearest point of each pixel of a window, along one axis."""
    offsets: Doubles = np.arange(window.start, window.stop, dtype=np.float64) - centre
    return np.maximum(np.abs(offsets) - 0.5, 0.0)


def _entropy(value: float, largest: float) -> float:
    """An entropy limited to 0..largest; what is no number counts as the largest."""
    if not value < largest:
        return largest
    return value if value > 0.0 else 0.0
