"""Sceneries: the drawn sphere is where its geometry is, and a renderer's process is told by what it says."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from hil.fly.measurement import Sighting, sight_by_brightness
from hil.fly.plan import look_along
from hil.fly.scenario import DrawnSphere
from hil.fly.scenery import CameraView, RenderedScenery, SceneryError, SphereScenery

UP = np.array([0.0, 0.0, 1.0])
HELLO = """import json, sys
import numpy as np
def say(record, data=b""):
    sys.stdout.buffer.write(json.dumps(record).encode() + b"\\n" + data)
    sys.stdout.buffer.flush()
say({"name": "cube", "extent_km": 1.0, "radius_km": 0.6, "field_of_view_deg": 10.0, "size": 4})
"""


def test_the_sphere_is_seen_where_it_is() -> None:
    sphere = SphereScenery(DrawnSphere(diameter_km=0.5), 256, 1)
    camera = np.array([-6.0, 0.0, 0.0])
    sun = np.array([-1.0, 0.0, 0.0])
    towards = -camera + np.array([0.0, 0.2, -0.1])
    view = CameraView(camera, look_along(towards, UP), sun)
    seen = sight_by_brightness(sphere.image(view, 1), 8)
    assert isinstance(seen, Sighting)
    x, y, z = view.axes @ -camera
    expected = (127.5 + sphere.focal_px * x / z, 127.5 + sphere.focal_px * y / z)
    assert (seen.x, seen.y) == pytest.approx(expected, abs=2.0)
    assert seen.diameter_px == pytest.approx(sphere.focal_px * 0.5 / 6.0, rel=0.06)


def test_rays_meet_the_sphere() -> None:
    sphere = SphereScenery(DrawnSphere(diameter_km=0.5), 64, 1)
    found = sphere.ranges(np.array([[2.0, 0, 0], [2.0, 0, 0]]), np.array([[-3.0, 0, 0], [0, 1.0, 0]]))
    assert found[0] == pytest.approx(1.75)
    assert np.isinf(found[1])


def run_renderer(program: str) -> RenderedScenery:
    return RenderedScenery([sys.executable, "-c", HELLO + program])


VIEW = CameraView(np.array([1.0, 0, 0]), np.eye(3), UP)


def test_a_renderer_answers() -> None:
    scenery = run_renderer("""for line in sys.stdin:
    ask = json.loads(line)
    image = np.full((4, 4), ask["seed"], np.uint8)
    say({"dtype": "|u1", "shape": [4, 4]}, image.tobytes())
""")
    try:
        assert (scenery.name, scenery.size, scenery.extent_km) == ("cube", 4, 1.0)
        assert np.array_equal(scenery.image(VIEW, 7), np.full((4, 4), 7, np.uint8))
    finally:
        scenery.close()


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("sys.exit('no shapes here')", "renderer: no shapes here"),
        ("sys.stdin.readline(); say({'error': 'request: expected x, got y'})", "renderer: request: expected x, got y"),
        ("sys.stdin.readline(); say({'dtype': '<f8', 'shape': [9]}, b'short')", "renderer: it ended without a word"),
        ("sys.stdin.readline(); say({'dtype': '<f8', 'shape': [99999999]})", "renderer: expected at most"),
    ],
)
def test_a_renderer_that_fails_is_told_in_its_words(program: str, problem: str) -> None:
    with pytest.raises(SceneryError) as told:
        run_renderer(program).image(VIEW, 1)
    assert str(told.value).startswith(problem)


def test_one_that_does_not_start_is_told() -> None:
    with pytest.raises(SceneryError, match="renderer /nowhere/at/all: No such file"):
        RenderedScenery(["/nowhere/at/all"])
    with pytest.raises(SceneryError, match="renderer: it ended without a word"):
        RenderedScenery([sys.executable, "-c", "pass"])
