"""The Blender scene of a craft: its finishes as materials, the sun, the light of a planet; and its mask by rays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ground_tools.bodies.meshes import Mesh
from ground_tools.missions.spacecraft.craft import CraftModel
from ground_tools.missions.spacecraft.finishes import Look
from ground_tools.missions.spacecraft.planets import Planet
from ground_tools.rendering.blender import bpy
from ground_tools.rendering.cycles import CyclesScene, make_camera, make_mesh, make_sun, place_camera, turn_sun
from ground_tools.rendering.geometry import View, pixel_directions
from ground_tools.rendering.rays import make_scene

LIGHT_PATHS = 24
# Craft shine on themselves, and in their foil one sees what is around.
_BOUNCES = 2
# Lights that foil throws about, beyond which a light path counts no more.
_BRIGHTEST = 4.0
_UV = "cells"
# The lines between cells, and the foil's wrinkles, in cells and craft.
_LINE, _WRINKLES_PER_CRAFT = 0.05, 40.0


class CraftRenderer:
    """Renders images of craft, one after the other, with what is behind them left transparent.

    One in a process at a time, and only from the thread that made it (Blender's rule).
    """

    def __init__(self, shape: tuple[int, int], light_paths: int = LIGHT_PATHS, threads: int = 1) -> None:
        """Prepare an empty scene.

        Args:
            shape: height and width of the images, pixels.
            light_paths: of a pixel.
            threads: of Cycles.
        """
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self._shape = shape
        self._sun, self._camera = make_sun("sun", 0.53), make_camera(30.0)
        self._scene = CyclesScene([self._sun], self._camera, shape, light_paths, _BOUNCES, threads)
        scene = self._scene.scene
        scene.render.film_transparent = True
        scene.render.image_settings.color_mode = "RGBA"
        # The meshes of one image are gone in the next.
        scene.render.use_persistent_data = False
        scene.cycles.sample_clamp_direct = scene.cycles.sample_clamp_indirect = _BRIGHTEST
        scene.cycles.caustics_reflective = scene.cycles.caustics_refractive = False
        self._planet = _PlanetLight(scene.world)

    def render(
        self, model: CraftModel, looks: list[Look], view: View, planet: Planet | None, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Render a craft.

        Args:
            model: the craft.
            looks: of its finishes, in their order.
            view: camera and sun in the craft's frame, metres.
            planet: whose light falls on it.
            seed: of the light paths.

        Returns:
            (H, W, 3) float32, linear radiance times coverage; (H, W) float32, the coverage, 0..1.
        """
        unit = model.extent
        self._camera.data.angle = np.radians(view.field_of_view_deg)
        place_camera(self._camera, view, unit)
        turn_sun(self._sun, view.sun)
        self._planet.set(planet)
        craft = bpy.data.objects.new("craft", _make_mesh(model, unit))
        materials = [_make_material(look) for look in looks]
        for material in materials:
            craft.data.materials.append(material)
        craft.data.polygons.foreach_set("material_index", model.slots)
        self._scene.scene.collection.objects.link(craft)
        try:
            pixels = self._scene.render(seed)
        finally:
            bpy.data.meshes.remove(craft.data)
            for material in materials:
                bpy.data.materials.remove(material)
        return pixels[..., :3], pixels[..., 3]

    def close(self) -> None:
        """Free the scene and its files."""
        self._scene.close()


def find_parts(model: CraftModel, view: View, shape: tuple[int, int]) -> np.ndarray:
    """The class of what the ray through the middle of each pixel meets first, (H, W) uint8, 0 where nothing is.

    view: in the craft's frame, metres. shape: height and width, pixels.
    """
    unit = model.extent
    scene = make_scene(Mesh(model.vertices, model.faces), unit)
    directions = pixel_directions(view, shape).astype(np.float32)
    face = scene.run(np.tile((view.camera / unit).astype(np.float32), (len(directions), 1)), directions)
    return np.where(face >= 0, model.parts[face], 0).astype(np.uint8).reshape(shape)


class _PlanetLight:
    """The world that shines on a craft: a planet's disk of one colour before black, seen by reflections alone."""

    def __init__(self, world: Any) -> None:
        nodes, links = world.node_tree.nodes, world.node_tree.links
        # What it adds is smooth: looking for its lights costs more than it brings.
        world.cycles.sampling_method = "NONE"
        self._background = nodes["Background"]
        place = nodes.new("ShaderNodeTexCoord")
        self._towards = nodes.new("ShaderNodeVectorMath")
        self._towards.operation = "DOT_PRODUCT"
        self._inside = nodes.new("ShaderNodeMath")
        self._inside.operation = "GREATER_THAN"
        links.new(place.outputs["Generated"], self._towards.inputs[0])
        links.new(self._towards.outputs["Value"], self._inside.inputs[0])
        links.new(self._inside.outputs["Value"], self._background.inputs["Strength"])

    def set(self, planet: Planet | None) -> None:
        color = (0.0, 0.0, 0.0) if planet is None else planet.mean_radiance
        self._background.inputs["Color"].default_value = (*color, 1.0)
        if planet is not None:
            self._towards.inputs[1].default_value = planet.direction.tolist()
            self._inside.inputs[1].default_value = float(np.cos(planet.angular_radius))


def _make_mesh(model: CraftModel, unit: float) -> Any:
    data = make_mesh("craft", Mesh(model.vertices, model.faces), unit)
    corners = data.uv_layers.new(name=_UV)
    corners.data.foreach_set("uv", _cell_places(model).astype(np.float32).ravel())
    data.polygons.foreach_set("use_smooth", np.zeros(len(model.faces), dtype=bool))
    data.update()
    return data


def _cell_places(model: CraftModel) -> np.ndarray:
    """Where the corners of triangles lie along and across them, (3 F, 2) float64, extents: along their longer leg.

    Right triangles of one panel so have one grid of cells.
    """
    corners = model.vertices[model.faces] / model.extent
    sides = np.roll(corners, -1, axis=1) - corners
    lengths = np.linalg.norm(sides, axis=2)
    along = np.take_along_axis(sides, np.argsort(lengths, axis=1)[:, 1, None, None], axis=1)[:, 0]
    normals = np.cross(sides[:, 0], sides[:, 1])
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    across = np.cross(normals, along)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    axes = np.stack([along, across], axis=1)
    places: np.ndarray = np.einsum("fcx,fax->fca", corners, axes).reshape(-1, 2)
    return places


def _make_material(look: Look) -> Any:
    """A finish as Blender's Principled BSDF, with lines between cells, or wrinkles of foil."""
    material = bpy.data.materials.new("finish")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    surface = nodes["Principled BSDF"]
    surface.inputs["Base Color"].default_value = (*look.color, 1.0)
    surface.inputs["Metallic"].default_value = look.metallic
    surface.inputs["Roughness"].default_value = look.roughness
    if look.cell_side:
        place, cells = nodes.new("ShaderNodeUVMap"), nodes.new("ShaderNodeTexBrick")
        place.uv_map = _UV
        cells.offset = 0.0
        for name, factor in (("Color1", 1.0), ("Color2", 0.75)):
            cells.inputs[name].default_value = (*(value * factor for value in look.color), 1.0)
        cells.inputs["Mortar"].default_value = (0.35, 0.36, 0.38, 1.0)
        cells.inputs["Scale"].default_value = 1.0 / look.cell_side
        cells.inputs["Brick Width"].default_value = cells.inputs["Row Height"].default_value = 1.0
        cells.inputs["Mortar Size"].default_value = _LINE
        links.new(place.outputs["UV"], cells.inputs["Vector"])
        links.new(cells.outputs["Color"], surface.inputs["Base Color"])
    if look.wrinkles:
        place, noise, bump = (nodes.new(f"ShaderNode{name}") for name in ("TexCoord", "TexNoise", "Bump"))
        noise.inputs["Scale"].default_value = _WRINKLES_PER_CRAFT
        noise.inputs["Detail"].default_value = 3.0
        bump.inputs["Strength"].default_value = min(look.wrinkles, 1.0)
        bump.inputs["Distance"].default_value = 0.3 / _WRINKLES_PER_CRAFT
        links.new(place.outputs["Object"], noise.inputs["Vector"])
        links.new(noise.outputs["Fac"], bump.inputs["Height"])
        links.new(bump.outputs["Normal"], surface.inputs["Normal"])
    return material
