"""The geometry of views, and labels from renderings."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import stats

from ground_tools.bodies.enhance import BOULDER_IDENTIFIERS, CRATER_IDENTIFIERS, SURFACE_IDENTIFIER
from ground_tools.rendering.geometry import SHELL, hyperbolic_flyby, random_view, reference_range
from ground_tools.rendering.labels import (
    BOULDERS,
    CRATERS,
    SURFACE,
    TERMINATOR,
    acceptance_mask,
    class_mask,
    stacked_mask,
    terminator_mask,
)

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
    """Radiance of a Lambert sphere lit from the left, and its mask."""
    v, u = np.mgrid[:size, :size] - (size - 1) / 2
    inside = u**2 + v**2 < radius**2
    z = np.sqrt(np.maximum(radius**2 - u**2 - v**2, 0.0))
    phase = np.radians(phase_deg)
    cosine = (-u * np.sin(phase) + z * np.cos(phase)) / radius
    return np.where(inside, 0.8 * np.maximum(cosine, 0.0), 0.0), inside


@pytest.mark.parametrize("phase_deg", [50.0, 70.0, 90.0])
def test_the_terminator_is_found_where_it_is_and_not_at_the_limb(phase_deg: float) -> None:
    clean, body = lit_sphere(phase_deg)
    terminator = terminator_mask(clean, body)
    assert terminator.sum() > 200
    assert not (terminator & ~acceptance_mask(body)).any()
    # On the equator of the image the terminator of a sphere lies at u = R cos(phase).
    columns = np.flatnonzero(terminator[64]) - 63.5
    assert columns.mean() == pytest.approx(45.0 * np.cos(np.radians(phase_deg)), abs=7.0)


def test_a_fully_lit_body_has_no_terminator() -> None:
    clean, body = lit_sphere(0.0)
    assert not terminator_mask(clean, body).any()


def test_masks_are_stacked_by_priority_and_partition_the_image() -> None:
    identifiers = np.zeros((64, 64), dtype=np.int32)
    cv2.circle(identifiers, (32, 32), 28, SURFACE_IDENTIFIER, cv2.FILLED)
    cv2.circle(identifiers, (26, 32), 9, CRATER_IDENTIFIERS, cv2.FILLED)
    cv2.circle(identifiers, (40, 32), 5, BOULDER_IDENTIFIERS[2], cv2.FILLED)
    identifiers[10, 32] = BOULDER_IDENTIFIERS[0]  # gravel on the surface
    identifiers[32, 26] = BOULDER_IDENTIFIERS[0] + 1  # gravel in the crater
    terminator = np.zeros((64, 64), dtype=bool)
    terminator[30:34, 20:45] = True
    mask = stacked_mask(identifiers, terminator)
    assert (mask[terminator] == TERMINATOR).all()
    assert (mask[(identifiers == BOULDER_IDENTIFIERS[2]) & ~terminator] == BOULDERS).all()
    assert mask[10, 32] == SURFACE
    assert stacked_mask(identifiers, np.zeros_like(terminator))[32, 26] == CRATERS
    assert ((mask > 0) == (identifiers > 0)).all()
    small = stacked_mask(identifiers, terminator, minimum_boulder_pixels=500)
    assert not (small == BOULDERS).any()


def test_a_class_mask_is_made_of_both() -> None:
    clean, body = lit_sphere(70.0)
    mask = class_mask(body.astype(np.int32), clean)
    assert set(np.unique(mask)) == {0, SURFACE, TERMINATOR}
