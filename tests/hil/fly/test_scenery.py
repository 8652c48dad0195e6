"""Sceneries: the drawn sphere is where its geometry is."""

from __future__ import annotations

import numpy as np
import pytest

from hil.fly.measurement import Sighting, sight_by_brightness
from hil.fly.scenario import DrawnSphere
from hil.fly.scenery import SphereScenery
from hil.sources.poses import look_along
from hil.sources.renderer import CameraView

UP = np.array([0.0, 0.0, 1.0])


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
