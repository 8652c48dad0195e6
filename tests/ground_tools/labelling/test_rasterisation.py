"""From shapes to masks: areas, edges, stacking, crops and samples."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ground_tools.labelling.annotations import Annotation
from ground_tools.labelling.collection import (
    ImageEntry,
)
from ground_tools.labelling.rasterisation import crop_of, mask_of, rasterise, sample_of
from ground_tools.labelling.shapes import (
    Shape,
    area,
    ellipse,
    outline,
)
from ground_tools.labels.classes import BACKGROUND, BOULDERS, CRATERS, SURFACE, TERMINATOR
from tests.ground_tools.labelling.drawn import (
    AXES,
    HEIGHT,
    SKY,
    WIDTH,
    annotation_of,
    drawn_body,
    drawn_image,
)

MINIMUM = {"crater": 6.0, "boulder": 6.0}


@given(
    st.floats(20, 80), st.floats(20, 80), st.floats(3, 40), st.floats(3, 40), st.integers(0, 179), st.integers(40, 200)
)
def test_a_region_has_the_area_of_its_shape_wherever_it_lies(
    x: float, y: float, a: float, b: float, angle: int, side: int
) -> None:
    shape = ellipse("crater", x, y, a, b, angle)
    crop = (-60, -60, 60 + 160 + side // 10)
    region = rasterise(outline(shape), crop, 256)
    pixel = crop[2] / 256
    length = math.pi * (a + b)
    assert region.sum() * pixel**2 == pytest.approx(area(shape), abs=0.5 * length * pixel + 1.0)
    middle = np.argwhere(region).mean(axis=0) + 0.5
    assert np.allclose(middle[::-1] * pixel + crop[:2], (x, y), atol=0.5 * pixel)


def test_edges_lie_to_a_fraction_of_a_pixel() -> None:
    """Pixels of which half or more is covered belong to a shape: 0.4 of one does not, 0.6 does."""
    square = np.array([(10.4, 10.6), (20.4, 10.6), (20.4, 20.6), (10.4, 20.6)])
    region = rasterise(square, (0, 0, 32), 32)
    rows, columns = np.nonzero(region)
    assert (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1) == (10, 20, 11, 21)


def test_shapes_stack_as_in_the_synthetic_sets() -> None:
    body = Shape("body", ((10, 10), (118, 10), (118, 118), (10, 118)))
    crater = Shape("crater", ((30, 30), (90, 30), (90, 90), (30, 90)))
    boulder = Shape("boulder", ((50, 50), (70, 50), (70, 70), (50, 70)))
    terminator = Shape("terminator", ((60, 0), (80, 0), (80, 128), (60, 128)))
    small = Shape("boulder", ((100, 100), (105, 100), (105, 105)))
    annotation = Annotation("a.png", "", 128, 128, (terminator, boulder, small, crater, body), crop=(0, 0, 128))
    mask = mask_of(annotation, (0, 0, 128), 128, {"crater": 6.0, "boulder": 8.0})
    expected = {
        (5, 70): BACKGROUND,  # the terminator lies on the body only
        (20, 20): SURFACE,
        (20, 70): TERMINATOR,
        (40, 40): CRATERS,
        (55, 55): BOULDERS,
        (55, 65): TERMINATOR,
        (103, 101): SURFACE,  # a boulder too small to be one
    }
    assert {place: int(mask[place]) for place in expected} == expected


def test_the_crop_goes_about_the_body_and_ends_at_a_border_that_cuts_it() -> None:
    annotation = Annotation("a.png", "", WIDTH, HEIGHT, (drawn_body(),))
    x, y, side = crop_of(annotation, 1.2)
    assert side == round(2 * AXES[0] * 1.2)
    assert (x + side / 2, y + side / 2) == pytest.approx((125, 96), abs=1)
    assert y < 0  # the body ends within the image: sky goes on beyond it
    cut_left = replace(annotation, shapes=(ellipse("body", 30, 96, 60, 60),))
    assert crop_of(cut_left, 1.2)[0] == 0
    whole = replace(annotation, shapes=(Shape("body", ((0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT))),))
    assert crop_of(whole, 1.2) == ((WIDTH - HEIGHT) // 2, 0, HEIGHT)
    assert crop_of(replace(annotation, crop=(3, 4, 50)), 1.2) == (3, 4, 50)


def test_a_sample_shows_the_sky_beyond_the_image_and_the_body_where_its_mask_is() -> None:
    annotation = replace(annotation_of(ImageEntry("a.png", "a", ""), 3), shapes=(drawn_body(),))
    for size in (128, 256):
        sample = sample_of(drawn_image(3, sun_degrees=0.0), annotation, crop_of(annotation, 1.4), size, MINIMUM)
        assert sample.image.shape == sample.mask.shape == (size, size)
        assert (sample.image[0] == SKY).all()
        seen = sample.image > SKY + 10
        assert (seen != (sample.mask > 0)).mean() < 0.02
