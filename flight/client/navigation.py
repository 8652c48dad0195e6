"""Navigation fix from a product of map.navigation: position and size of the body in the frame, and the sun's direction.

The C++ library has the same function with the same results. docs/gnc.md states the equations and the measured errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from flight.client.map_view import Doubles, MapView, Mask, Refusal, Spread, read_map, sum_in_order
from flight.icd.limits import TOPIC_NAVIGATION
from flight.icd.products import Product

# c, correlation length of the errors along the limb, in map pixels per unit of the body's mean relative entropy; and k,
# weight of the squared shift in the variance. Both were fitted on D-1's validation split; docs/gnc.md has the equation.
CORRELATION_LENGTH = 50.0
SHIFT_SHARE = 0.5
# Least mean relative entropy of the maps that c was fitted on; below it, the error is not assumed to fall any further.
LEAST_RELATIVE_ENTROPY = 0.06
# Background pixels within this Chebyshev distance of the body may belong to it, map pixels.
LIMB_REACH = 3
# With fewer terminator pixels, the map does not show a night side.
LEAST_TERMINATOR_PIXELS = 12
# Least distance between the centroids of area and of entropy, in body radii, for entropy to give the sun's direction.
LEAST_ENTROPY_STRENGTH = 0.01
# Least distance between the terminator and the body's centroid, in body radii, to know which side is lit.
LEAST_TERMINATOR_STRENGTH = 0.25


@dataclass(frozen=True)
class SunDirection:
    """Direction of the sun in the image: a unit vector in the sensor's axes, x right, y down.

    Attributes:
        x: of the vector.
        y: of the vector.
        angle_deg: of the vector from x towards y, in [-180, 180].
        source: "entropy": from the side where the networks are uncertain to the side where they are certain;
            "terminator": normal to the terminator's principal axis, towards the body's centroid.
        strength: the distance that gave the direction, in radii of the disc of the body's area.
        sign_known: False if the terminator passes so near to the centroid that the opposite may be true.
    """

    x: float
    y: float
    angle_deg: float
    source: str
    strength: float
    sign_known: bool


@dataclass(frozen=True)
class NavigationFix:
    """The largest body of a map. Coordinates in sensor pixels: x right, y down, pixel centres at integers.

    Attributes:
        x: of the centroid of the body's probability.
        y: of the centroid.
        covariance_xx: of the centroid's error against the centroid of the true outline, square sensor pixels.
        covariance_xy: see covariance_xx.
        covariance_yy: see covariance_xx.
        area: square sensor pixels.
        diameter: of the disc of that area, sensor pixels.
        major_axis: full length, of the ellipse of the same second moments, sensor pixels.
        minor_axis: full length, sensor pixels.
        major_angle_deg: of the major axis from x towards y, in [-90, 90].
        body_pixels: map pixels of the body.
        terminator_pixels: map pixels of its terminator.
        edge_pixels: map pixels of the body on the map's border, or beside a pixel that the camera did not see; if not
            0, the map may not show the whole body.
        sun: None if the map shows no terminator.
        warnings: the product's flags in the ICD's order, "unknown_flag" last.
    """

    x: float
    y: float
    covariance_xx: float
    covariance_xy: float
    covariance_yy: float
    area: float
    diameter: float
    major_axis: float
    minor_axis: float
    major_angle_deg: float
    body_pixels: int
    terminator_pixels: int
    edge_pixels: int
    sun: SunDirection | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class ErrorTerms:
    """Terms of the covariance of a centroid, in map pixels. docs/gnc.md has the equation.

    Attributes:
        limb: sum of p (1 - p) d d^T over (sum p)^2, the variance if the pixels' errors were independent; p is the
            probability of the body, d the distance from the centroid.
        mean_relative_entropy: of the body, in [0, 1).
        certainty_shift: (u, v) from the centroid weighted with certainty, 1 - relative entropy, to the unweighted one.
        quantization: variance along each axis, (1/12) / max(1, sum p).
    """

    limb: Spread
    mean_relative_entropy: float
    certainty_shift: tuple[float, float]
    quantization: float


@dataclass(frozen=True)
class _Outline:
    """The largest body of a map. Planes (H, W); weight: sum of the probability, whose centroid is (u, v)."""

    view: MapView
    body: Mask
    terminator: Mask
    entropy: Doubles
    probability: Doubles
    columns: Doubles
    rows: Doubles
    weight: float
    u: float
    v: float
    terms: ErrorTerms


def navigation_fix(product: Product) -> NavigationFix | Refusal:
    """Calculate position, size and orientation of the largest body of a map, and the sun's direction.

    Args:
        product: of topic map.navigation.

    Returns:
        The fix, or a Refusal if the map must not be used: the product is invalid, has a flag that forbids
        navigation_fix, shows no body or no certain pixel of it, or its map_to_sensor is singular.

    Raises:
        ValueError: the product is of another topic.
    """
    outline = _find_outline(product)
    if isinstance(outline, Refusal):
        return outline
    view, terms = outline.view, outline.terms
    length = CORRELATION_LENGTH * max(LEAST_RELATIVE_ENTROPY, terms.mean_relative_entropy)
    scale = length * length
    shift_u, shift_v = terms.certainty_shift
    covariance = view.sensor_spread(
        Spread(
            terms.limb.xx * scale + SHIFT_SHARE * shift_u * shift_u + terms.quantization,
            terms.limb.xy * scale + SHIFT_SHARE * shift_u * shift_v,
            terms.limb.yy * scale + SHIFT_SHARE * shift_v * shift_v + terms.quantization,
        )
    )
    weight = outline.weight
    shape = _scatter(outline.probability, outline.columns - outline.u, outline.rows - outline.v)
    shape = view.sensor_spread(Spread(shape.xx / weight, shape.xy / weight, shape.yy / weight))
    larger, smaller = shape.eigenvalues()
    axis_x, axis_y = shape.major_axis()
    area = weight * view.pixel_area
    x, y = view.sensor_point(outline.u, outline.v)
    return NavigationFix(
        x=x,
        y=y,
        covariance_xx=covariance.xx,
        covariance_xy=covariance.xy,
        covariance_yy=covariance.yy,
        area=area,
        diameter=2.0 * math.sqrt(area / math.pi),
        major_axis=4.0 * math.sqrt(max(larger, 0.0)),
        minor_axis=4.0 * math.sqrt(max(smaller, 0.0)),
        major_angle_deg=_angle_deg(axis_x, axis_y),
        body_pixels=int(outline.body.sum()),
        terminator_pixels=int(outline.terminator.sum()),
        edge_pixels=_count_edge_pixels(outline.body, view.without_class("class_map")),
        sun=_find_sun(view, outline.body, outline.terminator, outline.entropy),
        warnings=view.warnings,
    )


def error_terms(product: Product) -> ErrorTerms | Refusal:
    """Terms of the covariance of a fix, to fit its constants. Arguments, refusals and errors as in navigation_fix."""
    outline = _find_outline(product)
    return outline if isinstance(outline, Refusal) else outline.terms


def _find_outline(product: Product) -> _Outline | Refusal:
    """The largest body of a map, or why there is none."""
    view = read_map(product, TOPIC_NAVIGATION, "navigation_fix")
    if isinstance(view, Refusal):
        return view
    background = view.with_role("class_map", "background")
    terminator = view.with_role("class_map", "terminator")
    body = terminator | view.with_role("class_map", "safe") | view.with_role("class_map", "hazard")
    if not body.any():
        return Refusal("no_body")
    body = _largest_component(body)
    entropy = view.relative_entropy()
    measured = _measure_certainty(view, body, entropy)
    if measured is None:
        return Refusal("no_certainty")
    mean_entropy, shift = measured
    probability = _body_probability(body, background, entropy)
    weight = sum_in_order(probability)
    columns, rows = _pixel_grid(view)
    u, v = sum_in_order(probability * columns) / weight, sum_in_order(probability * rows) / weight
    error = _scatter(probability * (1.0 - probability), columns - u, rows - v)
    square = weight * weight
    limb = Spread(error.xx / square, error.xy / square, error.yy / square)
    terms = ErrorTerms(limb, mean_entropy, shift, quantization=(1.0 / 12.0) / max(1.0, weight))
    return _Outline(view, body, terminator & body, entropy, probability, columns, rows, weight, u, v, terms)


def _largest_component(body: Mask) -> Mask:
    """The largest 8-connected component; of equal ones the one whose first pixel comes first in raster order."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(body.astype(np.uint8), connectivity=8)
    areas = statistics[1:, cv2.CC_STAT_AREA]
    largest = 1 + np.flatnonzero(areas == areas.max())
    flat = labels.ravel()
    first = flat[int(np.argmax(np.isin(flat, largest)))]
    result: Mask = labels == first
    return result


def _body_probability(body: Mask, background: Mask, entropy: Doubles) -> Doubles:
    """(H, W) probability that a pixel belongs to the body: 1 - h / 2 on the body, h / 2 on background near it, else 0.

    h is the relative entropy. The sky far from the body is no part of it, however uncertain the network is there.
    """
    half = 0.5 * entropy
    side = 2 * LIMB_REACH + 1
    near = cv2.dilate(body.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)
    return np.where(body, 1.0 - half, np.where(background & near, half, 0.0))


def _measure_certainty(view: MapView, body: Mask, entropy: Doubles) -> tuple[float, tuple[float, float]] | None:
    """The body's mean relative entropy, and the shift of its centroid (u, v) by it, map pixels; see ErrorTerms.

    The errors of a whole side, mostly the night side, are correlated and do not average out; the shift measures them.
    None if no pixel is certain at all.
    """
    columns, rows = _pixel_grid(view)
    body_columns, body_rows, certainty = columns[body], rows[body], 1.0 - entropy[body]
    count, certain = len(certainty), sum_in_order(certainty)
    if not certain > 0.0:
        return None
    return 1.0 - certain / count, (
        sum_in_order(body_columns) / count - sum_in_order(certainty * body_columns) / certain,
        sum_in_order(body_rows) / count - sum_in_order(certainty * body_rows) / certain,
    )


def _pixel_grid(view: MapView) -> tuple[Doubles, Doubles]:
    """Column and row of every pixel, (H, W) each."""
    rows, columns = np.indices((view.height, view.width), dtype=np.float64)
    return columns, rows


def _scatter(weight: Doubles, du: Doubles, dv: Doubles) -> Spread:
    """Weighted sums of the squares and products of differences."""
    return Spread(sum_in_order(weight * du * du), sum_in_order(weight * du * dv), sum_in_order(weight * dv * dv))


def _count_edge_pixels(body: Mask, unseen: Mask) -> int:
    """Pixels of the body of which not all eight neighbours were seen; nothing was beyond the map's border."""
    beyond = np.pad(unseen, 1, constant_values=True).astype(np.uint8)
    near = cv2.dilate(beyond, np.ones((3, 3), np.uint8))[1:-1, 1:-1].astype(bool)
    return int((body & near).sum())


def _find_sun(view: MapView, body: Mask, terminator: Mask, entropy: Doubles) -> SunDirection | None:
    """The sun's direction from the entropy, or else from the terminator; None with too few terminator pixels.

    The networks are uncertain on the night side, which looks like the sky. If the entropy shows no side, the larger
    part of the body as seen from the terminator is taken for the lit one, which holds at phase angles below 90 degrees.
    """
    columns, rows = _pixel_grid(view)
    term_columns, term_rows = columns[terminator], rows[terminator]
    count = len(term_columns)
    if count < LEAST_TERMINATOR_PIXELS:
        return None
    size = int(body.sum())
    radius = math.sqrt(size * view.pixel_area / math.pi)

    plain = body & ~terminator
    doubt, plain_columns, plain_rows = entropy[plain], columns[plain], rows[plain]
    doubts = sum_in_order(doubt)
    if doubts > 0.0:
        x, y = view.sensor_offset(
            sum_in_order(plain_columns) / len(doubt) - sum_in_order(doubt * plain_columns) / doubts,
            sum_in_order(plain_rows) / len(doubt) - sum_in_order(doubt * plain_rows) / doubts,
        )
        length = math.sqrt(x * x + y * y)
        if length / radius >= LEAST_ENTROPY_STRENGTH:
            return _make_direction(x / length, y / length, "entropy", length / radius, True)

    u, v = sum_in_order(term_columns) / count, sum_in_order(term_rows) / count
    scatter = _scatter(np.ones(count), term_columns - u, term_rows - v)
    along_x, along_y = view.sensor_spread(
        Spread(scatter.xx / count, scatter.xy / count, scatter.yy / count)
    ).major_axis()
    offset_x, offset_y = view.sensor_offset(sum_in_order(columns[body]) / size - u, sum_in_order(rows[body]) / size - v)
    x, y = -along_y, along_x
    projection = offset_x * x + offset_y * y
    if projection < 0.0:
        x, y, projection = -x, -y, -projection
    strength = projection / radius
    return _make_direction(x, y, "terminator", strength, strength >= LEAST_TERMINATOR_STRENGTH)


def _make_direction(x: float, y: float, source: str, strength: float, sign_known: bool) -> SunDirection:
    return SunDirection(x, y, _angle_deg(x, y), source, strength, sign_known)


def _angle_deg(x: float, y: float) -> float:
    """Angle of a vector from x towards y, degrees in [-180, 180]."""
    return math.atan2(y, x) * (180.0 / math.pi)
