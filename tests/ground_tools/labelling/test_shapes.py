"""Shapes: area, middle, crossing sides, lines of text."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ground_tools.labelling.shapes import (
    Shape,
    across,
    area,
    as_line,
    crosses_itself,
    ellipse,
    middle,
    outline,
    shape_of_line,
)
from tests.ground_tools.labelling.drawn import (
    drawn_body,
)
from tests.ground_tools.labelling.shape_strategy import shapes


def test_an_ellipse_has_the_area_and_extent_of_an_ellipse() -> None:
    shape = ellipse("crater", 50, 40, 20, 10, 30)
    assert area(shape) == pytest.approx(math.pi * 200, rel=0.01)
    assert across(shape) == pytest.approx(40, rel=0.01)


@given(st.floats(-50, 900), st.floats(-50, 900), st.floats(2, 60), st.floats(2, 60), st.integers(0, 179))
def test_the_middle_of_a_shape_is_that_of_its_area(x: float, y: float, a: float, b: float, angle: int) -> None:
    assert middle(ellipse("crater", x, y, a, b, angle)) == pytest.approx((x, y), abs=0.03)  # points are rounded
    assert middle(Shape("boulder", ((x, y), (x + a, y)), "circle")) == pytest.approx((x, y), abs=0.01)
    assert middle(Shape("body", ((x, y), (x + a, y + b)), "rectangle")) == pytest.approx((x + a / 2, y + b / 2))
    # Points that lie close together at one end do not pull it there.
    crowded = Shape("crater", ((x, y), (x + a, y), (x + a, y + b), (x, y + b), (x, y + b / 2), (x, y + b / 4)))
    assert middle(crowded) == pytest.approx((x + a / 2, y + b / 2), abs=0.01)
    assert middle(Shape("crater", ((x, y), (x + a, y), (x + a / 2, y)))) == pytest.approx((x + a / 2, y))


def test_crossing_sides_are_found() -> None:
    assert crosses_itself(Shape("crater", ((0, 0), (10, 10), (10, 0), (0, 10))))
    assert not crosses_itself(Shape("crater", ((0, 0), (10, 0), (10, 10), (0, 10))))
    assert not crosses_itself(drawn_body())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hole circle 1,2,3", "label: expected body, crater, boulder, terminator, got 'hole'"),
        ("crater circle 1,2", "expected 3 numbers"),
        ("crater ellipse 1,2,0,3", "expected half axes above 0, got 0 and 3"),
        ("crater polygon 1,2 3,4", "expected 3 or more points, got 2"),
        ("crater blob 1,2 3,4", "expected polygon, circle, rectangle, oriented_rectangle, got 'blob'"),
    ],
)
def test_an_unfit_line_is_told_with_what_was_expected(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        shape_of_line(line)


@given(shapes())
def test_a_shape_survives_its_line_of_text(shape: Shape) -> None:
    again = shape_of_line(as_line(shape))
    assert (again.label, again.kind) == (shape.label, shape.kind)
    assert np.allclose(outline(again), outline(shape), atol=0.02)
