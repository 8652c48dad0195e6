"""Random shapes of every kind."""

from __future__ import annotations

from hypothesis import strategies as st

from ground_tools.labelling.shapes import Shape, ellipse

coordinates = st.floats(0, 250).map(lambda v: round(v, 2))


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    name = draw(st.sampled_from(("body", "crater", "boulder", "terminator")))
    kind = draw(st.sampled_from(("polygon", "ellipse", "circle", "rectangle")))
    if kind == "ellipse":
        sizes = st.floats(0.5, 60).map(lambda v: round(v, 1))
        middle = coordinates.map(lambda v: round(v, 1))
        return ellipse(name, draw(middle), draw(middle), draw(sizes), draw(sizes), draw(st.integers(0, 179)))
    if kind == "circle":
        x, y, radius = draw(coordinates), draw(coordinates), draw(st.floats(0.5, 60))
        return Shape(name, ((x, y), (round(x + radius, 2), y)), "circle")
    count = 2 if kind == "rectangle" else draw(st.integers(3, 12))
    points = draw(st.lists(st.tuples(coordinates, coordinates), min_size=count, max_size=count))
    return Shape(name, tuple(points), kind)
