"""What scenes of Cycles share: meshes, camera and sun as Blender's objects, settings, and pixels as arrays."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ground_tools.bodies.meshes import Mesh
from ground_tools.rendering.blender import bpy, mathutils
from ground_tools.rendering.geometry import View, camera_axes

# Irradiance for which a surface of albedo 1 facing the sun has radiance 1 (linear).
SUN_IRRADIANCE = float(np.pi)


def make_mesh(name: str, mesh: Mesh, unit: float) -> Any:
    """Blender's mesh of a triangle mesh, in units of so much of its length."""
    data = bpy.data.meshes.new(name)
    data.vertices.add(len(mesh.vertices))
    data.vertices.foreach_set("co", (mesh.vertices / unit).astype(np.float32).ravel())
    data.loops.add(3 * len(mesh.faces))
    data.loops.foreach_set("vertex_index", mesh.faces.ravel())
    data.polygons.add(len(mesh.faces))
    data.polygons.foreach_set("loop_start", np.arange(0, 3 * len(mesh.faces), 3, dtype=np.int32))
    return data


def make_camera(field_of_view_deg: float) -> Any:
    """A camera of a field of view across the image, degrees."""
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.rotation_mode = "QUATERNION"
    camera.data.sensor_fit = "HORIZONTAL"
    camera.data.sensor_width = camera.data.sensor_height = 36.0
    camera.data.angle = np.radians(field_of_view_deg)
    camera.data.clip_start, camera.data.clip_end = 1e-3, 1e4
    return camera


def make_sun(name: str, angle_deg: float) -> Any:
    """A sun of so many degrees across, whose irradiance is SUN_IRRADIANCE."""
    sun = bpy.data.objects.new(name, bpy.data.lights.new(name, "SUN"))
    sun.rotation_mode = "QUATERNION"
    sun.data.energy = SUN_IRRADIANCE
    sun.data.angle = np.radians(angle_deg)
    return sun


def place_camera(camera: Any, view: View, unit: float) -> None:
    """Put a camera where a view has it, in units of so much of the view's length."""
    x, y, z = camera_axes(view)
    camera.location = mathutils.Vector((view.camera / unit).tolist())
    # Blender's camera looks along its own -z, its y axis up.
    rotation = mathutils.Matrix(np.stack([x, -y, -z], axis=1).tolist())
    camera.rotation_quaternion = rotation.to_quaternion()


def turn_sun(sun: Any, direction: np.ndarray) -> None:
    """Let a sun's light come from a direction, (3,) float64."""
    sun.rotation_quaternion = mathutils.Vector(direction.tolist()).to_track_quat("Z", "Y")


class CyclesScene:
    """A scene of objects under a camera and suns, before a black sky, and its linear radiance by Cycles.

    scene: Blender's, for what else is to be set.
    """

    def __init__(
        self, objects: list[Any], camera: Any, shape: tuple[int, int], light_paths: int, bounces: int, threads: int
    ) -> None:
        """Link the objects, suns among them.

        Args:
            objects: to be linked.
            camera: the one that is rendered.
            shape: height and width of the image, pixels.
            light_paths: of a pixel.
            bounces: of light, beyond what comes from a sun directly.
            threads: of Cycles.
        """
        self._shape = shape
        self._scratch = tempfile.TemporaryDirectory(prefix="rubblemap_render_")
        self.scene = bpy.data.scenes.new("scene")
        for item in [*objects, camera]:
            self.scene.collection.objects.link(item)
        self.scene.camera = camera
        self.scene.world = bpy.data.worlds.new("sky")
        self.scene.world.use_nodes = True
        self.scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.0, 0.0, 0.0, 1.0)
        render = self.scene.render
        render.engine = "CYCLES"
        render.resolution_y, render.resolution_x = shape
        render.resolution_percentage = 100
        render.use_persistent_data = True
        render.threads_mode, render.threads = "FIXED", threads
        render.use_compositing = render.use_sequencer = False
        render.image_settings.file_format = "OPEN_EXR"
        render.image_settings.color_depth = "32"
        render.image_settings.color_mode = "RGB"
        render.image_settings.exr_codec = "NONE"
        cycles = self.scene.cycles
        cycles.device = "CPU"
        cycles.samples = light_paths
        cycles.use_adaptive_sampling = cycles.use_denoising = False
        cycles.max_bounces = bounces
        cycles.pixel_filter_type = "BLACKMAN_HARRIS"

    def render(self, seed: int) -> np.ndarray:
        """The pixels, (H, W, C) float32, linear, first row at the top; C as the scene's colour mode has it."""
        path = Path(self._scratch.name) / "pixels.exr"
        self.scene.cycles.seed = seed
        self.scene.render.filepath = str(path)
        bpy.ops.render.render(scene=self.scene.name, write_still=True)
        image = bpy.data.images.load(str(path), check_existing=False)
        channels = image.channels
        pixels = np.empty(self._shape[0] * self._shape[1] * channels, dtype=np.float32)
        image.pixels.foreach_get(pixels)
        bpy.data.images.remove(image)
        return pixels.reshape(*self._shape, channels)[::-1].copy()

    def close(self) -> None:
        """Free all scenes and the scratch folder."""
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self._scratch.cleanup()
