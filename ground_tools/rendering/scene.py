"""Blender scenes of one body: the grey image, the identifier of every pixel, and the clean image.

Blender keeps one global state per process: one BodyRenderer at a time in a process.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import mathutils
import numpy as np

from ground_tools.bodies.enhance import EnhancedBody
from ground_tools.bodies.meshes import Mesh
from ground_tools.rendering.geometry import FIELD_OF_VIEW_DEG, View

_ATTRIBUTE = "identifier"
# Irradiance for which a surface of albedo 1 facing the sun has radiance 1 (linear); with the albedo below a
# surface that faces the sun renders at 0.8, so that steep facets do not saturate.
_SUN_IRRADIANCE = float(np.pi)
_ALBEDO = 0.8


@dataclass(frozen=True)
class Rendering:
    """What one view gives. grey, clean: (size, size) float32, linear radiance, 0.8 where a surface faces the
    sun. identifiers: (size, size) int32, 0 off the body, else as in ground_tools.bodies.enhance.
    """

    grey: np.ndarray
    clean: np.ndarray
    identifiers: np.ndarray


class BodyRenderer:
    """Renders views of one enhanced body.

    size: image side in pixels. samples: light paths per pixel of the grey image.
    """

    def __init__(self, body: EnhancedBody, size: int = 128, samples: int = 16, threads: int = 1) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self._unit = body.extent  # the scene is built in units of the body's extent
        self._size = size
        self._scratch = tempfile.TemporaryDirectory(prefix="rubblemap_render_")
        ground = _object("ground", body.ground, body.ground_identifiers, self._unit, smooth=True)
        rocks = _object("rocks", body.rocks, body.rock_identifiers, self._unit, smooth=False)
        clean = _object("clean", body.clean, None, self._unit, smooth=True)
        ground.data.materials.append(_regolith("regolith", bump=0.35, scale=90.0))
        rocks.data.materials.append(_regolith("rock", bump=0.15, scale=200.0))
        clean.data.materials.append(_regolith("smooth", bump=0.0, scale=1.0))
        self._camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        self._camera.data.sensor_width = self._camera.data.sensor_height = 36.0
        self._camera.data.angle = np.radians(FIELD_OF_VIEW_DEG)
        self._camera.data.clip_start, self._camera.data.clip_end = 1e-3, 1e4
        self._sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
        self._sun.data.energy = _SUN_IRRADIANCE
        self._sun.data.angle = np.radians(0.27)
        bodies = [ground, rocks] if len(body.rocks.faces) else [ground]
        self._grey = self._scene("grey", bodies, samples, threads)
        self._clean = self._scene("clean", [clean], max(samples // 2, 1), threads)
        self._labels = self._scene("labels", bodies, 1, threads)
        self._labels.view_layers[0].material_override = _identifier_material()
        # One ray through the centre of each pixel: identifiers must not be mixed.
        self._labels.cycles.pixel_filter_type = "BOX"
        self._labels.cycles.filter_width = 0.01
        self._labels.render.filter_size = 0.01

    def render(self, view: View, seed: int) -> Rendering:
        """Render one view. The same body, view and seed give the same pixels."""
        position = mathutils.Vector((view.camera / self._unit).tolist())
        self._camera.location = position
        self._camera.rotation_mode = "QUATERNION"
        self._camera.rotation_quaternion = (-position).to_track_quat("-Z", "Y")
        towards_sun = mathutils.Vector(view.sun.tolist())
        self._sun.rotation_mode = "QUATERNION"
        self._sun.rotation_quaternion = towards_sun.to_track_quat("Z", "Y")
        grey = self._render(self._grey, seed)
        clean = self._render(self._clean, seed)
        identifiers = np.rint(self._render(self._labels, 0)).astype(np.int32)
        return Rendering(grey, clean, identifiers)

    def close(self) -> None:
        """Free the scenes and the scratch folder."""
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self._scratch.cleanup()

    def _scene(self, name: str, objects: list[Any], samples: int, threads: int) -> Any:
        scene = bpy.data.scenes.new(name)
        for item in [*objects, self._camera, self._sun]:
            scene.collection.objects.link(item)
        scene.camera = self._camera
        scene.world = bpy.data.worlds.new(name)
        scene.world.use_nodes = True
        scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.0, 0.0, 0.0, 1.0)
        render = scene.render
        render.engine = "CYCLES"
        render.resolution_x = render.resolution_y = self._size
        render.resolution_percentage = 100
        render.use_persistent_data = True
        render.threads_mode, render.threads = "FIXED", threads
        render.use_compositing = render.use_sequencer = False
        render.image_settings.file_format = "OPEN_EXR"
        render.image_settings.color_depth = "32"
        render.image_settings.color_mode = "RGB"
        render.image_settings.exr_codec = "NONE"
        cycles = scene.cycles
        cycles.device = "CPU"
        cycles.samples = samples
        cycles.use_adaptive_sampling = cycles.use_denoising = False
        # Small bodies are dark: light scattered twice is a few per cent of the direct light.
        cycles.max_bounces = 0
        cycles.pixel_filter_type = "BLACKMAN_HARRIS"
        return scene

    def _render(self, scene: Any, seed: int) -> np.ndarray:
        """Render a scene; returns its first channel, (size, size) float32, first row at the top."""
        path = Path(self._scratch.name) / f"{scene.name}.exr"
        scene.cycles.seed = seed
        scene.render.filepath = str(path)
        bpy.ops.render.render(scene=scene.name, write_still=True)
        image = bpy.data.images.load(str(path), check_existing=False)
        pixels = np.empty(self._size * self._size * image.channels, dtype=np.float32)
        image.pixels.foreach_get(pixels)
        channels = image.channels
        bpy.data.images.remove(image)
        return pixels.reshape(self._size, self._size, channels)[::-1, :, 0].copy()


def _object(name: str, mesh: Mesh, identifiers: np.ndarray | None, unit: float, smooth: bool) -> Any:
    data = bpy.data.meshes.new(name)
    data.vertices.add(len(mesh.vertices))
    data.vertices.foreach_set("co", (mesh.vertices / unit).astype(np.float32).ravel())
    data.loops.add(3 * len(mesh.faces))
    data.loops.foreach_set("vertex_index", mesh.faces.ravel())
    data.polygons.add(len(mesh.faces))
    data.polygons.foreach_set("loop_start", np.arange(0, 3 * len(mesh.faces), 3, dtype=np.int32))
    if identifiers is not None:
        attribute = data.attributes.new(_ATTRIBUTE, "FLOAT", "FACE")
        attribute.data.foreach_set("value", identifiers.astype(np.float32))
    data.update()
    data.polygons.foreach_set("use_smooth", np.full(len(mesh.faces), smooth))
    data.validate()
    item = bpy.data.objects.new(name, data)
    # Keeps coarse faces of smooth-shaded surfaces from shadowing themselves near the terminator.
    item.cycles.shadow_terminator_geometry_offset = 0.1 if smooth else 0.0
    return item


def _regolith(name: str, bump: float, scale: float) -> Any:
    """A rough diffuse (Oren-Nayar) material, its albedo mottled, its grain a bump map of `scale` cells a body."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    diffuse = nodes.new("ShaderNodeBsdfDiffuse")
    diffuse.inputs["Color"].default_value = (_ALBEDO, _ALBEDO, _ALBEDO, 1.0)
    diffuse.inputs["Roughness"].default_value = 0.6
    output = nodes.new("ShaderNodeOutputMaterial")
    links.new(diffuse.outputs["BSDF"], output.inputs["Surface"])
    if bump > 0.0:
        coordinates = nodes.new("ShaderNodeTexCoord")
        mottling = nodes.new("ShaderNodeTexNoise")
        mottling.inputs["Scale"].default_value = 7.0
        mottling.inputs["Detail"].default_value = 3.0
        albedo = nodes.new("ShaderNodeMapRange")
        albedo.inputs["From Min"].default_value, albedo.inputs["From Max"].default_value = 0.25, 0.75
        albedo.inputs["To Min"].default_value, albedo.inputs["To Max"].default_value = _ALBEDO - 0.12, _ALBEDO
        links.new(coordinates.outputs["Object"], mottling.inputs["Vector"])
        links.new(mottling.outputs["Fac"], albedo.inputs["Value"])
        links.new(albedo.outputs["Result"], diffuse.inputs["Color"])
        noise = nodes.new("ShaderNodeTexNoise")
        noise.inputs["Scale"].default_value = scale
        noise.inputs["Detail"].default_value = 4.0
        relief = nodes.new("ShaderNodeBump")
        relief.inputs["Strength"].default_value = bump
        relief.inputs["Distance"].default_value = 1.0 / scale
        links.new(coordinates.outputs["Object"], noise.inputs["Vector"])
        links.new(noise.outputs["Fac"], relief.inputs["Height"])
        links.new(relief.outputs["Normal"], diffuse.inputs["Normal"])
    return material


def _identifier_material() -> Any:
    """Emits each face's identifier, so that a pixel's value is the identifier of what it shows."""
    material = bpy.data.materials.new("identifiers")
    # Not a lamp: a light tree over every face would take seconds a frame.
    material.cycles.emission_sampling = "NONE"
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    attribute = nodes.new("ShaderNodeAttribute")
    attribute.attribute_type = "GEOMETRY"
    attribute.attribute_name = _ATTRIBUTE
    emission = nodes.new("ShaderNodeEmission")
    output = nodes.new("ShaderNodeOutputMaterial")
    links.new(attribute.outputs["Fac"], emission.inputs["Strength"])
    links.new(emission.outputs["Emission"], output.inputs["Surface"])
    return material
