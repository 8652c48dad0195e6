"""The geometry of views, and labels from renderings."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import stats

from ground_tools.labels.classes import (
    BOULDER_IDENTIFIERS,
    BOULDERS,
    CRATER_IDENTIFIERS,
    CRATERS,
    GRAVEL_IDENTIFIER,
    SURFACE,
    SURFACE_IDENTIFIER,
    TERMINATOR,
)
from ground_tools.labels.stacking import merge_gravel, stack_masks
from ground_tools.labels.terminator import acceptance_mask, terminator_mask
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


def lit_sphere(phase_deg: float, size: int = 128, radius: float = 45.0) -> tuple[np.ndarray, np.ndarray]:
    """Cosine of the sun's incidence on a sphere lit from the left, and its mask."""
    v, u = np.mgrid[:size, :size] - (size - 1) / 2
    inside = u**2 + v**2 < radius**2
    z = np.sqrt(np.maximum(radius**2 - u**2 - v**2, 0.0))
    phase = np.radians(phase_deg)
    cosine = (-u * np.sin(phase) + z * np.cos(phase)) / radius
    return np.where(inside, np.maximum(cosine, 0.0), 0.0).astype(np.float32), inside


@pytest.mark.parametrize("phase_deg", [50.0, 70.0, 90.0])
def test_the_terminator_is_found_where_it_is_and_not_at_the_limb(phase_deg: float) -> None:
    clean, body = lit_sphere(phase_deg)
    terminator = terminator_mask(clean, body, body)
    assert terminator.sum() > 200
    assert not (terminator & ~acceptance_mask(body)).any()
    # On the equator of the image the terminator of a sphere lies at u = R cos(phase).
    columns = np.flatnonzero(terminator[64]) - 63.5
    assert columns.mean() == pytest.approx(45.0 * np.cos(np.radians(phase_deg)), abs=7.0)


def test_a_fully_lit_body_has_no_terminator() -> None:
    clean, body = lit_sphere(0.0)
    assert not terminator_mask(clean, body, body).any()


def test_relief_in_the_day_and_a_dark_hollow_are_no_terminator() -> None:
    clean, body = lit_sphere(0.0)
    clean[40:60, 40:90] *= 0.4  # a sharp step from bright to dim
    clean[70:78, 60:68] = 0.0  # a shadowed hollow
    assert not terminator_mask(clean, body, body).any()


def test_masks_are_stacked_by_priority_and_partition_the_image() -> None:
    ground = np.zeros((64, 64), dtype=np.int32)
    cv2.circle(ground, (32, 32), 28, SURFACE_IDENTIFIER, cv2.FILLED)
    cv2.circle(ground, (26, 32), 9, CRATER_IDENTIFIERS, cv2.FILLED)
    found = ground.copy()
    cv2.circle(found, (40, 32), 5, BOULDER_IDENTIFIERS[2], cv2.FILLED)
    found[10, 32] = BOULDER_IDENTIFIERS[0]  # gravel on the surface
    found[32, 26] = BOULDER_IDENTIFIERS[0] + 1  # gravel in the crater
    found[20, 30:34] = BOULDER_IDENTIFIERS[0] + 2  # a small rock
    found[32, 61] = BOULDER_IDENTIFIERS[0] + 3  # gravel beyond the limb
    identifiers = merge_gravel(found)
    assert sorted(np.unique(identifiers)) == [
        0,
        SURFACE_IDENTIFIER,
        GRAVEL_IDENTIFIER,
        CRATER_IDENTIFIERS,
        BOULDER_IDENTIFIERS[0] + 2,
        BOULDER_IDENTIFIERS[2],
    ]
    terminator = np.zeros((64, 64), dtype=bool)
    terminator[30:34, 20:45] = True
    mask = stack_masks(identifiers, ground, terminator)
    assert (mask[terminator] == TERMINATOR).all()
    assert (mask[(identifiers == BOULDER_IDENTIFIERS[2]) & ~terminator] == BOULDERS).all()
    assert mask[10, 32] == mask[20, 31] == mask[32, 61] == SURFACE
    no_night = np.zeros_like(terminator)
    assert stack_masks(identifiers, ground, no_night)[32, 26] == CRATERS
    assert ((mask > 0) == (identifiers > 0)).all()
    assert not (stack_masks(identifiers, ground, terminator, minimum_boulder_pixels=500) == BOULDERS).any()
    assert stack_masks(identifiers, ground, no_night, minimum_boulder_pixels=4)[20, 31] == BOULDERS
    # The paper's rule: every rock is a boulder.
    every = stack_masks(identifiers, ground, no_night, minimum_boulder_pixels=1)
    assert ((every == BOULDERS) == (found >= BOULDER_IDENTIFIERS[0])).all()
