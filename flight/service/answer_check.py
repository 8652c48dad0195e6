"""Checks that the maps of an answer can be what their names say, before they are published.

The decoder checks the form: names, sizes, checksums. A worker whose memory is corrupted may answer in the right form
with classes that there are not, probabilities above 1, or an affine that leads past the frame.
"""

from __future__ import annotations

import numpy as np

from flight.icd.catalogue import PLANES
from flight.icd.frames import Frame
from flight.icd.products import Plane, Product, ProductError


def check_maps(product: Product, frame: Frame) -> None:
    """Check the values of every plane, and that the map lies on the frame.

    Args:
        product: decoded, with planes.
        frame: that it answers.

    Raises:
        ProductError: names the plane or the field, what was expected and what came.
    """
    classes = len(product.header["classes"])
    for name, plane in product.planes.items():
        height, width = plane.shape[-2:]
        _check_range(name, plane, PLANES[name].largest_value(classes, height, width))
    _check_affine(product, frame)


def _check_range(name: str, plane: Plane, largest: float) -> None:
    """What is no number is left to the consumers, who take it for the worst."""
    # binary16 may have rounded the largest value up, and sums of float32 may be above 1 by a few steps.
    limit = largest * (1.0 + 2.0**-10)
    # Numbers of binary16 from 0 on are ordered as their bits are; negative ones and what is no number come after them.
    # Comparing bits takes a fiftieth of the time.
    if plane.dtype != np.uint8 and plane.view("<u2").max() <= np.float16(limit).view(np.uint16):
        return
    low, high = float(np.fmin.reduce(plane, axis=None)), float(np.fmax.reduce(plane, axis=None))
    if low < 0.0 or high > limit:
        raise ProductError(f"plane {name}: expected values 0..{largest:g}, got {low:g}..{high:g}")


def _check_affine(product: Product, frame: Frame) -> None:
    """The affine scales and shifts, and the middle of the map shows a place of the frame."""
    a, b, c, d, e, f = product.header["map_to_sensor"]
    if not (a > 0.0 and e > 0.0 and b == 0.0 and d == 0.0):
        raise ProductError(f"map.map_to_sensor: expected a scale and a shift, got {[a, b, c, d, e, f]}")
    map_height, map_width = next(iter(product.planes.values())).shape[-2:]
    rows, columns = frame.pixels.shape[:2]
    x, y = a * 0.5 * (map_width - 1) + c, e * 0.5 * (map_height - 1) + f
    if not (-0.5 <= x <= columns - 0.5 and -0.5 <= y <= rows - 0.5):
        raise ProductError(
            f"map.map_to_sensor: expected the map's middle within {columns} x {rows} pixels, got ({x:g}, {y:g})"
        )
