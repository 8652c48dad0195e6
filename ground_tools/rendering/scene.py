"""The Blender scene of one body, and its grey image by Cycles.

Blender keeps one global state per process: one GreyRenderer at a time in a process, and all of its calls from the
thread that made it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ground_tools.bodies.enhanced_body import EnhancedBody
from ground_tools.bodies.meshes import Mesh
from ground_tools.rendering.blender import bpy
from ground_tools.rendering.cycles import CyclesScene, make_camera, make_mesh, make_sun, place_camera, turn_sun
from ground_tools.rendering.geometry import FIELD_OF_VIEW_DEG, View

_ATTRIBUTE = "albedo"
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
        ground = _object("ground", body.ground, body.ground_albedo, self._unit, smooth=True)
        rocks = _object("rocks", body.rocks, body.rock_albedo, self._unit, smooth=False)
        regolith = _regolith()
        for item in (ground, rocks):
            item.data.materials.append(regolith)
        self._camera = make_camera(FIELD_OF_VIEW_DEG)
        self._sun = make_sun("sun", 0.27)
        bodies = [ground, rocks] if len(body.rocks.faces) else [ground]
        # Small bodies are dark: light scattered twice is a few per cent of the direct light.
        self._scene = CyclesScene([*bodies, self._sun], self._camera, (size, size), light_paths, 0, threads)

    def render(self, view: View, seed: int) -> np.ndarray:
        """The grey image, (size, size) float32, linear radiance, first row at the top.

        The same body, view and seed give the same pixels.
        """
        place_camera(self._camera, view, self._unit)
        turn_sun(self._sun, view.sun)
        return self._scene.render(seed)[:, :, 0].copy()

    def close(self) -> None:
        """Free the scene and the scratch folder."""
        self._scene.close()


def _object(name: str, mesh: Mesh, albedo: np.ndarray, unit: float, smooth: bool) -> Any:
    data = make_mesh(name, mesh, unit)
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
