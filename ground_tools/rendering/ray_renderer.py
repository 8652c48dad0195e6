"""The grey image of a body by rays (Intel Embree), with the reflection of dark regolith.

The disk function is Lommel and Seeliger's, of a surface in which light is scattered once (Hapke 2012, chapter 8): the
radiance is the albedo times 2 mu0 / (mu0 + mu), mu0 and mu the cosines of incidence and emission. The phase function
is left out: over an image of 10 degrees it hardly changes, and the exposure follows it.
"""

from __future__ import annotations

import numpy as np
from embreex import rtcore_scene

from ground_tools.bodies.enhanced_body import EnhancedBody
from ground_tools.bodies.meshes import vertex_normals
from ground_tools.rendering.geometry import View, pixel_directions
from ground_tools.rendering.rays import full_model, make_scene

# Angular radius of the sun at 1 au, radians.
_SUN_RADIUS = np.radians(0.267)
# Rays towards the sun start so far above the surface, in pixels there.
_LIFT_PIXELS = 0.3


class RayRenderer:
    """Renders grey images of one enhanced body. As GreyRenderer, without Blender."""

    def __init__(self, body: EnhancedBody, size: int, rays: int, scene: rtcore_scene.EmbreeScene | None = None) -> None:
        """Prepare the body.

        Args:
            body: whose ground is shaded smooth, and whose rocks are flat.
            size: image side in pixels.
            rays: per pixel; taken as the next square number.
            scene: of the full model, where there is one already, see BodyRays.
        """
        self._unit = body.extent
        self._size = size
        self._steps = int(np.ceil(np.sqrt(rays)))
        mesh = full_model(body)
        self._scene = make_scene(mesh, self._unit) if scene is None else scene
        self._ground_faces = len(body.ground.faces)
        self._vertices, self._faces = mesh.vertices / self._unit, mesh.faces
        self._normals = vertex_normals(body.ground)
        self._albedo = np.concatenate([body.ground_albedo, body.rock_albedo]).astype(np.float64)

    def render(self, view: View, seed: int) -> np.ndarray:
        """The grey image, (size, size) float32, linear, first row at the top; albedo 1 seen as it is lit is 1.

        The same body, view and seed give the same pixels.
        """
        generator = np.random.default_rng([seed, 5])
        total = np.zeros(self._size**2)
        for row in range(self._steps):
            for column in range(self._steps):
                shift = (np.array([column, row]) + generator.random((self._size**2, 2))) / self._steps
                total += self._sample(view, shift, generator)
        return (total / self._steps**2).reshape(self._size, self._size).astype(np.float32)

    def _sample(self, view: View, shift: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Radiance by one ray through each pixel, (size * size,) float64. shift: places within the pixels, 0..1."""
        directions = pixel_directions(view, self._size, shift)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        origins = np.tile((view.camera / self._unit).astype(np.float32), (len(directions), 1))
        hits = self._scene.run(origins, directions.astype(np.float32), output=True)
        seen = np.flatnonzero(hits["primID"] >= 0)
        face, u, v = hits["primID"][seen], hits["u"][seen, None], hits["v"][seen, None]
        distance = hits["tfar"][seen, None].astype(np.float64)
        corners = self._vertices[self._faces[face]]
        flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-30)
        normal = np.where((face < self._ground_faces)[:, None], self._smooth_normals(face, u, v), flat)
        albedo = self._albedo[self._faces[face]]
        albedo = ((1.0 - u - v) * albedo[:, :1] + u * albedo[:, 1:2] + v * albedo[:, 2:])[:, 0]
        incidence = normal @ view.sun
        emission = np.clip(-np.sum(normal * directions[seen], axis=1), 1e-3, None)
        pixel = 2.0 * np.tan(np.radians(view.field_of_view_deg) / 2.0) / self._size
        points = (view.camera / self._unit) + distance * directions[seen] + _LIFT_PIXELS * pixel * distance * flat
        lit = (incidence > 0.0) & (flat @ view.sun > 0.0)
        sunward = view.sun + _SUN_RADIUS * _in_disk(view.sun, len(seen), generator)
        shadowed = np.ones(len(seen), dtype=bool)
        if lit.any():
            query = (points[lit].astype(np.float32), sunward[lit].astype(np.float32))
            shadowed[lit] = self._scene.run(*query, query="OCCLUDED") >= 0
        radiance = np.zeros(self._size**2)
        cosine = np.clip(incidence, 0.0, None)
        radiance[seen] = np.where(shadowed, 0.0, albedo * 2.0 * cosine / (cosine + emission))
        return radiance

    def _smooth_normals(self, face: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        corners = self._faces[np.minimum(face, self._ground_faces - 1)]
        normals = self._normals
        mixed = (1.0 - u - v) * normals[corners[:, 0]] + u * normals[corners[:, 1]] + v * normals[corners[:, 2]]
        found: np.ndarray = mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-30)
        return found


def _in_disk(axis: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Random vectors in the unit disk across an axis, (count, 3) float64."""
    first = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
    first /= np.linalg.norm(first)
    radius, angle = np.sqrt(generator.random(count)), 2.0 * np.pi * generator.random(count)
    return (radius * np.cos(angle))[:, None] * first + (radius * np.sin(angle))[:, None] * np.cross(axis, first)
