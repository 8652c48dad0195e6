"""Outlines of painted regions and bands about lines; COCO's run lengths."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ground_tools.labelling.rasterisation import rasterise
from ground_tools.labelling.regions import stroke, trace
from ground_tools.labelling.run_lengths import decode_run_lengths
from ground_tools.labelling.shapes import Shape, area, crosses_itself, middle, outline
from tests.ground_tools.labelling.tool_files import plain_run_lengths

painted = st.builds(
    lambda seed, height, width, share: np.random.default_rng(seed).random((height, width)) < share,
    st.integers(0, 10**6),
    st.integers(1, 16),
    st.integers(1, 16),
    st.floats(0.1, 0.95),
).filter(np.any)


@settings(max_examples=60)
@given(painted)
def test_outlines_have_the_regions_own_pixels_holes_and_all(region: np.ndarray) -> None:
    side = max(region.shape)
    again = np.zeros((side, side), dtype=int)
    for points in trace(region):
        shape = Shape("body", points)
        pixels = rasterise(outline(shape), (0, 0, side), side)
        assert area(shape) == pixels.sum()
        assert not crosses_itself(shape)
        again += pixels
    assert (again[: region.shape[0], : region.shape[1]] == region).all()
    assert again.sum() == region.sum()


def test_a_ring_is_one_polygon_with_its_hole() -> None:
    y, x = np.mgrid[:60, :60]
    ring = (np.hypot(x - 30, y - 30) < 25) & (np.hypot(x - 30, y - 30) >= 12)
    (points,) = trace(ring)
    assert area(Shape("crater", points)) == ring.sum()


@settings(max_examples=40)
@given(st.floats(0, 200), st.floats(0, 200), st.floats(10, 200), st.floats(0, 360), st.floats(4, 30))
def test_a_line_becomes_a_band_of_its_width(x: float, y: float, length: float, angle: float, width: float) -> None:
    turn = math.radians(angle)
    end = (x + length * math.cos(turn), y + length * math.sin(turn))
    band = Shape("terminator", stroke(((x, y), end), width))
    # To a third of a pixel all around, which moves the middle of a long and thin band along it.
    within = (2 * length + math.pi * width) / 3
    assert area(band) == pytest.approx(width * length + math.pi * width**2 / 4, abs=within)
    assert not crosses_itself(band)
    assert middle(band) == pytest.approx(((x + end[0]) / 2, (y + end[1]) / 2), abs=1.0 + length / (9 * width))


@settings(max_examples=60)
@given(painted)
def test_run_lengths_are_read_as_cocos_own_tools_read_them(region: np.ndarray) -> None:
    mask = pytest.importorskip("pycocotools.mask")
    height, width = region.shape
    packed = mask.encode(np.asfortranarray(region.astype(np.uint8)))["counts"].decode()
    for counts in (packed, plain_run_lengths(region)):
        assert (decode_run_lengths({"size": [height, width], "counts": counts}, (width, height)) == region).all()


def test_damaged_run_lengths_are_refused_or_fill_the_image() -> None:
    mask = pytest.importorskip("pycocotools.mask")
    region = np.random.default_rng(0).random((20, 30)) < 0.5
    packed = list(mask.encode(np.asfortranarray(region.astype(np.uint8)))["counts"].decode())
    generator, refused = random.Random(1), 0
    for _ in range(500):
        damaged = packed.copy()
        at = generator.randrange(len(damaged))
        damaged[at : at + generator.randint(0, 2)] = [chr(generator.randint(33, 300))] * generator.randint(0, 2)
        try:
            pixels = decode_run_lengths({"size": [20, 30], "counts": "".join(damaged)}, (30, 20))
        except ValueError as error:
            assert "segmentation.counts: expected" in str(error)  # noqa: PT017
            refused += 1
        else:
            assert pixels.shape == (20, 30)
    assert refused > 300


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [4, 3], "counts": [12]}, r"segmentation.size: expected \[3, 4\], got \[4, 3\]"),
        ({"size": [3, 4], "counts": [5, 4]}, "expected runs of 12 pixels in all, got 9"),
        ({"size": [3, 4], "counts": [12]}, "expected pixels of the shape, got none"),
        ({"size": [3, 4], "counts": [14, -2]}, "expected lengths of runs"),
        ({"size": [3, 4], "counts": {}}, "expected lengths of runs"),
        ({"size": [3, 4], "counts": "a"}, "expected whole numbers, got one cut off"),
    ],
)
def test_run_lengths_that_do_not_fit_are_refused(segmentation: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_run_lengths(segmentation, (4, 3))
