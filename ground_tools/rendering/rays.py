"""One ray through the middle of each pixel of a view of an enhanced body (Intel Embree): what is seen, and by day.

Identifiers must not be mixed between pixels, so each pixel has one ray; this is what a renderer's object-index pass
gives without its filter.
"""

from __future__ import annotations

import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh

from ground_tools.bodies.enhanced_body import EnhancedBody
from ground_tools.bodies.meshes import Mesh, vertex_normals
from ground_tools.rendering.geometry import View, pixel_directions

# Rays towards the sun start so far above the surface (in extents of the body) that its facets do not shadow themselves.
_LIFT = 2e-3


def full_model(body: EnhancedBody) -> Mesh:
    """The ground of a body and its rocks as one mesh, in this order."""
    return Mesh(
        np.concatenate([body.ground.vertices, body.rocks.vertices]),
        np.concatenate([body.ground.faces, body.rocks.faces + len(body.ground.vertices)]),
    )


def make_scene(mesh: Mesh, unit: float) -> rtcore_scene.EmbreeScene:
    """A mesh ready for rays in units of so many kilometres."""
    scene = rtcore_scene.EmbreeScene()
    TriangleMesh(scene, (mesh.vertices / unit).astype(np.float32), mesh.faces.astype(np.int32))
    return scene


class BodyRays:
    """The meshes of one body, ready for rays; the work is done in units of the body's extent.

    scene: of the full model.
    """

    def __init__(self, body: EnhancedBody, size: int, like: BodyRays | None = None) -> None:
        """Take the meshes. like: rays of a body of the same clean model, which is prepared once then."""
        self._unit = body.extent
        self._size = size
        self._ground_identifiers = body.ground_identifiers
        self._identifiers = np.concatenate([body.ground_identifiers, body.rock_identifiers])
        self.scene = make_scene(full_model(body), self._unit)
        self._ground = make_scene(body.ground, self._unit)
        self._clean: rtcore_scene.EmbreeScene = like._clean if like is not None else make_scene(body.clean, self._unit)
        self._clean_faces = body.clean.faces
        self._clean_normals: np.ndarray = like._clean_normals if like is not None else vertex_normals(body.clean)

    def identifiers(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """What each pixel shows: (size, size) int32 of the full model, and of the ground alone, 0 off the body."""
        rays = self._rays(view)
        return self._seen(self.scene, self._identifiers, rays), self._seen(self._ground, self._ground_identifiers, rays)

    def clean(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """The clean model under the sun: the cosine of incidence, 0 in the shadow, and where the body is.

        Returns (size, size) float32 and (size, size) bool.
        """
        origins, directions = self._rays(view)
        hits = self._clean.run(origins, directions, output=True)
        on_body = hits["primID"] >= 0
        face = self._clean_faces[hits["primID"][on_body]]
        u, v = hits["u"][on_body, None], hits["v"][on_body, None]
        normals = self._clean_normals
        normal = (1.0 - u - v) * normals[face[:, 0]] + u * normals[face[:, 1]] + v * normals[face[:, 2]]
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        cosine = np.clip(normal @ view.sun, 0.0, None)
        points = origins[on_body] + hits["tfar"][on_body, None] * directions[on_body] + _LIFT * normal
        towards_sun = np.broadcast_to(view.sun.astype(np.float32), points.shape).copy()
        shadowed = self._clean.run(points.astype(np.float32), towards_sun, query="OCCLUDED") >= 0
        image = np.zeros(self._size**2, dtype=np.float32)
        image[on_body] = np.where(shadowed, 0.0, cosine)
        shape = (self._size, self._size)
        return image.reshape(shape), on_body.reshape(shape)

    def _seen(
        self, scene: rtcore_scene.EmbreeScene, identifiers: np.ndarray, rays: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        face = scene.run(*rays)
        return np.where(face >= 0, identifiers[face], 0).astype(np.int32).reshape(self._size, self._size)

    def _rays(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Origins and directions, (size * size, 3) float32, row by row from the upper left pixel."""
        directions = pixel_directions(view, self._size).astype(np.float32)
        return np.tile((view.camera / self._unit).astype(np.float32), (len(directions), 1)), directions
