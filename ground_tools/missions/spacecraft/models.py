"""Models of craft that a user has: files of triangles, and a TOML table that says which material is which part."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import trimesh
from msgspec import Meta

from ground_tools.foundation.descriptions import parse, read_toml
from ground_tools.foundation.expectations import format_toml_value
from ground_tools.foundation.names import PLAIN_NAME, is_plain_name
from ground_tools.foundation.structures import FieldError, TomlTable
from ground_tools.missions.spacecraft.craft import PARTS, CraftModel, Part, Split, Vector

KNOWN_MODELS = Path(__file__).with_name("models.toml")
# What a part is finished with, where a model's own textures are not read.
_FINISHES = {"body": ("foil_gold", "foil_silver", "paint_white", "foil_black"), "solar_panel": ("cells_blue",)}
_FINISHES["antenna"] = ("paint_white", "paint_grey")
SUFFIXES = (".obj", ".glb", ".gltf", ".ply", ".stl", ".blend")


class ModelFile(TomlTable, frozen=True):
    """One file of a model, and where its contents are in the craft's frame."""

    file: Annotated[str, Meta(min_length=1, description="name, wherever in the folder it lies")]
    at: Annotated[Vector, Meta(description="where its origin comes to lie, in its units")] = Vector(0.0, 0.0, 0.0)
    turn_deg: Annotated[Vector, Meta(description="how it is turned about x, then y, then z, degrees")] = Vector(
        0.0, 0.0, 0.0
    )


class ModelRecipe(TomlTable, frozen=True):
    """A craft of a user's files: which of its materials are which part."""

    split: Annotated[Split, Meta(description="split of all of its images")]
    files: Annotated[tuple[ModelFile, ...], Meta(min_length=1, description="what it is put together from")]
    materials: Annotated[
        dict[str, Part], Meta(min_length=1, description="part of each material; names may have * in them")
    ]
    source: Annotated[str, Meta(description="where the files come from and under what terms, for people")] = ""
    leave_out: Annotated[
        tuple[str, ...], Meta(description="materials and objects that are no part of it; names may have * in them")
    ] = ()

    def __post_init__(self) -> None:
        for entry in self.files:
            if Path(entry.file).suffix.lower() not in SUFFIXES:
                raise FieldError("files", f"names that end in {', '.join(SUFFIXES)}", format_toml_value(entry.file))


class _Models(TomlTable, frozen=True):
    craft: dict[str, ModelRecipe]


@dataclass(frozen=True)
class _Patch:
    """Triangles of one material. vertices: (V, 3) float64. faces: (F, 3) int. names: of its material and its object."""

    vertices: np.ndarray
    faces: np.ndarray
    names: tuple[str, ...]


def read_model_recipes(path: Path) -> dict[str, ModelRecipe]:
    """The craft of a TOML file, by name.

    Raises:
        ValueError: naming the file and field that does not fit.
    """
    found = parse(f"models {path}", read_toml("models", path), _Models).craft
    for name in found:
        if not is_plain_name(name):
            raise ValueError(f"models {path}: craft: expected {PLAIN_NAME}, got {format_toml_value(name)}")
    return found


def find_model_files(recipe: ModelRecipe, folder: Path) -> list[Path] | None:
    """The files of a model, anywhere in a folder; None where one is missing.

    Raises:
        ValueError: the folder has two different files of one name.
    """
    found = []
    for entry in recipe.files:
        paths = sorted(
            path for path in folder.rglob(Path(entry.file).name) if path.match(entry.file) and path.is_file()
        )
        if not paths:
            return None
        if len({path.read_bytes() for path in paths}) > 1:
            raise ValueError(f"{folder}: {entry.file}: expected one, got {paths[0]} and {paths[-1]}, which differ")
        found.append(paths[0])
    return found


def read_model(name: str, recipe: ModelRecipe, files: list[Path]) -> tuple[CraftModel, dict[str, str]]:
    """A craft of a user's files, and the SHA-256 of each.

    Args:
        name: of the craft, for messages.
        recipe: what its materials are.
        files: as found by `find_model_files`, in the recipe's order.

    Raises:
        ValueError: naming a file that cannot be read, or a material that the recipe does not know.
    """
    vertices, faces, parts, slots = [], [], [], []
    finishes: list[str] = []
    kinds: dict[tuple[str, ...], str] = {}
    unknown: set[str] = set()
    first = 0
    for entry, path in zip(recipe.files, files, strict=True):
        rotation = _rotation(entry.turn_deg)
        for patch in _read_patches(path):
            if any(_named(item, recipe.leave_out) for item in patch.names):
                continue
            part = _part_of(patch.names, recipe)
            if part is None:
                unknown.add(patch.names[0] or "(none)")
                continue
            # Materials of one part look different, the same ones alike.
            if patch.names[:1] not in kinds:
                choice = _FINISHES[part]
                used = sum(finish in choice for finish in kinds.values())
                kinds[patch.names[:1]] = choice[used % len(choice)]
            finish = kinds[patch.names[:1]]
            if finish not in finishes:
                finishes.append(finish)
            vertices.append(patch.vertices @ rotation.T + np.array(entry.at))
            faces.append(patch.faces + first)
            first += len(patch.vertices)
            parts.append(np.full(len(patch.faces), PARTS.index(part), dtype=np.uint8))
            slots.append(np.full(len(patch.faces), finishes.index(finish), dtype=np.int32))
    if unknown:
        raise ValueError(
            f"craft {name}: materials: expected a part for each that the files have, got none for "
            f"{', '.join(sorted(unknown))}"
        )
    if not faces:
        raise ValueError(f"craft {name}: {', '.join(map(str, files))}: expected triangles, got none")
    model = CraftModel(
        np.concatenate(vertices),
        np.concatenate(faces).astype(np.int32),
        np.concatenate(parts),
        np.concatenate(slots),
        tuple(finishes),
    )
    if not np.isfinite(model.vertices).all() or model.span <= 0.0:
        raise ValueError(f"craft {name}: {', '.join(map(str, files))}: expected vertices that are apart and finite")
    return model, {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _named(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _part_of(names: tuple[str, ...], recipe: ModelRecipe) -> Part | None:
    """The part of the first of some names that the recipe knows, plain names before those with *."""
    for name in names:
        if name in recipe.materials:
            return recipe.materials[name]
    for name in names:
        for pattern, part in recipe.materials.items():
            if fnmatchcase(name, pattern):
                return part
    return None


def _rotation(turn_deg: Vector) -> np.ndarray:
    turned: np.ndarray = trimesh.transformations.euler_matrix(*np.radians(turn_deg).tolist())[:3, :3]
    return turned


def _read_patches(path: Path) -> Iterator[_Patch]:
    if path.suffix.lower() == ".blend":
        # In a process of its own: Blender has one state per process, and ends some with a crash.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            yield from pool.apply(_read_blend, (path,))
        return
    try:
        scene: Any = trimesh.load_scene(path, process=False)
        geometries = [
            (node, name, scene.geometry[name], transform)
            for node in scene.graph.nodes_geometry
            for transform, name in [scene.graph[node]]
        ]
    except Exception as error:
        raise ValueError(f"{path}: expected a model that can be read, got {error!r}") from error
    for node, name, mesh, transform in geometries:
        if not isinstance(mesh, trimesh.Trimesh) or not len(mesh.faces):
            continue
        material = getattr(getattr(mesh.visual, "material", None), "name", None)
        # Without its file of materials, an OBJ's pieces have the names of their materials alone.
        names = tuple(dict.fromkeys(item for item in (material, name, node) if item))
        placed = np.asarray(mesh.vertices, dtype=np.float64) @ transform[:3, :3].T + transform[:3, 3]
        yield _Patch(placed, np.asarray(mesh.faces), names)


def _read_blend(path: Path) -> list[_Patch]:
    """The meshes of a Blender file as they are rendered, by object and material; no script in it is run."""
    from ground_tools.rendering.blender import bpy
    from ground_tools.rendering.blender_thread import quiet

    with quiet():
        try:
            bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False, use_scripts=False)
        except RuntimeError as error:
            raise ValueError(f"{path}: expected a file of Blender, got {error}") from error
        graph = bpy.context.evaluated_depsgraph_get()
        patches = []
        for item in bpy.data.objects:
            if item.type not in ("MESH", "CURVE", "SURFACE") or item.hide_render:
                continue
            evaluated = item.evaluated_get(graph)
            mesh = evaluated.to_mesh()
            if mesh is not None:
                patches += _patches_of(item, mesh)
            evaluated.to_mesh_clear()
        bpy.ops.wm.read_factory_settings(use_empty=True)
    return patches


def _patches_of(item: Any, mesh: Any) -> list[_Patch]:
    mesh.calc_loop_triangles()
    count = len(mesh.loop_triangles)
    if not count:
        return []
    vertices, faces = np.empty(3 * len(mesh.vertices), dtype=np.float32), np.empty(3 * count, dtype=np.int32)
    slots = np.empty(count, dtype=np.int32)
    mesh.vertices.foreach_get("co", vertices)
    mesh.loop_triangles.foreach_get("vertices", faces)
    mesh.loop_triangles.foreach_get("material_index", slots)
    transform = np.array(item.matrix_world, dtype=np.float64)
    placed = vertices.reshape(-1, 3).astype(np.float64) @ transform[:3, :3].T + transform[:3, 3]
    materials = [slot.material.name if slot.material is not None else "" for slot in item.material_slots]
    return [
        _Patch(
            placed, faces.reshape(-1, 3)[slots == slot], (materials[slot] if slot < len(materials) else "", item.name)
        )
        for slot in np.unique(slots).tolist()
    ]
