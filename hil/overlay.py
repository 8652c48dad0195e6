"""What is drawn over a frame for people: class colours, navigation fix and landing circles, in pixels of the map."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from flight.client import NavigationFix, Refusal, landing_circles, navigation_fix, pictures
from flight.client.bit_depth import FrameImage
from flight.icd.products import Product

# Okabe and Ito's colours, which people with any kind of colour vision tell apart; the first class is the sky.
PALETTE = (
    (16, 18, 30),
    (86, 180, 233),
    (213, 94, 0),
    (240, 228, 66),
    (204, 121, 167),
    (0, 158, 115),
    (230, 159, 0),
    (0, 114, 178),
)
UNCERTAIN_COLOR = (255, 255, 255)
_MOST_CIRCLES = 5
# Of the circles' radius, sensor pixels: smaller ones say nothing to an operator.
_LEAST_RADIUS = 2.0


@dataclass(frozen=True)
class PlacedFix:
    """A navigation fix on its map.

    Attributes:
        fix: in sensor pixels.
        u: of the centroid, map pixels.
        v: of the centroid, map pixels.
        radius: of the disc of the body's area, map pixels.
        sigma_px: square root of the covariance's trace, sensor pixels.
    """

    fix: NavigationFix
    u: float
    v: float
    radius: float
    sigma_px: float


@dataclass(frozen=True)
class PlacedCircle:
    """A landing circle on its map: centre (u, v) and radius in map pixels, (x, y) and radius_px in the sensor's."""

    u: float
    v: float
    radius: float
    x: float
    y: float
    radius_px: float


def place_fix(product: Product) -> PlacedFix | Refusal:
    """Find the navigation fix of a product of map.navigation, and where it is on the map."""
    fix = navigation_fix(product)
    if isinstance(fix, Refusal):
        return fix
    a, b, c, d, e, f = product.header["map_to_sensor"]
    determinant = a * e - b * d
    x, y = fix.x - c, fix.y - f
    return PlacedFix(
        fix,
        u=(e * x - b * y) / determinant,
        v=(a * y - d * x) / determinant,
        radius=fix.diameter / 2.0 / _smallest_scale(product.header),
        sigma_px=math.sqrt(max(fix.covariance_xx + fix.covariance_yy, 0.0)),
    )


def place_circles(product: Product) -> tuple[PlacedCircle, ...] | Refusal:
    """Find the largest landing circles of a product of map.hazard, and where they are on the map."""
    found = landing_circles(product, _LEAST_RADIUS, _MOST_CIRCLES)
    if isinstance(found, Refusal):
        return found
    scale = _smallest_scale(product.header)
    return tuple(PlacedCircle(c.column, c.row, c.radius / scale, c.x, c.y, c.radius) for c in found.circles)


def _smallest_scale(header: dict[str, Any]) -> float:
    """Sensor pixels per map pixel along the axis in which map_to_sensor magnifies least: its smaller singular value."""
    a, b, _, d, e, _ = header["map_to_sensor"]
    return float(np.linalg.svd(np.array([[a, b], [d, e]]), compute_uv=False)[-1])


def resample_to_map(frame: FrameImage, product: Product, factor: int) -> pictures.Picture:
    """Resample a frame to a product's map.

    Args:
        frame: that the product answers.
        product: with planes.
        factor: pixels of the picture on a map pixel's side.

    Returns:
        (factor H, factor W, 3) uint8 grey.
    """
    height, width = next(iter(product.planes.values())).shape[-2:]
    a, b, c, d, e, f = product.header["map_to_sensor"]
    # Pixel i of the picture is at (i + 0.5) / factor - 0.5 of the map.
    shift = 0.5 / factor - 0.5
    affine = [a / factor, b / factor, (a + b) * shift + c, d / factor, e / factor, (d + e) * shift + f]
    return pictures.resample_frame(frame.pixels, frame.bit_depth, affine, height * factor, width * factor)
