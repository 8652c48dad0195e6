"""Enhanced bodies: closed shapes, craters that are bowls, boulders on the surface, all from one seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from ground_tools.bodies.boulders import scatter
from ground_tools.bodies.catalogue import load_catalogue
from ground_tools.bodies.craters import REACH, apply_craters, place_craters, relief
from ground_tools.bodies.enhance import BOULDER_IDENTIFIERS, CRATER_IDENTIFIERS, base_shape, enhance
from ground_tools.bodies.meshes import Mesh, largest_extent, mean_radius, read_closed_mesh, refine, vertex_normals
from ground_tools.bodies.procedural import procedural_shape


def sphere(subdivisions: int = 5) -> Mesh:
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions)
    return Mesh(np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces, dtype=np.int32))


@pytest.mark.parametrize("kind", ["ellipsoid", "top", "bilobate"])
def test_procedural_shapes_are_closed_centred_and_of_the_size_asked_for(kind: str) -> None:
    mesh = procedural_shape(kind, (3.0, 2.0, 1.5), seed=1)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight
    assert solid.volume > 0
    assert np.ptp(mesh.vertices, axis=0) == pytest.approx([3.0, 2.0, 1.5])
    assert np.abs(solid.center_mass).max() < 1e-9
    assert np.array_equal(mesh.vertices, procedural_shape(kind, (3.0, 2.0, 1.5), seed=1).vertices)


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(ValueError, match='expected "ellipsoid", "top" or "bilobate", got "cube"'):
        procedural_shape("cube", (1.0, 1.0, 1.0), 0)


def test_measures_of_a_sphere() -> None:
    mesh = sphere()
    assert mean_radius(mesh) == pytest.approx(1.0, rel=1e-2)
    assert largest_extent(mesh) == pytest.approx(2.0, rel=1e-2)
    assert np.allclose(vertex_normals(mesh), mesh.vertices, atol=0.02)
    assert len(refine(mesh, 50_000).faces) >= 50_000


def test_the_relief_is_a_bowl_with_a_raised_rim_that_fades() -> None:
    rho = np.linspace(0.0, 3.0, 301)
    height = relief(rho, 1.0)
    assert height[0] == pytest.approx(-0.8)
    assert height.argmax() == pytest.approx(100, abs=1)
    assert height.max() == pytest.approx(0.2, abs=0.01)
    assert (np.diff(height[:100]) >= 0).all()
    assert (height[rho > REACH] == 0).all()


def test_a_crater_is_dug_where_it_is_labelled() -> None:
    generator = np.random.default_rng(0)
    craters = place_craters(sphere(), [0.3, 0.2, 0.1], nested=1, generator=generator)
    base = sphere(6)
    dug, inside = apply_craters(base, craters)
    assert set(np.unique(inside)) == {0, 1, 2, 3}
    depth = np.linalg.norm(dug.vertices, axis=1) - 1.0
    deepest = dug.vertices[depth.argmin()]
    assert min(np.linalg.norm(deepest - c.centre) for c in craters) < 0.3
    face_depth = depth[dug.faces].mean(axis=1)
    assert face_depth[inside > 0].mean() < -0.01
    assert abs(face_depth[inside == 0].mean()) < 0.005
    # The nested crater lies inside the first one.
    assert np.linalg.norm(craters[2].centre - craters[0].centre) < min(craters[0].radii)


def test_boulders_stand_on_the_surface_in_the_sizes_asked_for() -> None:
    rocks, numbers = scatter(sphere(), 200, 0.02, 0.1, 1, np.random.default_rng(1))
    assert set(np.unique(numbers)) == set(range(200))
    distances = np.linalg.norm(rocks.vertices, axis=1)
    assert 0.85 < distances.min() < 1.0 < distances.max() < 1.15
    sizes = [np.ptp(rocks.vertices[np.unique(rocks.faces[numbers == i])], axis=0).max() for i in range(200)]
    assert min(sizes) > 0.012
    assert max(sizes) < 0.16
    assert np.median(sizes) < 0.05  # a power law: most are small


def test_a_body_comes_from_its_seed() -> None:
    recipe = load_catalogue()["procedural_top"]
    small = replace(recipe, boulders=(20, 5, 2))
    base = base_shape(small, None)
    first, second, other = enhance(small, base), enhance(small, base), enhance(replace(small, seed=9), base)
    assert np.array_equal(first.ground.vertices, second.ground.vertices)
    assert np.array_equal(first.rocks.vertices, second.rocks.vertices)
    assert not np.array_equal(first.ground.vertices, other.ground.vertices)
    craters = np.unique(first.ground_identifiers[first.ground_identifiers >= CRATER_IDENTIFIERS])
    assert craters.tolist() == [CRATER_IDENTIFIERS + k for k in range(recipe.craters)]
    rocks = np.unique(first.rock_identifiers)
    expected = [start + j for start, n in zip(BOULDER_IDENTIFIERS, (20, 5, 2), strict=True) for j in range(n)]
    assert rocks.tolist() == expected


def test_shape_models_are_checked(tmp_path: Path) -> None:
    recipe = load_catalogue()["bennu"]
    with pytest.raises(ValueError, match=r"body bennu: its shape model bennu\.ply is not part of the project"):
        base_shape(recipe, None)
    with pytest.raises(FileNotFoundError, match=r"bennu\.ply: no such file"):
        base_shape(recipe, tmp_path)
    open_mesh = sphere(2)
    trimesh.Trimesh(open_mesh.vertices, open_mesh.faces[1:]).export(tmp_path / "bennu.ply")
    with pytest.raises(ValueError, match="expected a closed mesh, got one with open edges"):
        base_shape(recipe, tmp_path)
    (tmp_path / "bennu.ply").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"bennu\.ply: not readable as a triangle mesh"):
        read_closed_mesh(tmp_path / "bennu.ply")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[x]\nseed = 1\n", "x.shape: expected either shape or procedural"),
        ('[x]\nshape = "a.ply"\nseed = -1\n', "x.seed: expected an integer >= 0, got -1"),
        ('[x]\nshape = "a.ply"\nseed = 1\ncraters = 2\nboulders = [1, 2]\n', "x.boulders: expected [small, medium"),
        ('[x]\nshape = "a.ply"\nseed = 1\ncraters = 2\nhue = 3\n', "x.hue: expected one of"),
        ("[x", "body catalogue"),
    ],
)
def test_a_malformed_catalogue_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bodies.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"bodies\.toml") as caught:
        load_catalogue(path)
    assert message in str(caught.value)
