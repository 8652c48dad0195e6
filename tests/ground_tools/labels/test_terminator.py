"""The terminator of spheres lit from a known side, and what is none."""

from __future__ import annotations

import numpy as np
import pytest

from ground_tools.labels.terminator import acceptance_mask, terminator_mask


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
