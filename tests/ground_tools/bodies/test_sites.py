"""Fine terrain about a place: divided faces, small craters, rocks by a power law."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from ground_tools.bodies.enhanced_body import EnhancedBody
from ground_tools.bodies.meshes import Mesh
from ground_tools.bodies.reliefs import analytic_relief
from ground_tools.bodies.sites import SiteSettings, make_site
from ground_tools.bodies.subdivision import subdivide
from ground_tools.labels.classes import BOULDER_IDENTIFIERS, CRATER_IDENTIFIERS, SURFACE_IDENTIFIER

TOP = np.array([0.0, 0.0, 1.0])


def sphere(subdivisions: int = 5) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions=subdivisions)
    return Mesh(np.asarray(made.vertices, dtype=np.float64), np.asarray(made.faces, dtype=np.int32))


def smooth_body(mesh: Mesh) -> EnhancedBody:
    """A body without craters or rocks."""
    return EnhancedBody(
        name="ball",
        clean=mesh,
        ground=mesh,
        ground_identifiers=np.full(len(mesh.faces), SURFACE_IDENTIFIER, np.int32),
        ground_albedo=np.ones(len(mesh.vertices), np.float32),
        rocks=Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32)),
        rock_identifiers=np.zeros(0, np.int32),
        rock_albedo=np.zeros(0, np.float32),
        extent=2.0,
    )


def settings(**changes: float) -> SiteSettings:
    values: dict[str, float] = {
        "distance": 1.0,
        "width": 0.175,
        "rock_slope": 2.8,
        "rock_cover": 0.1,
        "crater_density": 0.05,
        "roughness": 0.03,
    }
    return SiteSettings(pixels=128, **{**values, **changes})


def test_divided_faces_are_rounder_and_leave_no_crack() -> None:
    ball = sphere(2)
    chosen = ball.vertices[ball.faces].mean(axis=1)[:, 2] > 0.5
    mesh, parents, edges = subdivide(ball, chosen)
    assert len(mesh.faces) == len(ball.faces) + 3 * chosen.sum()
    assert np.array_equal(np.unique(parents), np.arange(len(ball.faces)))
    new = mesh.vertices[len(ball.vertices) :]
    # Inside, new vertices rise towards the ball; where the other face is whole, they stay on its edge.
    middles = 0.5 * (ball.vertices[edges.first] + ball.vertices[edges.second])
    assert np.array_equal(new[~edges.inner], middles[~edges.inner])
    sag = 1.0 - np.linalg.norm(middles, axis=1)
    assert (1.0 - np.linalg.norm(new, axis=1))[edges.inner].max() < 0.5 * sag[edges.inner].min()
    assert 0 < edges.inner.sum() < len(edges.inner)


def test_facets_about_a_site_are_about_a_pixel_and_the_rest_stays() -> None:
    body = smooth_body(sphere())
    reliefs = [analytic_relief(np.random.default_rng(1))]
    chosen = settings(crater_density=1e-9)
    site = make_site(body, TOP, TOP, chosen, reliefs, np.random.default_rng(2))
    corners = site.ground.vertices[site.ground.faces]
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    centres = corners.mean(axis=1)
    seen = np.linalg.norm(centres - TOP, axis=1) < 0.5 * chosen.width
    assert edges[seen].max() < 2.6 * chosen.pixel
    far = centres[:, 2] < 0.0
    assert edges[far].min() > 10.0 * chosen.pixel
    # A fractal surface: rough, but still the ball.
    heights = np.linalg.norm(site.ground.vertices, axis=1) - 1.0
    assert 0.0 < np.abs(heights).max() < 0.02


@pytest.mark.parametrize("slope", [2.2, 3.3])
def test_rocks_follow_the_power_law_and_cover_what_is_asked(slope: float) -> None:
    body = smooth_body(sphere())
    chosen = settings(rock_slope=slope, rock_cover=0.25, crater_density=1e-9, roughness=0.0)
    relief = analytic_relief(np.random.default_rng(1))
    found = []
    for seed in range(2):
        site = make_site(body, TOP, TOP, chosen, [relief], np.random.default_rng(seed))
        sizes, distances = measure_rocks(site)
        found.append(sizes[distances < 0.5 * chosen.width])
    inside = np.concatenate(found)
    # The maximum-likelihood index of sizes above a limit, away from both ends.
    least = 3.0 * chosen.pixel
    large = inside[inside > least]
    assert len(large) > 60
    assert 1.0 / np.mean(np.log(large / least)) == pytest.approx(slope, rel=0.3)
    covered = 0.25 * np.pi * np.sum(inside**2) / (2 * np.pi * (0.5 * chosen.width) ** 2)
    assert covered == pytest.approx(0.25, rel=0.4)


def measure_rocks(site: EnhancedBody) -> tuple[np.ndarray, np.ndarray]:
    """Diameters of the rocks, and their distances from the place."""
    numbers = site.rock_identifiers - BOULDER_IDENTIFIERS[0]
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    diameters, places = [], []
    for first, last in zip(starts, [*starts[1:], len(numbers)], strict=True):
        points = site.rocks.vertices[np.unique(site.rocks.faces[first:last])]
        diameters.append(np.cbrt(np.prod(np.ptp(points, axis=0))))
        places.append(points.mean(axis=0))
    return np.array(diameters), np.linalg.norm(np.array(places) - TOP, axis=1)


def test_fresh_craters_are_hollows_with_identifiers_of_their_own_and_worn_ones_are_ground() -> None:
    body = smooth_body(sphere())
    chosen = settings(crater_density=0.1, roughness=0.0)
    reliefs = [analytic_relief(np.random.default_rng(1))]
    site = make_site(body, TOP, TOP, chosen, reliefs, np.random.default_rng(4))
    assert site.ground_identifiers.max() < BOULDER_IDENTIFIERS[0]
    centres = site.ground.vertices[site.ground.faces].mean(axis=1)
    depth = 1.0 - np.linalg.norm(centres, axis=1)
    craters = np.unique(site.ground_identifiers[site.ground_identifiers >= CRATER_IDENTIFIERS])
    assert len(craters) > 20
    hollow = [depth[site.ground_identifiers == crater].mean() > 0.0 for crater in craters]
    assert np.mean(hollow) > 0.8
    again = make_site(body, TOP, TOP, chosen, reliefs, np.random.default_rng(4))
    assert np.array_equal(again.ground.vertices, site.ground.vertices)
