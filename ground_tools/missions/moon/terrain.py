"""Lunar terrain about a camera that stands on it: relief, craters and rocks, finer the nearer they are. Metres.

Sizes follow what is known of the Moon's surface: craters in equilibrium, number larger than D per area in proportion to
D^-2 (Gault 1970); fresh bowls a fifth as deep as wide, worn ones less; rocks by a power law (Golombek & Rapp 1997);
relief whose amplitude grows with the length of its waves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ground_tools.bodies.boulders import draw_sizes, rock
from ground_tools.bodies.enhanced_body import EnhancedBody
from ground_tools.bodies.meshes import Mesh
from ground_tools.labels.classes import BOULDER_IDENTIFIERS, SURFACE_IDENTIFIER

FARTHEST = 3_000.0
# Rows of the mesh are so much farther than the ones before; columns so many pixels apart.
_ROW_RATIO, _COLUMN_PIXELS = 1.013, 1.5
# The camera sees ground from this part of its height on; beside its view there is ground that throws shadows.
_NEAREST, _BESIDE_DEG = 0.25, 25.0
# Waves of the relief: the longest, and how many of the mesh's cells the shortest spans.
_LONGEST, _CELLS = 1_500.0, 3.0
_LATTICE = 64
# Rocks and craters are laid where they span so many pixels or more; how many of a size at most.
_ROCK_PIXELS, _CRATER_PIXELS, _MOST = 1.5, 5.0, 1_500
_LARGEST_ROCK, _LARGEST_CRATER, _SMALLEST_CRATER = 4.0, 300.0, 0.3
_SHAPES = 10
_SATURATION = 1.54


@dataclass(frozen=True)
class TerrainSettings:
    """What a terrain is like.

    height: of the camera, metres. field_of_view_deg: of the image's side. pixels: of the image's side. rock_slope:
    the number of rocks larger than D falls as D^-rock_slope. rock_cover: share of the ground that rocks cover.
    crater_density: share of geometric saturation. roughness: standard deviation of the relief of waves of 1 m, metres.
    hurst: by which power it grows with their length.
    """

    height: float
    field_of_view_deg: float
    pixels: int
    rock_slope: float
    rock_cover: float
    crater_density: float
    roughness: float
    hurst: float

    @property
    def pixel(self) -> float:
        """Angle of a pixel, radians."""
        return float(np.radians(self.field_of_view_deg) / self.pixels)

    @property
    def half_angle(self) -> float:
        """Half of the sector that the terrain fills about the direction x, radians."""
        return float(np.radians(min(self.field_of_view_deg / 1.4 + _BESIDE_DEG, 170.0)))


def make_terrain(settings: TerrainSettings, generator: np.random.Generator) -> EnhancedBody:
    """Ground and rocks about a camera at (0, 0, height) that looks along x; z is up and the ground below it at 0.

    Args:
        settings: of the terrain.
        generator: of every random choice.
    """
    points, cells, faces = _make_grid(settings)
    heights = _make_relief(points, cells, settings, generator)
    heights += _make_craters(points, settings, generator)
    heights -= heights[: len(points) // 50].mean()
    ground = Mesh(np.column_stack([points, heights]), faces)
    mottling = _make_waves(points, 0.5, generator) + _make_waves(points, 8.0, generator)
    albedo = np.clip(1.0 + 0.04 * mottling, 0.7, 1.3).astype(np.float32)
    rocks, identifiers, rock_albedo = _lay_rocks(ground, settings, generator)
    return EnhancedBody(
        name="landscape",
        clean=ground,
        ground=ground,
        ground_identifiers=np.full(len(faces), SURFACE_IDENTIFIER, dtype=np.int32),
        rocks=rocks,
        rock_identifiers=identifiers,
        ground_albedo=albedo,
        rock_albedo=rock_albedo,
        extent=1.0,
    )


def _make_grid(settings: TerrainSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (V, 2) of a sector, row by row outward, the side of the cell at each (V,), and faces (F, 3)."""
    rows = int(np.ceil(np.log(FARTHEST / (_NEAREST * settings.height)) / np.log(_ROW_RATIO)))
    radii = _NEAREST * settings.height * _ROW_RATIO ** np.arange(rows + 1)
    columns = int(np.ceil(2.0 * settings.half_angle / (_COLUMN_PIXELS * settings.pixel)))
    angles = np.linspace(-settings.half_angle, settings.half_angle, columns + 1)
    points = (radii[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)).reshape(-1, 2)
    cells = np.repeat(radii * max(angles[1] - angles[0], _ROW_RATIO - 1.0), columns + 1)
    first = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).ravel()
    outer = first + columns + 1
    # Counter-clockwise from above, so that normals point up.
    faces = np.concatenate([np.stack([first, outer, outer + 1], 1), np.stack([first, outer + 1, first + 1], 1)])
    return points, cells, faces.astype(np.int32)


def _make_waves(points: np.ndarray, length: float, generator: np.random.Generator) -> np.ndarray:
    """Smooth noise of waves of one length with a standard deviation of about 1; points (V, 2), metres."""
    lattice = generator.standard_normal((_LATTICE, _LATTICE))
    turn = generator.uniform(0.0, 2.0 * np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    places = (points @ rotation) * (2.0 / length) + generator.random(2) * _LATTICE
    waves: np.ndarray = 1.5 * ndimage.map_coordinates(lattice, places.T, order=3, mode="grid-wrap", prefilter=False)
    return waves


def _make_relief(
    points: np.ndarray, cells: np.ndarray, settings: TerrainSettings, generator: np.random.Generator
) -> np.ndarray:
    heights = np.zeros(len(points))
    length = _LONGEST
    while length > 0.03:
        amplitude = settings.roughness * length**settings.hurst
        shown = np.clip(length / (_CELLS * cells) - 1.0, 0.0, 1.0)
        seen = shown > 0.0
        if seen.any():
            heights[seen] += amplitude * shown[seen] * _make_waves(points[seen], length, generator)
        length /= 2.0
    return heights


def _scatter(
    high: float,
    per_area: float,
    least_pixels: float,
    settings: TerrainSettings,
    generator: np.random.Generator,
) -> np.ndarray:
    """Random places (N, 2) in the sector where things of sizes up to `high` span enough pixels."""
    reach = min(high / (least_pixels * settings.pixel), 0.9 * FARTHEST)
    count = min(int(generator.poisson(per_area * settings.half_angle * reach**2)), _MOST)
    radius, angle = reach * np.sqrt(generator.random(count)), generator.uniform(-1.0, 1.0, count)
    angle *= settings.half_angle
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


def _octaves(smallest: float, largest: float) -> list[tuple[float, float]]:
    edges = [largest]
    while edges[-1] > smallest:
        edges.append(max(edges[-1] / 2.0, smallest))
    return list(zip(edges[1:], edges, strict=False))


def _make_craters(points: np.ndarray, settings: TerrainSettings, generator: np.random.Generator) -> np.ndarray:
    heights = np.zeros(len(points))
    tree = cKDTree(points)
    for low, high in _octaves(_SMALLEST_CRATER, _LARGEST_CRATER):
        density = settings.crater_density * _SATURATION * (low**-2.0 - high**-2.0)
        places = _scatter(high, density, _CRATER_PIXELS, settings, generator)
        radii = 0.5 * draw_sizes(low, high, 2.0, len(places), generator)
        depths = 2.0 * radii * np.clip(0.1 * np.exp(0.5 * generator.standard_normal(len(places))), 0.02, 0.22)
        for place, radius, depth in zip(places, radii, depths, strict=True):
            near = np.asarray(tree.query_ball_point(place, 2.5 * radius), dtype=np.int64)
            # The camera stands in no crater, and a crater of a few cells is none.
            if len(near) < 12 or np.hypot(*place) < 1.5 * radius:
                continue
            reach = np.linalg.norm(points[near] - place, axis=1) / radius
            bowl = depth * (reach**2 - 1.0)
            rim = 0.2 * depth * np.exp(-((reach - 1.0) ** 2) / np.where(reach < 1.0, 0.03, 0.25))
            heights[near] += np.where(reach < 1.0, bowl, 0.0) + rim
    return heights


def _lay_rocks(
    ground: Mesh, settings: TerrainSettings, generator: np.random.Generator
) -> tuple[Mesh, np.ndarray, np.ndarray]:
    """Rocks as one mesh, identifiers per face, albedo per vertex."""
    slope = settings.rock_slope
    smallest = max(_ROCK_PIXELS * settings.pixel * settings.height, 0.02)
    moment = 2.0 - slope
    covered = np.log(_LARGEST_ROCK / smallest)
    if abs(moment) > 1e-6:
        covered = (_LARGEST_ROCK**moment - smallest**moment) / moment
    scale = settings.rock_cover / (0.25 * np.pi * slope * covered)
    tree = cKDTree(ground.vertices[:, :2])
    shapes = {level: [rock(level, generator) for _ in range(_SHAPES)] for level in (1, 2, 3)}
    vertices, faces, identifiers, albedo = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], [], []
    number = offset = 0
    for low, high in _octaves(smallest, _LARGEST_ROCK):
        places = _scatter(high, scale * (low**-slope - high**-slope), _ROCK_PIXELS, settings, generator)
        sizes = draw_sizes(low, high, slope, len(places), generator)
        if not len(places):
            continue
        heights = ground.vertices[tree.query(places)[1], 2]
        for place, size, height in zip(places, sizes, heights, strict=True):
            distance = float(np.hypot(*place))
            # None so near that it hides everything.
            if distance < 2.0 * size or distance < 0.5 * settings.height:
                continue
            seen = size / (settings.pixel * max(distance, settings.height))
            shape = shapes[1 if seen < 8.0 else 2 if seen < 30.0 else 3][generator.integers(_SHAPES)]
            turn = generator.uniform(0.0, 2.0 * np.pi)
            basis = np.array([[np.cos(turn), np.sin(turn), 0.0], [-np.sin(turn), np.cos(turn), 0.0], [0.0, 0.0, 1.0]])
            flat = np.array([1.0, 1.0, generator.uniform(0.6, 1.0)])
            up = height + size * flat[2] * (0.5 - generator.uniform(0.1, 0.45))
            vertices.append(np.array([*place, up]) + 0.5 * size * (shape.vertices * flat) @ basis)
            faces.append(shape.faces + offset)
            identifiers.append(np.full(len(shape.faces), BOULDER_IDENTIFIERS[0] + number, dtype=np.int32))
            shade = float(np.clip(generator.normal(1.15, 0.15), 0.7, 1.7))
            albedo.append(np.full(len(shape.vertices), shade, dtype=np.float32))
            number, offset = number + 1, offset + len(shape.vertices)
    return (
        Mesh(np.concatenate(vertices), np.concatenate(faces).astype(np.int32)),
        np.concatenate(identifiers) if identifiers else np.zeros(0, dtype=np.int32),
        np.concatenate(albedo) if albedo else np.zeros(0, dtype=np.float32),
    )
