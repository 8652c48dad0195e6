"""Enhanced bodies: closed shapes, craters that are bowls, boulders on the surface, all from one seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from msgspec import structs

from ground_tools.bodies.boulders import scatter
from ground_tools.bodies.catalogue import load_catalogue, without_files
from ground_tools.bodies.craters import apply_craters, place_craters
from ground_tools.bodies.enhanced_body import enhance, read_parts
from ground_tools.bodies.meshes import Mesh, largest_extent, mean_radius, read_closed_mesh, refine, vertex_normals
from ground_tools.bodies.procedural import procedural_shape
from ground_tools.bodies.reliefs import REACH, CraterMap, Relief, analytic_relief, profile, read_reliefs
from ground_tools.labels.classes import BOULDER_IDENTIFIERS, CRATER_IDENTIFIERS


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


def test_the_profile_is_a_bowl_with_a_raised_rim_that_fades() -> None:
    rho = np.linspace(0.0, 3.0, 301)
    height = profile(rho)
    assert height[0] == pytest.approx(-0.8)
    assert height.argmax() == pytest.approx(100, abs=1)
    assert height.max() == pytest.approx(0.2, abs=0.01)
    assert (np.diff(height[:100]) >= 0).all()
    assert (height[rho > REACH] == 0).all()


def bowl_map(folder: Path, labels: bool) -> CraterMap:
    """A height map as a file: a paraboloid hollow on a tilted plane, perhaps with a second one and their labels."""
    row, column = np.mgrid[:512, :512]
    height = 30_000.0 + 10.0 * row + 4.0 * column
    marks = np.zeros((512, 512), dtype=np.uint8)
    for value, (r, c, radius) in enumerate(((150, 160, 80), (380, 370, 60)) if labels else ((256, 250, 120),), start=1):
        rho = np.hypot(row - r, column - c) / radius
        height += 8_000.0 * profile(rho)
        marks[rho <= 1.0] = value
    cv2.imwrite(str(folder / "heights.png"), height.astype(np.uint16))
    if not labels:
        return CraterMap("bowl", "heights.png", centre=(256.0, 250.0), rim_radius=120.0)
    cv2.imwrite(str(folder / "labels.png"), marks)
    return CraterMap("bowls", "heights.png", labels="labels.png")


def at(relief: Relief, x: float, y: float) -> float:
    samples = relief.heights.shape[0]
    return float(relief.heights[tuple(round((v / REACH + 1.0) * 0.5 * (samples - 1)) for v in (y, x))])


@pytest.mark.parametrize("labels", [False, True])
def test_a_height_map_becomes_a_levelled_relief_of_unit_depth(tmp_path: Path, labels: bool) -> None:
    reliefs = read_reliefs(bowl_map(tmp_path, labels), tmp_path)
    assert len(reliefs) == (2 if labels else 1)
    for relief in reliefs:
        assert at(relief, 0.0, 0.0) == pytest.approx(-0.85, abs=0.07)
        for x, y in ((1.0, 0.0), (0.0, -1.0), (-1.0, 0.0)):
            assert at(relief, x, y) == pytest.approx(0.13, abs=0.06)  # the rim, over the ejecta at the map's edge
        assert at(relief, 2.0, 0.0) == at(relief, 0.0, -2.1) == 0.0
        share = relief.inside.mean() * (2.0 * REACH) ** 2 / np.pi
        assert share == pytest.approx(1.0, abs=0.03)


def test_unfit_height_maps_are_named(tmp_path: Path) -> None:
    crater_map = bowl_map(tmp_path, True)
    with pytest.raises(FileNotFoundError, match=r"crater map .*nothing\.png: no such file"):
        read_reliefs(structs.replace(crater_map, file="nothing.png"), tmp_path)
    cv2.imwrite(str(tmp_path / "labels.png"), np.zeros((100, 512), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"labels\.png: expected the size of heights\.png, 512 x 512, got 512 x 100"):
        read_reliefs(crater_map, tmp_path)
    cv2.imwrite(str(tmp_path / "labels.png"), np.zeros((512, 512), dtype=np.uint8))
    with pytest.raises(ValueError, match="no label marks a large, round, free crater"):
        read_reliefs(crater_map, tmp_path)
    cv2.imwrite(str(tmp_path / "heights.png"), np.full((512, 512), 7, dtype=np.uint16))
    with pytest.raises(ValueError, match=r"heights\.png: expected a hollow with a rim"):
        read_reliefs(CraterMap("flat", "heights.png", centre=(256.0, 256.0), rim_radius=90.0), tmp_path)
    (tmp_path / "heights.png").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"heights\.png: not a readable image"):
        read_reliefs(crater_map, tmp_path)


def test_a_crater_is_dug_where_it_is_labelled() -> None:
    generator = np.random.default_rng(0)
    reliefs = [analytic_relief(generator) for _ in range(3)]
    craters = place_craters(sphere(), [0.3, 0.2, 0.1], nested=1, reliefs=reliefs, generator=generator)
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


@pytest.mark.slow
def test_a_body_comes_from_its_seed() -> None:
    recipe = load_catalogue()["procedural_top"]
    small = structs.replace(recipe, boulders=(20, 5, 2))
    parts = read_parts(small, None, None)
    first, second, other = (
        enhance(parts),
        enhance(parts),
        enhance(replace(parts, recipe=structs.replace(small, seed=9))),
    )
    assert np.array_equal(first.ground.vertices, second.ground.vertices)
    assert np.array_equal(first.rocks.vertices, second.rocks.vertices)
    assert not np.array_equal(first.ground.vertices, other.ground.vertices)
    assert first.ground_albedo.shape == (len(first.ground.vertices),)
    assert first.rock_albedo.shape == (len(first.rocks.vertices),)
    assert 0.5 < first.rock_albedo.min() < first.rock_albedo.max() < 1.5
    craters = np.unique(first.ground_identifiers[first.ground_identifiers >= CRATER_IDENTIFIERS])
    assert craters.tolist() == [CRATER_IDENTIFIERS + k for k in range(recipe.craters)]
    rocks = np.unique(first.rock_identifiers)
    expected = [start + j for start, n in zip(BOULDER_IDENTIFIERS, (20, 5, 2), strict=True) for j in range(n)]
    assert rocks.tolist() == expected


def test_shape_models_are_checked(tmp_path: Path) -> None:
    recipe = load_catalogue()["bennu"]
    with pytest.raises(ValueError, match=r"body bennu: its shape model bennu\.ply is not part of the project"):
        read_parts(recipe, None, None)
    with pytest.raises(FileNotFoundError, match=r"bennu\.ply: no such file"):
        read_parts(recipe, tmp_path, None)
    sound = sphere(2)
    trimesh.Trimesh(sound.vertices, sound.faces).export(tmp_path / "bennu.ply")
    with pytest.raises(ValueError, match=r"body bennu: its crater map kepler\.tif is not part of the project"):
        read_parts(recipe, tmp_path, None)
    open_mesh = sphere(2)
    trimesh.Trimesh(open_mesh.vertices, open_mesh.faces[1:]).export(tmp_path / "bennu.ply")
    with pytest.raises(ValueError, match="expected a closed mesh, got one with open edges"):
        read_parts(recipe, tmp_path, None)
    (tmp_path / "bennu.ply").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"bennu\.ply: not readable as a triangle mesh"):
        read_closed_mesh(tmp_path / "bennu.ply")


def test_every_body_of_the_paper_has_a_stand_in() -> None:
    catalogue = load_catalogue()
    paper = {"67p", "bennu", "didymos", "golevka", "hartley2", "1996hw1", "hygiea", "lutetia", "interamnia"}
    assert paper <= set(catalogue)
    assert catalogue["interamnia"].nested == 2
    assert catalogue["hartley2"].boulders == (5000, 30, 5)
    for name in paper:
        parts = read_parts(without_files(catalogue[name]), None, None)
        assert parts.sha256 == {}
        assert trimesh.Trimesh(parts.base.vertices, parts.base.faces).is_watertight
