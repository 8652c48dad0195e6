"""Craters: reliefs laid on a mesh, and the record of which face lies in which crater."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ground_tools.bodies.meshes import Mesh, random_surface_points, tangent_frames, vertex_normals
from ground_tools.bodies.reliefs import REACH, Relief


@dataclass(frozen=True)
class Crater:
    """One crater in the body-fixed frame. Lengths in kilometres.

    radii: semi-axes of the rim along `first` and `second`. depth: rim crest to floor. centre, normal, first,
    second: (3,) float64.
    """

    centre: np.ndarray
    normal: np.ndarray
    first: np.ndarray
    second: np.ndarray
    radii: tuple[float, float]
    depth: float
    relief: Relief


def place_craters(
    mesh: Mesh, radii: list[float], nested: int, reliefs: Sequence[Relief], generator: np.random.Generator
) -> list[Crater]:
    """Choose places for craters of the given rim radii (kilometres), the largest first; reliefs[k] for the k-th.

    The last `nested` craters are put inside the first one, at 0.45 of its radius or less. The others keep clear
    of each other as far as a bounded number of tries allows.
    """
    ordered = sorted(radii, reverse=True)
    normals = vertex_normals(mesh)
    craters: list[Crater] = []
    for index, radius in enumerate(ordered):
        inside_first = index >= len(ordered) - nested
        candidates, face_normals = random_surface_points(mesh, 4000 if inside_first else 200, generator)
        if inside_first:
            host = craters[0]
            radius = min(radius, 0.45 * min(host.radii))
            offsets = np.abs(np.linalg.norm(candidates - host.centre, axis=1) - 0.45 * min(host.radii))
            chosen = int(np.argmin(offsets))
        else:
            clearances = np.array([_clearance(candidate, radius, craters) for candidate in candidates])
            free = np.flatnonzero(clearances > 0.0)
            chosen = int(free[0]) if len(free) else int(np.argmax(clearances))
        craters.append(
            _crater_at(mesh, normals, candidates[chosen], face_normals[chosen], radius, reliefs[index], generator)
        )
    return craters


def _clearance(candidate: np.ndarray, radius: float, craters: list[Crater]) -> float:
    return min(
        (float(np.linalg.norm(candidate - c.centre)) - 1.1 * (radius + max(c.radii)) for c in craters),
        default=np.inf,
    )


def _crater_at(
    mesh: Mesh,
    normals: np.ndarray,
    centre: np.ndarray,
    face_normal: np.ndarray,
    radius: float,
    relief: Relief,
    generator: np.random.Generator,
) -> Crater:
    """A crater whose axis is the mean normal of the surface it will cover."""
    near = (np.linalg.norm(mesh.vertices - centre, axis=1) < radius) & (normals @ face_normal > 0.0)
    normal = normals[near].mean(axis=0) if near.any() else face_normal
    normal = normal / np.linalg.norm(normal)
    first, second = (axis[0] for axis in tangent_frames(normal[None]))
    turn = generator.uniform(0.0, 2.0 * np.pi)
    first, second = (
        np.cos(turn) * first + np.sin(turn) * second,
        -np.sin(turn) * first + np.cos(turn) * second,
    )
    # Random scale on three axes: two in the plane of the rim, one in depth.
    scale_first, scale_second = generator.uniform(0.85, 1.15, 2)
    depth = 2.0 * radius * generator.uniform(0.17, 0.27)
    return Crater(centre, normal, first, second, (radius * scale_first, radius * scale_second), depth, relief)


def apply_craters(mesh: Mesh, craters: list[Crater]) -> tuple[Mesh, np.ndarray]:
    """Displace the mesh by every crater's relief.

    Returns the new mesh and, per face, the number of the crater whose rim encloses it: (F,) int32, 0 for none,
    k + 1 for craters[k]; a later crater lies over an earlier one.
    """
    vertices = mesh.vertices.copy()
    inside = np.zeros(len(vertices), dtype=np.int32)
    for number, crater in enumerate(craters, start=1):
        offset = vertices - crater.centre
        along = offset @ crater.normal
        x = offset @ crater.first / crater.radii[0]
        y = offset @ crater.second / crater.radii[1]
        # Only the sheet of surface that the crater stands on, not the far side of a thin or bent body.
        touched = (np.abs(along) < 1.5 * max(crater.radii)) & (np.maximum(np.abs(x), np.abs(y)) < REACH)
        touched &= vertex_normals(Mesh(vertices, mesh.faces)) @ crater.normal > 0.1
        samples = crater.relief.heights.shape[0]
        where = (np.stack([y[touched], x[touched]]) / REACH + 1.0) * 0.5 * (samples - 1)
        height = ndimage.map_coordinates(crater.relief.heights, where, order=1)
        rim = ndimage.map_coordinates(crater.relief.inside, where, order=1)
        vertices[touched] += (crater.depth * height)[:, None] * crater.normal
        inside[np.flatnonzero(touched)[rim > 0.5]] = number
    corners = inside[mesh.faces]
    # A face belongs to a crater when at least two of its corners do.
    face_crater = np.where(
        (corners[:, 0] == corners[:, 1]) | (corners[:, 0] == corners[:, 2]), corners[:, 0], corners[:, 1]
    )
    agreeing = (corners == face_crater[:, None]).sum(axis=1) >= 2
    return Mesh(vertices, mesh.faces), np.where(agreeing, face_crater, 0).astype(np.int32)
