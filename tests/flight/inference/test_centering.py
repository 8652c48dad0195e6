"""Centering: the body is found, and the affine leads back to the sensor's pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.inference.body_search import search_body
from flight.inference.centering import center, scale_to_unit


def disk(
    rows: int, columns: int, x: float, y: float, radius: float, noise: float = 2.0, level: int = 180
) -> np.ndarray:
    """A bright disk on a dark, noisy sky with a pedestal."""
    v, u = np.mgrid[:rows, :columns]
    image = np.where((u - x) ** 2 + (v - y) ** 2 <= radius**2, level, 12).astype(np.float64)
    image += np.random.default_rng(0).normal(0.0, noise, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def to_sensor(affine, u: float, v: float) -> tuple[float, float]:
    a, b, c, d, e, f = affine
    return a * u + b * v + c, d * u + e * v + f


@settings(max_examples=80)
@given(
    rows=st.integers(150, 700),
    columns=st.integers(150, 700),
    x=st.floats(0.2, 0.8),
    y=st.floats(0.2, 0.8),
    size=st.floats(0.05, 0.18),
)
def test_the_disk_lands_where_the_affine_says(rows, columns, x, y, size) -> None:
    radius = max(size * min(rows, columns), 12.0)
    x, y = x * columns, y * rows
    view = center(disk(rows, columns, x, y, radius), 8, 128, 128, 1, locate=True)
    assert view.search.box is not None
    assert view.image.shape == (128, 128, 1)
    assert view.image.dtype == np.float32
    bright = view.image[:, :, 0] > 0.35
    v, u = np.nonzero(bright)
    found_x, found_y = to_sensor(view.map_to_sensor, u.mean(), v.mean())
    scale = view.map_to_sensor[0]
    assert abs(found_x - x) < 1.0 + 0.6 * scale
    assert abs(found_y - y) < 1.0 + 0.6 * scale
    # The whole body is inside, and fills a good part of the image unless it is too small to be enlarged.
    assert bright[0].sum() + bright[-1].sum() + bright[:, 0].sum() + bright[:, -1].sum() == 0
    assert max(np.ptp(u), np.ptp(v)) > min(0.6 * 128, 1.7 * 2 * radius)


@pytest.mark.parametrize("shape", [(128, 128), (256, 256), (300, 200), (100, 640), (64, 64)])
def test_a_centred_frame_is_taken_whole(shape: tuple[int, int]) -> None:
    frame = np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8)
    view = center(frame, 8, 128, 128, 1, locate=False)
    corners = [to_sensor(view.map_to_sensor, u, v) for u, v in ((-0.5, -0.5), (127.5, 127.5))]
    rows, columns = shape
    side = max(rows, columns)
    assert corners[1][0] - corners[0][0] == pytest.approx(side, abs=1.0)
    assert corners[0][0] <= -0.5 + 1e-9
    assert corners[1][1] >= rows - 1.5
    if shape == (128, 128):
        assert view.map_to_sensor == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        assert np.array_equal(view.image[:, :, 0], scale_to_unit(frame, 8))


@pytest.mark.parametrize("frame", [np.zeros((200, 300)), np.full((200, 300), 9), disk(200, 300, 50, 50, 0.5)])
def test_empty_sky_is_told_and_taken_whole(frame: np.ndarray) -> None:
    view = center(frame.astype(np.uint8), 8, 128, 128, 1, locate=True)
    assert view.search.box is None
    assert view.map_to_sensor[0] == pytest.approx(300 / 128)


def test_a_body_that_fills_the_frame_is_not_mapped_beyond_it() -> None:
    frame = np.random.default_rng(5).integers(90, 200, (500, 500), dtype=np.uint8)
    view = center(frame, 8, 128, 128, 1, locate=True)
    assert view.map_to_sensor[0] == pytest.approx(500 / 128)
    assert view.seen.all()


def test_what_lies_outside_the_frame_is_told() -> None:
    view = center(np.full((100, 300), 150, dtype=np.uint8), 8, 128, 128, 1, locate=False)
    rows = np.flatnonzero(view.seen.any(axis=1))
    assert view.seen[rows].all()
    assert len(rows) == pytest.approx(128 / 3, abs=1)


def test_hot_pixels_and_stars_are_no_body() -> None:
    frame = disk(240, 320, 200, 120, 30)
    frame[::37, ::41] = 255
    left, top, right, bottom = search_body(scale_to_unit(frame, 8)).box
    assert (left, top, right, bottom) == pytest.approx((170, 90, 231, 151), abs=3)


def test_two_lobes_are_one_body() -> None:
    frame = np.maximum(disk(300, 300, 100, 150, 40), disk(300, 300, 200, 150, 30))
    left, _, right, _ = search_body(scale_to_unit(frame, 8)).box
    assert left == pytest.approx(60, abs=3)
    assert right == pytest.approx(231, abs=3)


def test_sixteen_bits_and_colour_give_the_same_picture() -> None:
    grey = disk(200, 200, 100, 100, 50)
    deep = grey.astype(np.uint16) * 16
    colour = cv2.merge([grey, grey, grey])
    one = center(grey, 8, 64, 64, 1, locate=True)
    for other in (center(deep, 12, 64, 64, 1, locate=True), center(colour, 8, 64, 64, 1, locate=True)):
        assert np.allclose(one.image, other.image, atol=0.01)
    assert center(grey, 8, 64, 96, 3, locate=True).image.shape == (64, 96, 3)
