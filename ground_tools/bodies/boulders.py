"""Boulders: irregular rocks in three sizes, scattered over a surface."""

from __future__ import annotations

import numpy as np
import trimesh

from ground_tools.bodies.meshes import Mesh, random_surface_points, tangent_frames
from ground_tools.bodies.noise import fractal_noise

_ROCK_SHAPES = 12


def rock(subdivisions: int, generator: np.random.Generator) -> Mesh:
    """One irregular rock of unit mean radius about the origin: a sphere, dented, stretched and faceted."""
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions)
    directions = np.asarray(sphere.vertices, dtype=np.float64)
    radii = 1.0 + 0.18 * fractal_noise(directions, 0.9, 3, 0.5, generator)
    # A few cut planes give flat faces, as broken rock has.
    for _ in range(6):
        normal = generator.standard_normal(3)
        normal /= np.linalg.norm(normal)
        reach = generator.uniform(0.7, 0.95)
        with np.errstate(divide="ignore"):
            limit = np.where(directions @ normal > 0.05, reach / (directions @ normal), np.inf)
        radii = np.minimum(radii, limit)
    stretch = generator.uniform(0.75, 1.3, 3)
    return Mesh(directions * radii[:, None] * stretch, np.asarray(sphere.faces, dtype=np.int32))


def draw_sizes(smallest: float, largest: float, slope: float, count: int, generator: np.random.Generator) -> np.ndarray:
    """Sizes by a power law bounded at both ends, the number larger than D falling as D^-slope; (count,) float64."""
    low, high = smallest**-slope, largest**-slope
    sizes: np.ndarray = (low + generator.random(count) * (high - low)) ** (-1.0 / slope)
    return sizes


def scatter(
    surface: Mesh, count: int, smallest: float, largest: float, subdivisions: int, generator: np.random.Generator
) -> tuple[Mesh, np.ndarray]:
    """Scatter `count` rocks over a surface, uniform by area, sunk by about a third, sizes by a power law.

    smallest, largest: rock diameters, kilometres; the number of rocks larger than D falls as D^-2.5, bounded
    at both ends. Returns one mesh of all rocks and, per face, the rock's number 0..count-1, (F,) int32.
    """
    shapes = [rock(subdivisions, generator) for _ in range(min(_ROCK_SHAPES, max(count, 1)))]
    if count == 0:
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int32)), np.zeros(0, dtype=np.int32)
    points, normals = random_surface_points(surface, count, generator)
    diameters = draw_sizes(smallest, largest, 2.5, count, generator)
    first, second = tangent_frames(normals)
    turns = generator.uniform(0.0, 2.0 * np.pi, count)
    kinds = generator.integers(len(shapes), size=count)
    buried = generator.uniform(0.0, 0.4, count)

    vertices, faces, numbers, offset = [], [], [], 0
    for index in range(count):
        shape = shapes[kinds[index]]
        cosine, sine = np.cos(turns[index]), np.sin(turns[index])
        basis = np.stack(
            [
                cosine * first[index] + sine * second[index],
                -sine * first[index] + cosine * second[index],
                normals[index],
            ]
        )
        radius = 0.5 * diameters[index]
        centre = points[index] + normals[index] * radius * (0.5 - buried[index])
        vertices.append(centre + radius * shape.vertices @ basis)
        faces.append(shape.faces + offset)
        numbers.append(np.full(len(shape.faces), index, dtype=np.int32))
        offset += len(shape.vertices)
    return (
        Mesh(np.concatenate(vertices), np.concatenate(faces).astype(np.int32)),
        np.concatenate(numbers),
    )
