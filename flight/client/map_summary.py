"""What flight.client.check looks at in a product's map: counts, sums and extremes over its pixels.

Counts are whole numbers and sums are of whole numbers, so that the C++ library has the same ones to the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.client.map_view import Doubles, Mask, tabulate_roles
from flight.icd.products import Product

# Binary16 rounds a probability or entropy by at most 2^-11 of it; what is computed of several, by a few times that.
ROUNDING = 2.0**-9
# By which the probabilities of a pixel may miss 1, and a class another's probability.
PROBABILITY_SLACK = 0.02
# By which the relative entropy of a pixel that is not marked may lie above the threshold.
THRESHOLD_SLACK = 0.02
# Between neighbours, a distance to the same pixel differs by no more than their own; binary16 rounds both.
CLEARANCE_ROUNDING = 2.0**-9


@dataclass(frozen=True)
class MapSummary:
    """Of one product with a map. Coordinates in sensor pixels: x right, y down.

    Attributes:
        height: of the map, pixels.
        width: of the map, pixels.
        pixels: height times width.
        border: pixels on the map's border.
        unknown: pixels of an index that is no class, in any class plane.
        entropy_faults: pixels whose predictive entropy or mutual information is not possible.
        entropy_low: least predictive entropy, nats.
        entropy_high: largest, nats.
        probability_faults: pixels with a probability outside of 0..1, or with probabilities that do not sum to 1.
        class_faults: pixels whose class contradicts their probability.
        unmarked: pixels that are not marked uncertain although their entropy lies above the product's threshold.
        clearance_faults: pixels whose clearance contradicts the class map, or a neighbour's clearance.
        changes_across: pairs of neighbours in a row that are of different classes.
        changes_down: pairs of neighbours in a column that are of different classes.
        body: pixels of classes that belong to a body.
        edge: of them on the map's border.
        outside: of them outside the sensor's frame; 0 if its size is not known.
        area: of the body, square sensor pixels.
        x: of the body's centroid; 0.0 without a body.
        y: of the body's centroid.
        terminator: pixels of the terminator.
        terminator_x: of their centroid; 0.0 without any.
        terminator_y: of their centroid.
        fingerprint: of the bytes of the predictive entropy.
    """

    height: int
    width: int
    pixels: int
    border: int
    unknown: int
    entropy_faults: int
    entropy_low: float
    entropy_high: float
    probability_faults: int
    class_faults: int
    unmarked: int
    clearance_faults: int
    changes_across: int
    changes_down: int
    body: int
    edge: int
    outside: int
    area: float
    x: float
    y: float
    terminator: int
    terminator_x: float
    terminator_y: float
    fingerprint: int


@dataclass(frozen=True)
class _Planes:
    """A product's planes and class table. roles: (256,), "" for an index that is no class."""

    product: Product
    classes: int
    roles: NDArray[np.str_]
    shown: NDArray[np.uint8]
    entropy: Doubles

    def doubles(self, name: str) -> Doubles:
        return self.product.planes[name].astype(np.float64)


def summarize(product: Product, sensor: tuple[float, float] | None = None) -> MapSummary:
    """Measure the map of a product.

    Args:
        product: with planes.
        sensor: width and height of the camera's frame, pixels; None if not known.
    """
    header, planes = product.header, product.planes
    roles = tabulate_roles(header)
    shown: NDArray[np.uint8] = np.asarray(planes.get("class_map", planes["enhanced_class_map"]), np.uint8)
    view = _Planes(product, len(header["classes"]), roles, shown, planes["predictive_entropy"].astype(np.float64))
    height, width = shown.shape
    role_map = roles[shown]
    body: Mask = (role_map != "") & (role_map != "background")
    terminator: Mask = role_map == "terminator"
    on_border = np.ones(shown.shape, bool)
    on_border[1:-1, 1:-1] = False
    affine = tuple(float(value) for value in header["map_to_sensor"])
    x, y = _sensor_centroid(body, affine)
    terminator_x, terminator_y = _sensor_centroid(terminator, affine)
    a, b, _, d, e, _ = affine
    finite = view.entropy[np.isfinite(view.entropy)]
    return MapSummary(
        height=height,
        width=width,
        pixels=height * width,
        border=int(on_border.sum()),
        unknown=_count_unknown(view),
        entropy_faults=_count_entropy_faults(view),
        entropy_low=float(finite.min()) if finite.size else 0.0,
        entropy_high=float(finite.max()) if finite.size else 0.0,
        probability_faults=_count_probability_faults(view),
        class_faults=_count_class_faults(view),
        unmarked=_count_unmarked(view, finite),
        clearance_faults=_count_clearance_faults(view),
        changes_across=_count_changes(shown[:, 1:], shown[:, :-1], view.classes),
        changes_down=_count_changes(shown[1:], shown[:-1], view.classes),
        body=int(body.sum()),
        edge=int((body & on_border).sum()),
        outside=0 if sensor is None else _count_outside(body, affine, sensor),
        area=abs(a * e - b * d) * int(body.sum()),
        x=x,
        y=y,
        terminator=int(terminator.sum()),
        terminator_x=terminator_x,
        terminator_y=terminator_y,
        fingerprint=_fingerprint(planes["predictive_entropy"]),
    )


def _sensor_centroid(mask: Mask, affine: tuple[float, ...]) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    if not rows.size:
        return 0.0, 0.0
    a, b, c, d, e, f = affine
    u, v = int(columns.sum()) / rows.size, int(rows.sum()) / rows.size
    return a * u + b * v + c, d * u + e * v + f


def _count_changes(first: NDArray[np.uint8], second: NDArray[np.uint8], classes: int) -> int:
    """Neighbours of different classes; what is no class, uncertain or not seen, is left out."""
    return int(((first != second) & (first < classes) & (second < classes)).sum())


def _count_unknown(view: _Planes) -> int:
    unknown = np.zeros(view.shown.shape, bool)
    for name in ("class_map", "enhanced_class_map"):
        if name in view.product.planes:
            plane = view.product.planes[name]
            unknown |= plane > view.classes
    return int(unknown.sum())


def _count_entropy_faults(view: _Planes) -> int:
    largest = math.log(view.classes) * (1.0 + ROUNDING)
    wrong = ~((view.entropy >= 0.0) & (view.entropy <= largest))
    if "mutual_information" in view.product.planes:
        mutual = view.doubles("mutual_information")
        wrong |= ~((mutual >= 0.0) & (mutual <= view.entropy * (1.0 + ROUNDING) + ROUNDING))
    return int(wrong.sum())


def _count_probability_faults(view: _Planes) -> int:
    planes = view.product.planes
    wrong = np.zeros(view.shown.shape, bool)
    if "hazard_probability" in planes:
        hazard = view.doubles("hazard_probability")
        wrong |= ~((hazard >= 0.0) & (hazard <= 1.0))
    if "mean_probability" in planes:
        probability = view.doubles("mean_probability")
        wrong |= ~((probability >= 0.0) & (probability <= 1.0)).all(axis=0)
        total = np.zeros(view.shown.shape)
        for layer in probability:
            total = total + layer
        wrong |= ~(np.abs(total - 1.0) <= PROBABILITY_SLACK)
    return int(wrong.sum())


def _count_class_faults(view: _Planes) -> int:
    """A pixel's class is its most probable one: what that says of the probabilities that the product carries.

    Of H classes that are not safe and S that are, a safe class being the most probable one says that the hazard's
    probability is at most H / (1 + H), another one that it is at least 1 / (1 + S).
    """
    planes, shown = view.product.planes, view.shown
    is_class = shown < view.classes
    if "mean_probability" in planes:
        probability = view.doubles("mean_probability")
        own = np.take_along_axis(probability, np.where(is_class, shown, 0)[None].astype(np.intp), axis=0)[0]
        return int((is_class & ~(probability.max(axis=0) - own <= PROBABILITY_SLACK)).sum())
    if "hazard_probability" not in planes:
        return 0
    hazard = view.doubles("hazard_probability")
    safe = int((view.roles == "safe").sum())
    others = view.classes - safe
    is_safe = view.roles[shown] == "safe"
    most, least = others / (1.0 + others) + PROBABILITY_SLACK, 1.0 / (1.0 + safe) - PROBABILITY_SLACK
    return int((is_class & np.where(is_safe, ~(hazard <= most), ~(hazard >= least))).sum())


def _count_unmarked(view: _Planes, finite: Doubles) -> int:
    """Pixels without the mark whose entropy is no number, or above the threshold by the product's rule."""
    header = view.product.header
    certain = view.product.planes["enhanced_class_map"] < view.classes
    wrong = certain & ~np.isfinite(view.entropy)
    if header.get("uncertain_rule") == "risk":
        wrong |= certain & (view.entropy > float(header.get("risk_threshold", 0.0)) * (1.0 + ROUNDING))
    elif finite.size and finite.max() > finite.min():
        low, high = float(finite.min()), float(finite.max())
        threshold = float(header["uncertainty_threshold"]) + THRESHOLD_SLACK
        wrong |= certain & ((view.entropy - low) / (high - low) > threshold)
    return int(wrong.sum())


def _count_clearance_faults(view: _Planes) -> int:
    if "clearance" not in view.product.planes:
        return 0
    clearance = view.doubles("clearance")
    safe = view.roles[view.product.planes["enhanced_class_map"]] == "safe"
    # A safe pixel over the service's limits, which the product does not tell, has no clearance either.
    wrong = ~((safe & (clearance >= 1.0)) | (clearance == 0.0)) | ~np.isfinite(clearance)
    with np.errstate(invalid="ignore"):
        for first, second in (
            ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
            ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
        ):
            larger = np.maximum(clearance[first], clearance[second])
            smaller = np.minimum(clearance[first], clearance[second])
            wrong[first] |= ~(larger - smaller <= 1.0 + larger * CLEARANCE_ROUNDING)
    return int(wrong.sum())


def _count_outside(body: Mask, affine: tuple[float, ...], sensor: tuple[float, float]) -> int:
    """Pixels of the body whose centre lies more than half a map pixel outside the frame."""
    a, b, c, d, e, f = affine
    rows, columns = np.indices(body.shape, dtype=np.float64)
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    margin = 0.5 + 0.5 * math.sqrt(abs(a * e - b * d))
    inside = (x >= -margin) & (x <= sensor[0] - 1.0 + margin) & (y >= -margin) & (y <= sensor[1] - 1.0 + margin)
    return int((body & ~inside).sum())


def _fingerprint(plane: NDArray[Any]) -> int:
    """Sum of the plane's binary16 numbers as whole ones, each times its place from 1 on, modulo 2^64."""
    values = np.ascontiguousarray(plane, dtype="<f2").view("<u2").ravel().astype(np.uint64)
    return int((values * np.arange(1, values.size + 1, dtype=np.uint64)).sum(dtype=np.uint64))
