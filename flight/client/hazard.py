"""Landing circles from a product of map.hazard: the largest discs in which every pixel is safe, and certain enough.

The C++ library has the same function with the same results. docs/gnc.md states the rules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from flight.client.map_view import Doubles, MapView, Mask, Refusal, Spread, limit_to_unit, read_map
from flight.icd.limits import TOPIC_HAZARD
from flight.icd.products import Product
from flight.schema import load_schema

MOST_CIRCLES = 16
_PARAMETERS = load_schema("flight.schemas", "configuration")["properties"]["parameters"]["properties"]
# Limits on every pixel that a circle touches, those that the service has by default: of the hazard probability, and of
# the predictive entropy over ln K. Chosen on the validation splits of D-1 and D-4; docs/gnc.md has the figures.
MOST_HAZARD_PROBABILITY: float = _PARAMETERS["most_hazard_probability"]["default"]
MOST_ENTROPY: float = _PARAMETERS["most_entropy"]["default"]
# Limit on the work of one search, in visits to a pixel: MOST_VISITS per pixel of the map, which counts as at least
# LEAST_BUDGET_PIXELS large because in a small or narrow map most pixels may tie. A candidate costs the pixels of its
# window and CANDIDATE_VISITS. A normal map needs few; a damaged clearance plane could make every pixel a candidate.
MOST_VISITS = 256
LEAST_BUDGET_PIXELS = 128 * 128
CANDIDATE_VISITS = 1024
# Half the diagonal of a pixel: a circle that ends this far from the centre of a hazard does not touch its pixel.
HALF_DIAGONAL = math.sqrt(0.5)
# Clearances are binary16, which may have rounded them up by this fraction.
HALF_ROUNDING = 2.0**-11


@dataclass(frozen=True)
class LandingCircle:
    """A disc of safe ground. Coordinates in sensor pixels: x right, y down, pixel centres at integers.

    Attributes:
        x: of the centre.
        y: of the centre.
        radius: sensor pixels, along the axis in which map_to_sensor magnifies least.
        column: of the map pixel at the centre.
        row: of the map pixel at the centre.
        worst_probability: largest hazard probability of the map pixels that the disc touches.
        worst_x: where worst_probability is, sensor pixels.
        worst_y: where worst_probability is, sensor pixels.
        worst_entropy: predictive entropy there, nats.
        mean_probability: mean hazard probability of the map pixels that the disc touches.
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
    """Result of a search for landing circles.

    Attributes:
        circles: largest first, without overlaps; empty if the map has no room.
        dropped: number of candidates whose clearance was larger than the class map or the limits allow.
        complete: False if the limit on the work ended the search; the circles found until then are valid.
        warnings: the product's flags in the ICD's order, "unknown_flag" last.
    """

    circles: tuple[LandingCircle, ...]
    dropped: int
    complete: bool
    warnings: tuple[str, ...]


def landing_circles(
    product: Product,
    minimum_radius_px: float,
    count: int,
    *,
    most_hazard_probability: float = MOST_HAZARD_PROBABILITY,
    most_entropy: float = MOST_ENTROPY,
) -> LandingCircles | Refusal:
    """Find the largest landing circles of a map, in greedy order.

    Args:
        product: of topic map.hazard.
        minimum_radius_px: smallest radius to look for, sensor pixels.
        count: how many circles at most, 1..16.
        most_hazard_probability: of any map pixel that a circle touches, 0..1.
        most_entropy: of any map pixel that a circle touches, predictive entropy over ln K, 0..1.

    Returns:
        The circles, or a Refusal if the map must not be used: the product is invalid, has a flag that forbids
        landing circles, or its map_to_sensor is singular.

    Raises:
        ValueError: the product is of another topic, or an argument is out of range.
    """
    if not (minimum_radius_px >= 0.0 and math.isfinite(minimum_radius_px)):
        raise ValueError(f"minimum_radius_px: expected a finite number, 0 or more, got {minimum_radius_px:g}")
    if not 1 <= count <= MOST_CIRCLES:
        raise ValueError(f"count: expected 1..{MOST_CIRCLES}, got {count}")
    for name, limit in (("most_hazard_probability", most_hazard_probability), ("most_entropy", most_entropy)):
        if not 0.0 <= limit <= 1.0:
            raise ValueError(f"{name}: expected 0..1, got {limit:g}")
    view = read_map(product, TOPIC_HAZARD, "landing_circles")
    if isinstance(view, Refusal):
        return view
    return _Search(view, minimum_radius_px, most_hazard_probability, most_entropy).run(count)


class _Search:
    """The greedy search over one map, in map pixels. A place is a pixel's index in raster order."""

    def __init__(
        self, view: MapView, minimum_radius_px: float, most_hazard_probability: float, most_entropy: float
    ) -> None:
        self._view = view
        self._probability = limit_to_unit(view.planes["hazard_probability"].astype(np.float64))
        self._safe = view.with_role("enhanced_class_map", "safe")
        self._safe &= self._probability <= most_hazard_probability
        self._safe &= view.relative_entropy() <= most_entropy
        self._radii = _free_radii(view)
        self._scale = _smallest_scale(view)
        self._alive: Mask = (self._radii > 0.0) & (self._radii * self._scale >= minimum_radius_px)
        self._worst: dict[int, float] = {}  # worst probability by place, of candidates examined
        self._visits = 0
        self._most_visits = MOST_VISITS * max(view.height * view.width, LEAST_BUDGET_PIXELS)
        self._dropped = 0
        self._complete = True

    def run(self, count: int) -> LandingCircles:
        circles: list[LandingCircle] = []
        while len(circles) < count and self._complete and self._alive.any():
            self._visits += 2 * self._alive.size  # the two passes of this round
            best = self._choose_candidate()
            if best is None:
                continue
            circles.append(self._make_circle(best))
            self._drop_overlapping(best)
        return LandingCircles(tuple(circles), self._dropped, self._complete, self._view.warnings)

    def _choose_candidate(self) -> int | None:
        """The largest candidate left; of equal ones that with the lowest worst probability, then the first.

        None if no candidate of that radius is safe and within the limits, or if the limit on the work is reached.
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
                rows, columns, inside = self._touched_pixels(place)
                if not self._safe[rows, columns][inside].all():
                    self._dropped += 1
                    self._alive.flat[place] = False
                    continue
                self._worst[place] = float(self._probability[rows, columns][inside].max())
            if best is None or self._worst[place] < self._worst[best]:
                best = place
        return best

    def _window(self, place: int) -> tuple[slice, slice]:
        """Rows and columns of the smallest part of the map that contains a candidate's circle."""
        row, column = divmod(place, self._view.width)
        reach = math.ceil(float(self._radii[row, column]) + 0.5)
        rows = slice(max(row - reach, 0), min(row + reach + 1, self._view.height))
        columns = slice(max(column - reach, 0), min(column + reach + 1, self._view.width))
        return rows, columns

    def _touched_pixels(self, place: int) -> tuple[slice, slice, Mask]:
        """The window of a candidate, and which of its pixels the circle touches."""
        row, column = divmod(place, self._view.width)
        radius = float(self._radii[row, column])
        rows, columns = self._window(place)
        dv, du = _distance_to_pixels(rows, row), _distance_to_pixels(columns, column)
        return rows, columns, (du * du)[None, :] + (dv * dv)[:, None] < radius * radius

    def _make_circle(self, place: int) -> LandingCircle:
        view = self._view
        row, column = divmod(place, view.width)
        rows, columns, inside = self._touched_pixels(place)
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
            worst_entropy=_limit_entropy(float(view.planes["predictive_entropy"][v, u]), math.log(view.classes)),
            mean_probability=float(np.cumsum(touched)[-1]) / len(touched),
        )

    def _drop_overlapping(self, place: int) -> None:
        row, column = divmod(place, self._view.width)
        du = np.arange(self._view.width, dtype=np.float64) - column
        dv = np.arange(self._view.height, dtype=np.float64) - row
        reach = self._radii + self._radii[row, column]
        self._alive &= (du * du)[None, :] + (dv * dv)[:, None] >= reach * reach


def _free_radii(view: MapView) -> Doubles:
    """(H, W) radius in map pixels of the largest disc around each pixel that stays clear of hazards and of the border.

    0 where there is no such disc.
    """
    clearance = view.planes["clearance"].astype(np.float64)
    columns, rows = np.arange(view.width, dtype=np.float64), np.arange(view.height, dtype=np.float64)
    across = np.minimum(columns, view.width - 1.0 - columns) + 0.5
    down = np.minimum(rows, view.height - 1.0 - rows) + 0.5
    border = np.minimum(across[None, :], down[:, None])
    free = clearance * (1.0 - HALF_ROUNDING) - HALF_DIAGONAL
    # Comparisons in place of minimum and maximum, so that NaN gives 0.
    return np.where(free > 0.0, np.where(free < border, free, border), 0.0)


def _smallest_scale(view: MapView) -> float:
    """Sensor pixels per map pixel along the axis in which map_to_sensor magnifies least."""
    a, b, _, d, e, _ = view.affine
    _, smaller = Spread(a * a + d * d, a * b + d * e, b * b + e * e).eigenvalues()
    return math.sqrt(max(smaller, 0.0))


def _distance_to_pixels(window: slice, centre: int) -> Doubles:
    """Distance from `centre` to the nearest edge of each pixel of a window, along one axis; 0 for the pixel itself."""
    offsets: Doubles = np.arange(window.start, window.stop, dtype=np.float64) - centre
    return np.maximum(np.abs(offsets) - 0.5, 0.0)


def _limit_entropy(value: float, largest: float) -> float:
    """Limit an entropy to 0..largest; NaN becomes the largest."""
    if not value < largest:
        return largest
    return value if value > 0.0 else 0.0
