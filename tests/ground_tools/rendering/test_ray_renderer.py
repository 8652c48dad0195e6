"""Grey images by rays: the reflection of Lommel and Seeliger, shadows, and nothing but the seed's chance."""

from __future__ import annotations

import numpy as np
import pytest

from ground_tools.bodies.meshes import Mesh
from ground_tools.rendering.geometry import FIELD_OF_VIEW_DEG, View
from ground_tools.rendering.ray_renderer import RayRenderer
from tests.ground_tools.bodies.test_sites import smooth_body, sphere

SIZE = 64
DISTANCE = 1.2 / np.sin(np.radians(FIELD_OF_VIEW_DEG) / 2.0)


def render(phase_deg: float, seed: int = 1, rays: int = 16) -> np.ndarray:
    phase = np.radians(phase_deg)
    view = View(np.array([DISTANCE, 0.0, 0.0]), np.array([np.cos(phase), np.sin(phase), 0.0]))
    return RayRenderer(smooth_body(sphere(6)), SIZE, rays).render(view, seed)


def expected(phase_deg: float) -> np.ndarray:
    """(SIZE, SIZE) float64, what Lommel and Seeliger say of a unit ball, at the pixels' middles; NaN near its edges."""
    phase, half = np.radians(phase_deg), np.tan(np.radians(FIELD_OF_VIEW_DEG) / 2.0)
    middle = ((np.arange(SIZE) + 0.5) / SIZE * 2.0 - 1.0) * half
    right, down = np.meshgrid(middle, middle)
    # The camera looks along -x from DISTANCE, its x axis along y, its y axis along -z.
    directions = np.stack([-np.ones_like(right), right, -down], axis=-1)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    along = DISTANCE * -directions[..., 0]
    inside = 1.0 - (DISTANCE**2 - along**2)
    normal = [DISTANCE, 0.0, 0.0] + (along - np.sqrt(np.clip(inside, 0.0, None)))[..., None] * directions
    incidence = normal @ np.array([np.cos(phase), np.sin(phase), 0.0])
    emission = -np.sum(normal * directions, axis=-1)
    radiance = 2.0 * np.clip(incidence, 0.0, None) / (np.clip(incidence, 0.0, None) + emission)
    # Pixels across the limb or the terminator show a part of each side.
    return np.where((inside > 0.12) & (np.abs(incidence) > 0.06), radiance, np.where(inside < -0.1, 0.0, np.nan))


@pytest.mark.parametrize("phase_deg", [0.0, 60.0, 110.0])
def test_a_balls_brightness_is_lommel_and_seeligers(phase_deg: float) -> None:
    image, true = render(phase_deg), expected(phase_deg)
    known = np.isfinite(true)
    assert known.mean() > 0.8
    assert np.abs(image - true)[known].max() < 0.03
    assert np.abs(image - true)[known].mean() < 0.003


def test_a_rock_casts_its_shadow_away_from_the_sun() -> None:
    body = smooth_body(sphere(6))
    rock = sphere(2)
    pillar = Mesh(np.array([1.0, 0.0, 0.0]) + rock.vertices * [0.3, 0.04, 0.04], rock.faces)
    with_rock = type(body)(
        **{
            **vars(body),
            "rocks": pillar,
            "rock_identifiers": np.full(len(rock.faces), 1000, np.int32),
            "rock_albedo": np.ones(len(rock.vertices), np.float32),
        }
    )
    sun = np.array([np.cos(np.radians(50.0)), np.sin(np.radians(50.0)), 0.0])
    view = View(np.array([DISTANCE, 0.0, 0.0]), sun)
    change = RayRenderer(with_rock, SIZE, 4).render(view, 1) - RayRenderer(body, SIZE, 4).render(view, 1)
    darker = np.argwhere(change < -0.3)
    assert len(darker) > 5
    # The sun stands to the right.
    assert darker[:, 1].mean() < SIZE / 2 - 2


def test_chance_is_the_seeds_alone() -> None:
    assert np.array_equal(render(30.0, seed=2, rays=4), render(30.0, seed=2, rays=4))
    assert not np.array_equal(render(30.0, seed=2, rays=4), render(30.0, seed=3, rays=4))
