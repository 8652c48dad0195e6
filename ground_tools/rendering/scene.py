"""The Blender scene of one body, and its grey image by Cycles.

Blender keeps one global state per process: one GreyRenderer at a time in a process, and all of its calls from the
thread that made it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ground_tools.bodies.enhanced_body import EnhancedBody
from ground_tools.bodies.meshes import Mesh
from ground_tools.rendering.blender import bpy, mathutils
from ground_tools.rendering.geometry import FIELD_OF_VIEW_DEG, View, camera_axes

_ATTRIBUTE = "albedo"
# Irradiance for which a surface of albedo 1 facing the sun has radiance 1 (linear).
_SUN_IRRADIANCE = float(np.pi)
# Of a surface whose own albedo is 1. What faces the sun then renders at 0.6, encoded about 200 of 255: the brightest
# facets do not saturate, with the loader's noise neither.
_ALBEDO = 0.6
# Of Oren and Nayar's diffuse reflection.
_ROUGHNESS = 0.3


class GreyRenderer:
    """Renders grey images of one enhanced body.

    size: image side in pixels. light_paths: per pixel. threads: of Cycles.
    """

    def __init__(self, body: EnhancedBody, size: int, light_paths: int, threads: int = 1) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self._unit = body.extent  # the scene is built in units of the body's extent
        self._size = size
        self._scratch = tempfile.TemporaryDirectory(prefix="rubblemap_render_")
        ground = _object("ground", body.ground, body.ground_albedo, self._unit, smooth=True)
        rocks = _object("rocks", body.rocks, body.rock_albedo, self._unit, smooth=False)
        regolith = _regolith()
        for item in (ground, rocks):
            item.data.materials.append(regolith)
        self._camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        self._camera.rotation_mode = "QUATERNION"
        self._camera.data.sensor_width = self._camera.data.sensor_height = 36.0
        self._camera.data.angle = np.radians(FIELD_OF_VIEW_DEG)
        self._camera.data.clip_start, self._camera.data.clip_end = 1e-3, 1e4
        self._sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
        self._sun.rotation_mode = "QUATERNION"
        self._sun.data.energy = _SUN_IRRADIANCE
        self._sun.data.angle = np.radians(0.27)
        bodies = [ground, rocks] if len(body.rocks.faces) else [ground]
        self._scene = self._make_scene(bodies, light_paths, threads)

    def render(self, view: View, seed: int) -> np.ndarray:
        """The grey image, (size, size) float32, linear radiance, first row at the top.

        The same body, view and seed give the same pixels.
        """
        x, y, z = camera_axes(view)
        self._camera.location = mathutils.Vector((view.camera / self._unit).tolist())
        # Blender's camera looks along its own -z, its y axis up.
        rotation = mathutils.Matrix(np.stack([x, -y, -z], axis=1).tolist())
        self._camera.rotation_quaternion = rotation.to_quaternion()
        self._sun.rotation_quaternion = mathutils.Vector(view.sun.tolist()).to_track_quat("Z", "Y")
        path = Path(self._scratch.name) / "grey.exr"
        self._scene.cycles.seed = seed
        self._scene.render.filepath = str(path)
        bpy.ops.render.render(scene=self._scene.name, write_still=True)
        image = bpy.data.images.load(str(path), check_existing=False)
        channels = image.channels
        pixels = np.empty(self._size * self._size * channels, dtype=np.float32)
        image.pixels.foreach_get(pixels)
        bpy.data.images.remove(image)
        return pixels.reshape(self._size, self._size, channels)[::-1, :, 0].copy()

    def close(self) -> None:
        """Free the scene and the scratch folder."""
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self._scratch.cleanup()

    def _make_scene(self, objects: list[Any], light_paths: int, threads: int) -> Any:
        scene = bpy.data.scenes.new("grey")
        for item in [*objects, self._camera, self._sun]:
            scene.collection.objects.link(item)
        scene.camera = self._camera
        scene.world = bpy.data.worlds.new("sky")
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
        cycles.samples = light_paths
        cycles.use_adaptive_sampling = cycles.use_denoising = False
        # Small bodies are dark: light scattered twice is a few per cent of the direct light.
        cycles.max_bounces = 0
        cycles.pixel_filter_type = "BLACKMAN_HARRIS"
        return scene


def _object(name: str, mesh: Mesh, albedo: np.ndarray, unit: float, smooth: bool) -> Any:
    data = bpy.data.meshes.new(name)
    data.vertices.add(len(mesh.vertices))
    data.vertices.foreach_set("co", (mesh.vertices / unit).astype(np.float32).ravel())
    data.loops.add(3 * len(mesh.faces))
    data.loops.foreach_set("vertex_index", mesh.faces.ravel())
    data.polygons.add(len(mesh.faces))
    data.polygons.foreach_set("loop_start", np.arange(0, 3 * len(mesh.faces), 3, dtype=np.int32))
    data.attributes.new(_ATTRIBUTE, "FLOAT", "POINT").data.foreach_set("value", albedo)
    data.update()
    data.polygons.foreach_set("use_smooth", np.full(len(mesh.faces), smooth))
    data.validate()
    item = bpy.data.objects.new(name, data)
    # Keeps coarse faces of smooth-shaded surfaces from shadowing themselves near the terminator.
    item.cycles.shadow_terminator_geometry_offset = 0.1 if smooth else 0.0
    return item


def _regolith() -> Any:
    """A rough diffuse (Oren-Nayar) material, its albedo that of the vertices times _ALBEDO."""
    material = bpy.data.materials.new("regolith")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    attribute = nodes.new("ShaderNodeAttribute")
    attribute.attribute_type = "GEOMETRY"
    attribute.attribute_name = _ATTRIBUTE
    scale = nodes.new("ShaderNodeMath")
    scale.operation = "MULTIPLY"
    scale.inputs[1].default_value = _ALBEDO
    diffuse = nodes.new("ShaderNodeBsdfDiffuse")
    diffuse.inputs["Roughness"].default_value = _ROUGHNESS
    output = nodes.new("ShaderNodeOutputMaterial")
    links.new(attribute.outputs["Fac"], scale.inputs[0])
    links.new(scale.outputs["Value"], diffuse.inputs["Color"])
    links.new(diffuse.outputs["BSDF"], output.inputs["Surface"])
    return material
