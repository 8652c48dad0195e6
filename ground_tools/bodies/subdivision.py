"""Division of some faces of a mesh, without cracks where they meet the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ground_tools.bodies.meshes import Mesh, vertex_normals

# How far new vertices go from the middle of their edge towards the tangent planes of its ends (Boubekeur, Alexa 2008).
_PHONG = 0.75


@dataclass(frozen=True)
class DividedEdges:
    """The edges that got a new vertex, in the vertices' order, E of them.

    first, second: (E,) their ends. inner: (E,) bool, both of the edge's faces were divided: its vertex may be moved.
    lengths: (E,). normals: (E, 3) unit vectors, the mean of both ends'.
    """

    first: np.ndarray
    second: np.ndarray
    inner: np.ndarray
    lengths: np.ndarray
    normals: np.ndarray


def subdivide(mesh: Mesh, chosen: np.ndarray) -> tuple[Mesh, np.ndarray, DividedEdges]:
    """Divide faces into four. New vertices lie on the smooth surface that normals suggest (Phong tessellation).

    A new vertex on an edge whose other face is not divided stays in the middle of the edge, so that no crack opens.

    Args:
        mesh: (V vertices, F faces).
        chosen: (F,) bool, faces to divide.

    Returns:
        The mesh, whose new vertices follow the old ones; (F',) int, the face that each face was part of; the edges.
    """
    faces = mesh.faces[chosen]
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    keys = edges[:, 0].astype(np.int64) * len(mesh.vertices) + edges[:, 1]
    unique, which, counts = np.unique(keys, return_inverse=True, return_counts=True)
    first, second = unique // len(mesh.vertices), unique % len(mesh.vertices)
    inner = counts == 2
    normals = vertex_normals(mesh)
    a, b = mesh.vertices[first], mesh.vertices[second]
    middle = 0.5 * (a + b)
    towards = np.zeros_like(middle)
    for end, normal in ((a, normals[first]), (b, normals[second])):
        towards -= 0.5 * np.sum((middle - end) * normal, axis=1, keepdims=True) * normal
    new = middle + _PHONG * inner[:, None] * towards
    mean = normals[first] + normals[second]
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)

    ab, bc, ca = (which.reshape(-1, 3) + len(mesh.vertices)).T
    v0, v1, v2 = faces.T
    parts = np.stack([v0, ab, ca, ab, v1, bc, ca, bc, v2, ab, bc, ca], axis=1).reshape(-1, 3)
    parents = np.concatenate([np.flatnonzero(~chosen), np.repeat(np.flatnonzero(chosen), 4)])
    return (
        Mesh(np.concatenate([mesh.vertices, new]), np.concatenate([mesh.faces[~chosen], parts.astype(np.int32)])),
        parents,
        DividedEdges(first, second, inner, np.linalg.norm(b - a, axis=1), mean),
    )
