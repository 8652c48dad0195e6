"""Rendered craft: masks that are right, sets whose splits keep craft apart, models that a user has."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ground_tools.datasets.integrity import verify
from ground_tools.datasets.store import load, read_description
from ground_tools.labels.class_table import read_class_table
from ground_tools.missions.spacecraft.craft import PARTS, CraftModel, read_own_craft
from ground_tools.missions.spacecraft.finishes import Look
from ground_tools.missions.spacecraft.importers import CLASSES
from ground_tools.missions.spacecraft.pieces import build_craft
from ground_tools.missions.spacecraft.rendering import gather_fleet, share_images
from ground_tools.rendering.blender_thread import quiet
from ground_tools.rendering.geometry import View
from tests.ground_tools.conftest import ground_tools

SHAPE = (60, 120)
CUBE = [
    ((-1, -1, -1), (-1, 1, -1), (-1, 1, 1), (-1, -1, 1)),
    ((1, -1, -1), (1, 1, -1), (1, 1, 1), (1, -1, 1)),
    ((-1, -1, -1), (1, -1, -1), (1, -1, 1), (-1, -1, 1)),
    ((-1, 1, -1), (1, 1, -1), (1, 1, 1), (-1, 1, 1)),
    ((-1, -1, -1), (1, -1, -1), (1, 1, -1), (-1, 1, -1)),
    ((-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)),
]
# Half extents and middles of three boxes, metres: body, panel beside it, antenna before it.
BOXES = {1: ((1, 1, 1), (0, 0, 0)), 2: ((0.05, 1.5, 0.5), (0, 3.0, 0)), 3: ((0.2, 0.3, 0.3), (1.5, 0, 0.5))}


def run_with_blender(function: Callable[..., Any], *arguments: Any) -> Any:
    """In a process of its own: Blender ends some with a crash."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def three_boxes() -> CraftModel:
    corners, faces, parts = [], [], []
    for part, (half, middle) in BOXES.items():
        for quad in CUBE:
            first = len(corners)
            corners += (np.array(quad) * half + middle).tolist()
            faces += [(first, first + 1, first + 2), (first, first + 2, first + 3)]
            parts += [part, part]
    slots = np.array(parts, dtype=np.int32) - 1
    return CraftModel(
        np.array(corners), np.array(faces, dtype=np.int32), np.array(parts, np.uint8), slots, ("metal",) * 3
    )


def view_along_x() -> View:
    """From 10 m on the x axis, y to the right and z up in the image; 60 degrees across."""
    axes = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
    return View(np.array([10.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0]), np.zeros(3), 60.0, axes)


def expected_mask() -> np.ndarray:
    """By projecting the near face of each box: what is nearer hides what is behind it."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    focal = SHAPE[1] / 2 / np.tan(np.radians(30.0))
    mask = np.zeros(SHAPE, dtype=np.uint8)
    for part in (1, 2, 3):
        (depth, across, up), (x, y, z) = BOXES[part]
        distance = 10.0 - x - depth
        right, down = (columns - SHAPE[1] / 2) / focal * distance, (rows - SHAPE[0] / 2) / focal * distance
        mask[(np.abs(right - y) < across) & (np.abs(-down - z) < up)] = part
    return mask


def render_three_boxes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Light, coverage and mask of the boxes, each of a colour of its own: red, green, blue."""
    from ground_tools.missions.spacecraft.craft_scene import CraftRenderer, find_parts

    looks = [Look(color, 0.0, 1.0, 0.0, 0.0) for color in ((0.8, 0.0, 0.0), (0.0, 0.8, 0.0), (0.0, 0.0, 0.8))]
    with quiet():
        renderer = CraftRenderer(SHAPE, 16)
        light, coverage = renderer.render(three_boxes(), looks, view_along_x(), None, 1)
        renderer.close()
    return light, coverage, find_parts(three_boxes(), view_along_x(), SHAPE)


@pytest.mark.slow
def test_masks_are_where_parts_project_to_and_where_blender_shows_them() -> None:
    light, coverage, mask = run_with_blender(render_three_boxes)
    expected = expected_mask()
    assert {part: int((expected == part).sum()) > 20 for part in (1, 2, 3)} == {1: True, 2: True, 3: True}
    assert (mask != expected).mean() < 0.002  # the middles of pixels on an edge
    # Blender draws with a filter of 1.5 px: away from edges it shows a colour of one part and covers all or nothing.
    inner = np.ones(SHAPE, dtype=bool)
    for shift in [(0, 2), (0, -2), (2, 0), (-2, 0), (2, 2), (-2, -2), (2, -2), (-2, 2)]:
        inner &= np.roll(mask, shift, axis=(0, 1)) == mask
    assert np.abs(coverage - (mask > 0))[inner].max() < 0.01
    shown = inner & (mask > 0)
    assert {1, 2, 3} <= set(np.unique(mask[shown]).tolist())
    assert np.array_equal(light.argmax(axis=2)[shown] + 1, mask[shown])
    assert light[inner & (mask == 0)].max() < 0.01


def test_our_own_craft_reach_the_twelve_and_show_their_parts() -> None:
    own = read_own_craft()
    splits = [recipe.split for recipe in own.values()]
    assert len(own) >= 12
    assert splits.count("test") == 2
    assert splits.count("validation") >= 1
    assert read_class_table(CLASSES).names == PARTS
    for name, recipe in own.items():
        model = build_craft(recipe, np.random.default_rng(1))
        present = set(np.unique(model.parts).tolist())
        assert present >= {1, 3}, name
        assert 2 in present or name == "far_probe", name
        assert model.span <= model.extent
        assert model.faces.max() < len(model.vertices)


def test_images_are_shared_among_the_craft_of_a_split() -> None:
    splits = {"a": "train", "b": "train", "c": "validation", "d": "test", "e": "train"}
    counts = share_images(splits, 103)
    assert sum(map(sum, counts.values())) == 103
    assert counts["c"] == [0, 10, 0]
    assert counts["d"] == [0, 0, 11]
    assert [counts[name] for name in "abe"] == [[28, 0, 0], [27, 0, 0], [27, 0, 0]]
    # A set that grows loses nothing that it has.
    grown = np.array([list(share_images(splits, count).values()) for count in range(1, 120)])
    assert (np.diff(grown, axis=0) >= 0).all()
    assert grown.sum(axis=(1, 2)).tolist() == list(range(1, 120))
    with pytest.raises(ValueError, match="expected some with split = 'test', got none"):
        share_images({"a": "train", "c": "validation"}, 100)


@pytest.mark.slow
def test_a_set_of_craft_goes_on_where_it_was_stopped_and_keeps_test_craft_apart(tmp_path: Path) -> None:
    common = ("mission", "render-spacecraft", "--images", 44, "--fraction", 0.5, "--size", 32, 64)
    common = (*common, "--light-paths", 2, "--seed", 3, "--workers", 1)
    done = ground_tools(*common, "--out", tmp_path / "set")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("spacecraft_rendered: 17 train, 2 validation, 3 test\n")
    assert verify(tmp_path / "set") == []
    whole = read_description(tmp_path / "set")
    assert whole["class_colors"] == [[0, 0, 0], [0, 255, 0], [255, 0, 0], [0, 0, 255]]
    loaded = load(tmp_path / "set")
    assert loaded.images.shape == (22, 32, 64, 3)
    assert set(np.unique(loaded.masks)) == {0, 1, 2, 3}
    kept = {name for name, recipe in read_own_craft().items() if recipe.split == "test"}
    assert set(loaded.bodies[loaded.splits == "test"]) == kept
    assert not kept & set(loaded.bodies[loaded.splits != "test"])
    # What is lit is the craft, where the sky behind it is black: mean of all such images.
    black = loaded.images[(loaded.indices % 3 == 0)].mean(axis=-1)
    masks = loaded.masks[(loaded.indices % 3 == 0)]
    assert black[masks > 0].mean() > 4.0 * black[masks == 0].mean()
    # Stopped before the last shard was written: the others stay, it is made again, to the same pixels.
    stopped = tmp_path / "stopped"
    shutil.copytree(tmp_path / "set", stopped)
    *others, last = sorted((stopped / "shards").iterdir())
    last.unlink()
    (stopped / "index.parquet").unlink()
    written = [path.stat().st_mtime_ns for path in others]
    assert ground_tools(*common, "--out", stopped).returncode == 0
    assert [path.stat().st_mtime_ns for path in others] == written
    assert read_description(stopped) == whole
    other = ground_tools(*common, "--seed", 4, "--out", stopped)
    assert other.returncode == 2
    assert "choose another --out" in other.stderr


MATERIALS = "newmtl FOIL\nKd 0.8 0.5 0.1\nnewmtl CELL\nKd 0 0 0.4\nnewmtl HORN\nKd 1 1 1\n"
MODEL = """mtllib craft.mtl
v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 0 0 2\nv 1 0 2\nv 1 1 2
usemtl FOIL\nf 1 2 3 4\nusemtl CELL\nf 5 6 7\nusemtl HORN\nf 1 2 6
"""
TABLE = """[craft.given]
split = "train"
files = [{ file = "craft.obj" }, { file = "craft.obj", at = [0.0, 0.0, 10.0], turn_deg = [0.0, 0.0, 90.0] }]
materials = { FOIL = "body", "C*" = "solar_panel", HORN = "antenna" }
[craft.absent]
split = "train"
files = [{ file = "absent.blend" }]
materials = { a = "body" }
"""


def test_a_users_model_joins_with_the_parts_that_its_materials_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, table = tmp_path / "models" / "deep", tmp_path / "models.toml"
    folder.mkdir(parents=True)
    (folder / "craft.obj").write_text(MODEL)
    (folder / "craft.mtl").write_text(MATERIALS)
    table.write_text(TABLE)
    fleet = gather_fleet(folder.parent, table)
    assert "absent: left out" in capsys.readouterr().err
    assert set(fleet.craft) == {*read_own_craft(), "given"}
    model = fleet.craft["given"]
    assert isinstance(model, CraftModel)
    # A square and two triangles in each of the two files.
    assert np.bincount(model.parts).tolist() == [0, 4, 2, 2]
    heights = {int(part): model.vertices[model.faces[model.parts == part]][..., 2].mean() for part in (1, 2)}
    assert heights == pytest.approx({1: 5.0, 2: 7.0})
    assert model.vertices[:, 0].min() == pytest.approx(-1.0)  # turned by 90 degrees: y becomes -x
    assert list(fleet.records["given"]["sha256"]) == ["craft.obj"]
    table.write_text(TABLE.replace(', HORN = "antenna"', ""))
    with pytest.raises(ValueError, match=r"craft given: materials: expected a part for each .* got none for HORN"):
        gather_fleet(folder.parent, table)
    table.write_text(TABLE.replace('"body", "C*"', '"hull", "C*"'))
    with pytest.raises(ValueError, match=r"craft\.given\.materials\.FOIL: expected"):
        gather_fleet(folder.parent, table)
    table.write_text(TABLE)
    (folder / "craft.obj").unlink()
    with pytest.raises(ValueError, match=r"expected files of models, as craft\.obj, absent\.blend"):
        gather_fleet(folder.parent, table)


def write_cubes(path: Path) -> None:
    from ground_tools.rendering.blender import bpy

    with quiet():
        bpy.ops.wm.read_factory_settings(use_empty=True)
        for number, name in enumerate(("main_module", "antenna", "junk")):
            bpy.ops.mesh.primitive_cube_add(size=2.0, location=(10.0 * number, 0.0, 0.0))
            bpy.context.object.data.materials.append(bpy.data.materials.new(name))
        bpy.ops.wm.save_as_mainfile(filepath=str(path))


@pytest.mark.slow
def test_a_file_of_blender_is_read_by_object_and_material(tmp_path: Path) -> None:
    run_with_blender(write_cubes, tmp_path / "craft.blend")
    table = tmp_path / "models.toml"
    table.write_text(
        '[craft.cubes]\nsplit = "test"\nfiles = [{ file = "craft.blend" }]\nleave_out = ["ju*"]\n'
        'materials = { "main_*" = "body", antenna = "antenna" }\n'
    )
    model = gather_fleet(tmp_path, table).craft["cubes"]
    assert isinstance(model, CraftModel)
    assert np.bincount(model.parts).tolist() == [0, 12, 0, 12]
    antenna = model.vertices[model.faces[model.parts == 3]]
    assert antenna[..., 0].min() == pytest.approx(9.0)
    assert antenna[..., 0].max() == pytest.approx(11.0)
