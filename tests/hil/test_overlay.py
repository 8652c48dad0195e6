"""What is drawn over a frame is where the frame shows it."""

from __future__ import annotations

import numpy as np
import pytest

from flight.client import Refusal
from flight.client.bit_depth import FrameImage
from flight.icd.products import decode_product
from hil.overlay import place_circles, place_fix, resample_to_map
from tests.golden.vectors import product

CLASSES = [
    {"index": index, "name": name, "role": role}
    for index, (name, role) in enumerate(
        (("sky", "background"), ("ground", "safe"), ("rock", "hazard"), ("dusk", "terminator"))
    )
]


@pytest.mark.parametrize("factor", [1, 4])
def test_a_frame_lies_under_its_map_pixel_by_pixel(factor: int) -> None:
    """Of a frame as bright as its columns, or rows, each pixel of the picture tells which place it shows."""
    affine = [3.0, 0.0, 20.5, 0.0, 2.0, 7.25]
    shown = decode_product(product("map.navigation", classes=CLASSES, flags=[], status="valid", map_to_sensor=affine))
    columns, rows = np.meshgrid(np.arange(100, dtype=np.uint8), np.arange(60, dtype=np.uint8))
    for pixels, offset, scale, axis in ((columns, 20.5, 3.0, 1), (rows, 7.25, 2.0, 0)):
        picture = resample_to_map(FrameImage(pixels, 8), shown, factor)
        assert picture.shape == (4 * factor, 6 * factor, 3)
        places = (np.arange(picture.shape[axis]) + 0.5) / factor - 0.5
        expected = scale * places + offset
        assert np.abs(picture.mean(axis=(1 - axis, 2)) - expected).max() <= 0.6  # half a grey level, and the filter


def test_circles_have_the_radius_of_the_map_and_of_the_sensor() -> None:
    affine = [3.0, 0.0, 20.5, 0.0, 3.0, 7.25]
    hazard = decode_product(product("map.hazard", classes=CLASSES, flags=[], status="valid", map_to_sensor=affine))
    height, width = 40, 60
    planes = {
        "hazard_probability": np.zeros((height, width), np.float16),
        "predictive_entropy": np.zeros((height, width), np.float16),
        "enhanced_class_map": np.ones((height, width), np.uint8),
        "clearance": np.full((height, width), 9.0, np.float16),
    }
    hazard.planes.update(planes)
    circles = place_circles(hazard)
    assert not isinstance(circles, Refusal)
    assert circles
    for circle in circles:
        assert (circle.x, circle.y) == (3.0 * circle.u + 20.5, 3.0 * circle.v + 7.25)
        assert circle.radius_px == pytest.approx(3.0 * circle.radius)
        assert circle.radius < 9.0
    navigation = decode_product(product("map.navigation", flags=["dark"], classes=CLASSES))
    assert isinstance(place_fix(navigation), Refusal)
