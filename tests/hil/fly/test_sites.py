"""Landing sites: chosen by circles and by brightness, and measured against the true hazards."""

from __future__ import annotations

import numpy as np
import pytest

from flight.client import LandingCircle
from hil.fly.scenario import Descent, DrawnSphere
from hil.fly.scenery import Scenery, SphereScenery
from hil.fly.sites import Look, choose_by_variance, choose_circle, choose_ground, measure_miss
from hil.sources.poses import look_along
from hil.sources.renderer import CameraView

SIZE, HEIGHT_KM, LANDER_KM = 256, 1.0, 0.006
UP = np.array([0.0, 0.0, 1.0])
FOCAL_PX = SIZE / (2.0 * np.tan(np.radians(5.0)))
WAY = Descent(divert=0.06)
MIDDLE = 0.5 * (SIZE - 1)


def make_look(pixels: np.ndarray | None = None) -> Look:
    image = np.full((SIZE, SIZE), 100, np.uint8) if pixels is None else pixels
    camera = np.array([0.0, 0.0, HEIGHT_KM])
    axes = look_along(-UP, np.array([0.0, 1.0, 0.0]))
    return Look(image, 8, camera, axes, np.zeros(3), UP, FOCAL_PX, HEIGHT_KM)


def circle(x: float, y: float, radius: float) -> LandingCircle:
    return LandingCircle(x, y, radius, 0, 0, 0.0, x, y, 0.0, 0.0)


def test_pixels_and_ground_are_the_same_places() -> None:
    look = make_look()
    for x, y in ((MIDDLE, MIDDLE), (10.0, 200.0)):
        place = look.ground_point(x, y)
        assert place[2] == pytest.approx(0.0, abs=1e-12)
        assert look.pixel_of(place) == pytest.approx((x, y))
    assert look.ground_point(MIDDLE, MIDDLE) == pytest.approx(np.zeros(3), abs=1e-12)


def test_the_largest_circle_within_reach_is_chosen() -> None:
    look = make_look()
    circles = [circle(8.0, 8.0, 30.0), circle(MIDDLE + 40.0, MIDDLE, 20.0), circle(MIDDLE - 60.0, MIDDLE, 12.0)]
    found = choose_circle(look, WAY, circles, LANDER_KM, look.ground_point(MIDDLE, MIDDLE + 80.0))
    assert found is not None
    assert look.pixel_of(found.place) == pytest.approx((MIDDLE + 40.0, MIDDLE))
    assert found.radius_km == pytest.approx(20.0 * HEIGHT_KM / FOCAL_PX)


def test_a_site_is_kept_while_it_is_nearly_as_good() -> None:
    look = make_look()
    present = look.ground_point(MIDDLE + 2.0, MIDDLE)
    circles = [circle(MIDDLE, MIDDLE, 20.0), circle(MIDDLE + 60.0, MIDDLE, 22.0)]
    kept = choose_circle(look, WAY, circles, LANDER_KM, present)
    assert kept is not None
    assert np.array_equal(kept.place, present)
    assert kept.radius_km == pytest.approx(18.0 * HEIGHT_KM / FOCAL_PX)
    moved = choose_circle(look, WAY, [circles[0], circle(MIDDLE + 60.0, MIDDLE, 40.0)], LANDER_KM, present)
    assert moved is not None
    assert look.pixel_of(moved.place)[0] == pytest.approx(MIDDLE + 60.0)
    assert choose_circle(look, WAY, [], LANDER_KM, present) is None


def test_brightness_chooses_what_is_smooth_and_lit() -> None:
    generator = np.random.default_rng(1)
    image = generator.integers(60, 200, (SIZE, SIZE)).astype(np.uint8)
    image[100:140, 150:190] = 120
    image[20:60, 20:60] = 0  # smooth, and in the dark
    look = make_look(image)
    found = choose_by_variance(look, WAY, LANDER_KM, look.ground_point(MIDDLE, MIDDLE))
    assert found is not None
    x, y = look.pixel_of(found.place)
    assert 150 <= x < 190
    assert 100 <= y < 140
    assert choose_by_variance(make_look(np.zeros((SIZE, SIZE), np.uint8)), WAY, LANDER_KM, np.zeros(3)) is None


class Plain(Scenery):
    """A plain with one disc as a hazard, its centre so far from the touchdown along x."""

    def __init__(self, away_km: float, radius_km: float) -> None:
        self.name, self.size, self.extent_km, self.radius_km = "plain", SIZE, 1.0, 0.5
        self._away, self._radius = away_km, radius_km

    def image(self, view: CameraView, seed: int) -> np.ndarray:
        raise AssertionError("not looked at")

    def ranges(self, origins_km: np.ndarray, directions: np.ndarray) -> np.ndarray:
        raise AssertionError("not measured")

    def objects(self, view: CameraView) -> np.ndarray:
        rows, columns = np.mgrid[:SIZE, :SIZE] - MIDDLE
        rays = np.stack([columns / FOCAL_PX, rows / FOCAL_PX, np.ones((SIZE, SIZE))], axis=-1) @ view.axes
        ground = view.camera_km + rays * (-view.camera_km[2] / rays[..., 2:])
        return np.where(np.hypot(ground[..., 0] - self._away, ground[..., 1]) < self._radius, 7, 1).astype(np.int32)


@pytest.mark.parametrize(("away", "radius", "expected"), [(0.04, 0.01, 0.03), (0.0, 0.01, -0.01), (0.04, 0.002, 0.075)])
def test_the_miss_is_to_the_edge_of_what_is_larger_than_the_lander(away: float, radius: float, expected: float) -> None:
    """A rock narrower than the lander's radius does not count: the view has nothing else as far as it goes."""
    assert measure_miss(Plain(away, radius), np.zeros(3), UP, LANDER_KM) == pytest.approx(expected, abs=0.0015)


def test_a_place_to_go_down_to_is_seen_from_above() -> None:
    sphere = SphereScenery(DrawnSphere(diameter_km=2.0), 128, 1)
    ground = choose_ground(sphere, WAY, 5.0, np.random.default_rng(2))
    assert np.linalg.norm(ground.place) == pytest.approx(1.0)
    assert ground.up @ ground.place == pytest.approx(1.0, abs=1e-6)
    assert np.degrees(np.arccos(ground.up @ ground.sun)) == pytest.approx(WAY.sun_deg)
