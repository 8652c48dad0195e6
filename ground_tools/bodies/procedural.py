"""Base shapes that the project makes itself, for use where no shape model is at hand."""

from __future__ import annotations

import numpy as np
import trimesh

from ground_tools.bodies.meshes import Mesh, centre_on_mass
from ground_tools.bodies.noise import fractal_noise


def procedural_shape(kind: str, axes_km: tuple[float, float, float], seed: int) -> Mesh:
    """A closed base shape: "ellipsoid" (lumpy), "top" (equatorial ridge) or "bilobate" (two joined lobes).

    axes_km: full lengths along x, y, z, kilometres. The same kind, axes and seed give the same mesh.
    Raises ValueError for an unknown kind.
    """
    generator = np.random.default_rng(np.random.SeedSequence(seed))
    sphere = trimesh.creation.icosphere(subdivisions=5)
    directions = np.asarray(sphere.vertices, dtype=np.float64)
    if kind == "ellipsoid":
        radii = np.ones(len(directions))
    elif kind == "top":
        # A superellipse as the profile: 2 is a sphere, 1 a double cone.
        along_axis = np.abs(directions[:, 2])
        across_axis = np.hypot(directions[:, 0], directions[:, 1])
        radii = (along_axis**1.4 + across_axis**1.4) ** (-1.0 / 1.4)
    elif kind == "bilobate":
        radii = _two_lobes(directions)
    else:
        raise ValueError(f'procedural shape: expected "ellipsoid", "top" or "bilobate", got "{kind}"')
    radii = radii * (1.0 + 0.06 * fractal_noise(directions, 0.8, 4, 0.5, generator))
    vertices = directions * radii[:, None]
    vertices *= np.asarray(axes_km) / np.ptp(vertices, axis=0)
    return centre_on_mass(Mesh(vertices, np.asarray(sphere.faces, dtype=np.int32)))


def _two_lobes(directions: np.ndarray) -> np.ndarray:
    """Distance from the origin to a smooth union of two unequal spheres on the x axis, along each direction."""
    centres = np.array([[-0.55, 0.0, 0.0], [0.75, 0.05, 0.0]])
    sizes = np.array([0.75, 0.5])

    def signed_distance(points: np.ndarray) -> np.ndarray:
        distances = np.linalg.norm(points[:, None, :] - centres, axis=2) - sizes
        blend = 0.5
        h = np.clip(0.5 + 0.5 * (distances[:, 1] - distances[:, 0]) / blend, 0.0, 1.0)
        return distances[:, 1] * (1 - h) + distances[:, 0] * h - blend * h * (1 - h)

    low, high = np.zeros(len(directions)), np.full(len(directions), 3.0)
    for _ in range(40):
        middle = 0.5 * (low + high)
        inside = signed_distance(directions * middle[:, None]) < 0.0
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return 0.5 * (low + high)
