"""Views: ranges, directions, the camera's axes, flybys."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ground_tools.rendering.geometry import SHELL, View, camera_axes, hyperbolic_flyby, random_view, reference_range

VIEWS = [random_view(2.0, np.random.default_rng([3, i])) for i in range(3000)]


def test_d0_is_the_range_at_which_the_body_fills_the_field_of_view() -> None:
    assert 2.0 * reference_range(2.0) * np.tan(np.radians(5.0)) == pytest.approx(2.0)


def test_ranges_are_uniform_in_the_volume_of_the_shell() -> None:
    low, high = (f * reference_range(2.0) for f in SHELL)
    cubes = np.array([view.range_km**3 for view in VIEWS])
    assert stats.kstest(cubes, stats.uniform(low**3, high**3 - low**3).cdf).pvalue > 1e-3


def test_directions_are_uniform_on_the_sphere_and_phase_angles_in_0_to_90() -> None:
    directions = np.array([view.camera / view.range_km for view in VIEWS])
    for axis in range(3):
        assert stats.kstest(directions[:, axis], stats.uniform(-1.0, 2.0).cdf).pvalue > 1e-3
    phases = np.array([view.phase_angle_deg for view in VIEWS])
    assert stats.kstest(phases, stats.uniform(0.0, 90.0).cdf).pvalue > 1e-3
    assert np.allclose(np.linalg.norm([view.sun for view in VIEWS], axis=1), 1.0)


def test_the_camera_looks_at_the_body_with_its_north_up() -> None:
    for view in [*VIEWS[:50], View(np.array([0.0, 0.0, 7.0]), np.array([1.0, 0.0, 0.0]))]:
        axes = camera_axes(view)
        assert np.allclose(axes @ axes.T, np.eye(3))
        assert np.linalg.det(axes) == pytest.approx(1.0)
        assert np.allclose(axes @ -view.camera, [0.0, 0.0, view.range_km], atol=1e-9 * view.range_km)
        assert (axes @ [0.0, 0.0, 1.0])[1] <= 1e-12  # y is down


def test_a_flyby_is_symmetric_and_nearly_straight() -> None:
    views, times = hyperbolic_flyby(2.0, 57, closest=0.5, farthest=3.0, duration_s=600.0)
    ranges = np.array([view.range_km for view in views]) / reference_range(2.0)
    assert ranges.argmin() == 28
    assert ranges[0] > 2.0
    assert ranges == pytest.approx(ranges[::-1], rel=0.1)
    assert times[[0, 28, 56]].tolist() == [-300.0, 0.0, 300.0]
    steps = np.diff([view.camera for view in views], axis=0)
    assert np.linalg.norm(steps, axis=1).std() < 0.05 * np.linalg.norm(steps, axis=1).mean()
