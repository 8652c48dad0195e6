"""A navigation fix from a product of map.navigation: where the body is in the frame, how large, and where the sun is.

The same calculation in C++: rubblemap/consumers.hpp. docs/gnc.md states the equations and the measured errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from flight.client.map_view import NO_NAVIGATION_FLAGS, Doubles, MapView, Mask, Refusal, Spread, total, view_of
from flight.icd.limits import TOPIC_NAVIGATION
from flight.icd.products import Product

# Map pixels over which the errors of neighbouring pixels of a limb go together, over the body's mean relative entropy;
# and the part of the shift without doubt that counts, as a variance. Chosen on D-1's validation split, with
# `ground-tools fit-covariance`.
CORRELATION_LENGTH = 50.0
SHIFT_SHARE = 0.5
# Mean relative entropy below which no map was there to choose by: surer networks are not taken to err less.
LEAST_DOUBT = 0.06
# Background this near to the body (Chebyshev, map pixels) may belong to it.
LIMB_REACH = 3
# Fewer pixels of terminator than this do not show that there is a night side.
LEAST_TERMINATOR_PIXELS = 12
# Below this distance between the centroids of area and of entropy, over the body's radius, entropy says nothing.
LEAST_ENTROPY_STRENGTH = 0.01
# Below this distance of the terminator from the body's centroid, over its radius, either side may be the lit one.
LEAST_TERMINATOR_STRENGTH = 0.25


@dataclass(frozen=True)
class SunDirection:
    """Where the sun is, seen in the image: a unit vector (x right, y down) in sensor axes.

    angle_deg: of that vector from x towards y, in [-180, 180]. source: "entropy", from the side on which the networks
    are unsure to that on which they are sure; or "terminator", square to the terminator's principal axis, away from it.
    strength: the distance that gave the direction, over the body's equivalent radius. sign_known: False where the
    terminator passes so near to the centroid that the opposite direction may be the true one.
    """

    x: float
    y: float
    angle_deg: float
    source: str
    strength: float
    sign_known: bool


@dataclass(frozen=True)
class NavigationFix:
    """The largest body of a map. Sensor pixels: x right, y down, pixel centres at integers.

    x, y: centroid of the body's probability. covariance_xx, _xy, _yy: of that centroid's error against the outline's,
    square sensor pixels. area: square sensor pixels. diameter: of the disc of that area. major_axis, minor_axis: full
    lengths of the ellipse of the same second moments. major_angle_deg: of the longer one from x towards y, in
    [-90, 90]. body_pixels, terminator_pixels, edge_pixels: map pixels of the body, of its terminator, and of the body
    on the map's border; where the last is not 0 the map may not show all of the body. sun: None where the map shows no
    terminator. warnings: the product's flags, in the ICD's order, "unknown_flag" last.
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
    """What the covariance of a centroid is made of, map pixels. docs/gnc.md has the equation.

    limb: sum of p (1 - p) d d^T over (sum p)^2, the error of pixels that err each by itself. doubt: the body's mean
    relative entropy, in [0, 1). shift: (u, v), how far the centroid moves when pixels count as far as they are certain.
    quantization: variance along either axis.
    """

    limb: Spread
    doubt: float
    shift: tuple[float, float]
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
    """The fix that a product of map.navigation gives, or a refusal: no fix is made of a map that must not be used.

    Refused: an invalid product, one flagged body_not_found, dark or empty_sky, a map without a body or with no certain
    pixel of it, an affine that does not span the sensor. Raises ValueError for a product of another topic.
    """
    outline = _outline_of(product)
    if isinstance(outline, Refusal):
        return outline
    view, terms = outline.view, outline.terms
    length = CORRELATION_LENGTH * max(LEAST_DOUBT, terms.doubt)
    scale = length * length
    shift_u, shift_v = terms.shift
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
        major_angle_deg=_degrees(axis_x, axis_y),
        body_pixels=int(outline.body.sum()),
        terminator_pixels=int(outline.terminator.sum()),
        edge_pixels=_edge_pixels(outline.body),
        sun=_sun_direction(view, outline.body, outline.terminator, outline.entropy),
        warnings=view.warnings,
    )


def error_terms(product: Product) -> ErrorTerms | Refusal:
    """What the covariance of the fix is made of: for choosing its constants. Refuses and raises as navigation_fix."""
    outline = _outline_of(product)
    return outline if isinstance(outline, Refusal) else outline.terms


def _outline_of(product: Product) -> _Outline | Refusal:
    view = view_of(product, TOPIC_NAVIGATION, NO_NAVIGATION_FLAGS)
    if isinstance(view, Refusal):
        return view
    background = view.with_role("class_map", "background")
    terminator = view.with_role("class_map", "terminator")
    body = terminator | view.with_role("class_map", "safe") | view.with_role("class_map", "hazard")
    if not body.any():
        return Refusal("no_body")
    body = _largest_component(body)
    entropy = view.relative_entropy()
    certain = _without_doubt(view, body, entropy)
    if certain is None:
        return Refusal("no_certainty")
    doubt, shift = certain

    probability = _body_probability(body, background, entropy)
    weight = total(probability)
    columns, rows = _coordinates(view)
    u, v = total(probability * columns) / weight, total(probability * rows) / weight
    error = _scatter(probability * (1.0 - probability), columns - u, rows - v)
    square = weight * weight
    limb = Spread(error.xx / square, error.xy / square, error.yy / square)
    terms = ErrorTerms(limb, doubt, shift, quantization=(1.0 / 12.0) / max(1.0, weight))
    return _Outline(view, body, terminator & body, entropy, probability, columns, rows, weight, u, v, terms)


def _largest_component(body: Mask) -> Mask:
    """The largest 8-connected component; of equal ones that whose first pixel comes first in raster order."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(body.astype(np.uint8), connectivity=8)
    areas = statistics[1:, cv2.CC_STAT_AREA]
    largest = 1 + np.flatnonzero(areas == areas.max())
    flat = labels.ravel()
    first = flat[int(np.argmax(np.isin(flat, largest)))]
    result: Mask = labels == first
    return result


def _body_probability(body: Mask, background: Mask, entropy: Doubles) -> Doubles:
    """(H, W) probability that a pixel belongs to the body: entropy of ln K leaves even odds.

    Only background near the body may belong to it: the sky far away is no body however unsure a network is of it.
    """
    doubt = 0.5 * entropy
    side = 2 * LIMB_REACH + 1
    near = cv2.dilate(body.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)
    return np.where(body, 1.0 - doubt, np.where(background & near, doubt, 0.0))


def _without_doubt(view: MapView, body: Mask, entropy: Doubles) -> tuple[float, tuple[float, float]] | None:
    """The body's mean relative entropy, and how far its centroid moves when pixels count as far as they are certain.

    In map pixels. The doubt of a whole side, mostly the night side, goes together: it is no error that averages out.
    None when no pixel is certain at all.
    """
    columns, rows = _coordinates(view)
    body_columns, body_rows, certainty = columns[body], rows[body], 1.0 - entropy[body]
    count, certain = len(certainty), total(certainty)
    if not certain > 0.0:
        return None
    return 1.0 - certain / count, (
        total(body_columns) / count - total(certainty * body_columns) / certain,
        total(body_rows) / count - total(certainty * body_rows) / certain,
    )


def _coordinates(view: MapView) -> tuple[Doubles, Doubles]:
    """Column and row of every pixel, (H, W) each."""
    rows, columns = np.indices((view.height, view.width), dtype=np.float64)
    return columns, rows


def _scatter(weight: Doubles, du: Doubles, dv: Doubles) -> Spread:
    """Weighted sums of squares and products of differences."""
    return Spread(total(weight * du * du), total(weight * du * dv), total(weight * dv * dv))


def _edge_pixels(body: Mask) -> int:
    inside = body[1:-1, 1:-1] if min(body.shape) > 2 else body[:0]
    return int(body.sum()) - int(inside.sum())


def _sun_direction(view: MapView, body: Mask, terminator: Mask, entropy: Doubles) -> SunDirection | None:
    """From the side on which the networks are unsure to that on which they are sure; else off the terminator.

    Networks that see a dark sky behind a dark surface are unsure of the night side. Where entropy does not tell, the
    larger part of the body, seen from the terminator, is the lit one, as phase angles below 90 degrees have it.
    """
    columns, rows = _coordinates(view)
    term_columns, term_rows = columns[terminator], rows[terminator]
    count = len(term_columns)
    if count < LEAST_TERMINATOR_PIXELS:
        return None
    size = int(body.sum())
    radius = math.sqrt(size * view.pixel_area / math.pi)

    plain = body & ~terminator
    doubt, plain_columns, plain_rows = entropy[plain], columns[plain], rows[plain]
    doubts = total(doubt)
    if doubts > 0.0:
        x, y = view.sensor_offset(
            total(plain_columns) / len(doubt) - total(doubt * plain_columns) / doubts,
            total(plain_rows) / len(doubt) - total(doubt * plain_rows) / doubts,
        )
        length = math.sqrt(x * x + y * y)
        if length / radius >= LEAST_ENTROPY_STRENGTH:
            return _direction(x / length, y / length, "entropy", length / radius, True)

    u, v = total(term_columns) / count, total(term_rows) / count
    scatter = _scatter(np.ones(count), term_columns - u, term_rows - v)
    along_x, along_y = view.sensor_spread(
        Spread(scatter.xx / count, scatter.xy / count, scatter.yy / count)
    ).major_axis()
    offset_x, offset_y = view.sensor_offset(total(columns[body]) / size - u, total(rows[body]) / size - v)
    x, y = -along_y, along_x
    projection = offset_x * x + offset_y * y
    if projection < 0.0:
        x, y, projection = -x, -y, -projection
    strength = projection / radius
    return _direction(x, y, "terminator", strength, strength >= LEAST_TERMINATOR_STRENGTH)


def _direction(x: float, y: float, source: str, strength: float, sign_known: bool) -> SunDirection:
    return SunDirection(x, y, _degrees(x, y), source, strength, sign_known)


def _degrees(x: float, y: float) -> float:
    """Angle of a vector from x towards y, degrees."""
    return math.atan2(y, x) * (180.0 / math.pi)
