"""What a frame or its map tells the filter: the four kinds of measurement that flights are compared by.

Products are used as docs/gnc.md tells consumers to: refusals are no measurement, a body that the frame cuts gives its
direction only roughly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.client import Refusal, navigation_fix
from flight.client.map_view import read_map
from flight.icd.limits import TOPIC_NAVIGATION
from flight.icd.products import Product
from hil.fly.filter import Noise

# In the order of reports.
KINDS = ("class_map", "weighted", "brightness", "none")
KIND_NAMES = {
    "class_map": "class map, centroid of the body's pixels",
    "weighted": "class map, weighted by its uncertainty (`navigation_fix` with its covariance)",
    "brightness": "centroid of the bright pixels",
    "none": "no measurement",
}
# Offsets: the outline's centroid is off the centre of mass, and errors of maps go together; bright pixels lie up to
# half a radius towards the sun. Scales: the apparent diameter is not that of the sphere of equal volume. Both last:
# from frame to frame centres and sizes differ by 0.003 and 0.005. docs/closed_loop.md says on what they were chosen.
NOISES = {
    "class_map": Noise(
        center=0.004, offset=0.006, offset_unlit=0.035, offset_s=800.0, size=0.015, scale=0.05, scale_s=1000.0
    ),
    "weighted": Noise(
        center=0.0, offset=0.006, offset_unlit=0.035, offset_s=800.0, size=0.015, scale=0.05, scale_s=1000.0
    ),
    "brightness": Noise(
        center=0.005, offset=0.01, offset_unlit=0.2, offset_s=600.0, size=0.02, scale=0.15, scale_s=1500.0
    ),
    "none": Noise(center=1.0, offset=0.1, offset_unlit=0.0, offset_s=600.0, size=1.0, scale=0.2, scale_s=1500.0),
}
# By how much they are larger for a body whose largest extent is twice the diameter of the sphere of equal volume.
_ELONGATED = {"offset": 0.015, "offset_unlit": 0.02, "scale": 0.2}
# Of a body that the frame cuts, what its centroid is known by, body diameters.
_CUT = 0.25
# Fewer bright pixels are no body; and what counts as bright stands out of the sky by so many grey levels.
_LEAST_BRIGHT_PIXELS, _LEAST_CONTRAST = 12, 12.0


@dataclass(frozen=True)
class Sighting:
    """A body in a frame. x, y: sensor pixels, centres at integers; covariance: (2, 2); diameter_px: None if cut."""

    x: float
    y: float
    covariance: NDArray[np.float64]
    diameter_px: float | None


def noise_of(kind: str, elongation: float) -> Noise:
    """What a kind of measurement is trusted on a body.

    Args:
        kind: one of KINDS.
        elongation: the body's largest extent over the diameter of the sphere of equal volume, 1 or more, as its
            lightcurve tells before a spacecraft is there.
    """
    noise = NOISES[kind]
    if kind not in ("class_map", "weighted"):
        return noise
    return replace(noise, **{name: getattr(noise, name) + by * (elongation - 1.0) for name, by in _ELONGATED.items()})


def sight_in_map(product: Product, kind: str) -> Sighting | str:
    """The body in a product of map.navigation.

    Args:
        product: as it came.
        kind: "class_map" or "weighted".

    Returns:
        Where it is, or why nobody knows.
    """
    fix = navigation_fix(product)
    if isinstance(fix, Refusal):
        return fix.reason
    rough = (_CUT * fix.diameter) ** 2 * np.eye(2) if fix.edge_pixels else np.zeros((2, 2))
    size = None if fix.edge_pixels else fix.diameter
    if kind == "weighted":
        covariance = np.array([[fix.covariance_xx, fix.covariance_xy], [fix.covariance_xy, fix.covariance_yy]])
        return Sighting(fix.x, fix.y, covariance + rough, size)
    x, y, area = _body_centroid(product)
    diameter = 2.0 * float(np.sqrt(area / np.pi))
    sigma = NOISES["class_map"].center * diameter
    return Sighting(x, y, sigma**2 * np.eye(2) + rough, None if fix.edge_pixels else diameter)


def _body_centroid(product: Product) -> tuple[float, float, float]:
    """Plain centroid of the largest body's pixels, and their area, sensor pixels; of a product that has a fix."""
    view = read_map(product, TOPIC_NAVIGATION, "navigation_fix")
    assert not isinstance(view, Refusal)
    body = np.zeros((view.height, view.width), dtype=bool)
    for role in ("safe", "hazard", "terminator"):
        body |= view.with_role("class_map", role)
    _, _, statistics, centroids = cv2.connectedComponentsWithStats(body.astype(np.uint8), connectivity=8)
    largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
    x, y = view.sensor_point(float(centroids[largest][0]), float(centroids[largest][1]))
    return x, y, float(statistics[largest, cv2.CC_STAT_AREA]) * view.pixel_area


def sight_by_brightness(pixels: NDArray[Any], bit_depth: int) -> Sighting | str:
    """The pixels above Otsu's threshold: what a navigator has without a map.

    Args:
        pixels: (H, W) of a frame.
        bit_depth: bits in use.

    Returns:
        Where they are, or why nobody knows.
    """
    image = np.clip(pixels / (1 << (bit_depth - 8)), 0, 255).astype(np.uint8)
    _, bright = cv2.threshold(image, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    rows, columns = np.nonzero(bright)
    if len(rows) < _LEAST_BRIGHT_PIXELS or image[bright > 0].mean() - image[bright == 0].mean() < _LEAST_CONTRAST:
        return "no_body"
    diameter = 2.0 * float(np.sqrt(len(rows) / np.pi))
    noise = NOISES["brightness"]
    cut = bool(bright[0].any() or bright[-1].any() or bright[:, 0].any() or bright[:, -1].any())
    sigma = diameter * (_CUT if cut else noise.center)
    return Sighting(float(columns.mean()), float(rows.mean()), sigma**2 * np.eye(2), None if cut else diameter)
