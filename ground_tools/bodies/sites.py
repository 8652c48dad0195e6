"""Sites: a place on a body with the fine terrain that a camera sees from close by.

Detail falls with the distance from the camera, so that everywhere a facet is about a pixel: faces are divided where
they are too large, and small craters and rocks are laid where they would be seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from ground_tools.bodies.boulders import draw_sizes, rock
from ground_tools.bodies.enhanced_body import EnhancedBody
from ground_tools.bodies.meshes import Mesh, face_normals, random_surface_points, tangent_frames, vertex_normals
from ground_tools.bodies.noise import fractal_noise
from ground_tools.bodies.reliefs import REACH, Relief
from ground_tools.bodies.subdivision import subdivide
from ground_tools.labels.classes import BOULDER_IDENTIFIERS, CRATER_IDENTIFIERS, SURFACE_IDENTIFIER

# Facets are this large, in pixels, and rocks and craters this large or larger (diameters).
_FACET_PIXELS, _ROCK_PIXELS, _CRATER_PIXELS = 1.3, 2.0, 5.0
# How far from the site they are made, in widths of the image: an oblique view shows more than one.
_REACH = 2.0
# The largest ones, as shares of the width that the image shows at the site.
_LARGEST_ROCK, _LARGEST_CRATER = 0.3, 0.6
# A crater shallower than this (depth over diameter) is worn: relief, but no crater to a person who looks.
_LEAST_DEPTH = 0.1
_MOST_CRATERS, _MOST_ROCKS = 400, 5_000
_SHAPES = 8
# Cumulative slope of the sizes of craters in equilibrium, and the areal density at geometric saturation: the number
# per area larger than D is at most 1.54 D^-2 (Gault 1970).
_CRATER_SLOPE, _SATURATION = 2.0, 1.54
_MOTTLING, _ROCK_SHADES = 0.05, 0.1


@dataclass(frozen=True)
class SiteSettings:
    """What the terrain of a site is like.

    distance: of the camera, in the body's units. width: of the image at that distance. pixels: the image's side.
    rock_slope: cumulative power-law index of rock sizes, N(> D) ~ D^-rock_slope. rock_cover: share of the ground that
    rocks cover. crater_density: share of geometric saturation, 0..1. roughness: standard deviation of the relief of a
    facet, as a share of its edge.
    """

    distance: float
    width: float
    pixels: int
    rock_slope: float
    rock_cover: float
    crater_density: float
    roughness: float

    @property
    def pixel(self) -> float:
        """Side of a pixel at the site, in the body's units."""
        return self.width / self.pixels

    def pixel_at(self, distances: np.ndarray) -> np.ndarray:
        """Side of a pixel at distances from the site, at least."""
        return self.pixel * np.hypot(1.0, distances / self.distance)


def make_site(
    body: EnhancedBody,
    place: np.ndarray,
    normal: np.ndarray,
    settings: SiteSettings,
    reliefs: list[Relief],
    generator: np.random.Generator,
) -> EnhancedBody:
    """The body with fine terrain about a place on its ground; its own rocks give way to the site's.

    Args:
        body: the enhanced body.
        place: (3,) float64 on its ground, kilometres.
        normal: (3,) float64 unit vector, outward.
        settings: of the terrain.
        reliefs: one of which each crater has.
        generator: of every random choice.

    Returns:
        The body; identifiers of the site's craters follow those of the body's own.
    """
    ground, albedo, identifiers = _refine(body, place, normal, settings, generator)
    ground, identifiers = _lay_craters(ground, identifiers, place, normal, settings, reliefs, generator)
    rocks, rock_identifiers, rock_albedo = _lay_rocks(ground, place, normal, settings, generator)
    return replace(
        body,
        ground=ground,
        ground_identifiers=identifiers,
        ground_albedo=albedo,
        rocks=rocks,
        rock_identifiers=rock_identifiers,
        rock_albedo=rock_albedo,
    )


def _refine(
    body: EnhancedBody, place: np.ndarray, normal: np.ndarray, settings: SiteSettings, generator: np.random.Generator
) -> tuple[Mesh, np.ndarray, np.ndarray]:
    """The ground with facets of about a pixel, its albedo per vertex and its identifiers per face."""
    mesh, albedo, identifiers = body.ground, body.ground_albedo.astype(np.float64), body.ground_identifiers
    while True:
        corners = mesh.vertices[mesh.faces]
        edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
        centres = corners.mean(axis=1) - place
        coarse = edges > 2.0 * _FACET_PIXELS * settings.pixel_at(np.linalg.norm(centres, axis=1))
        # What lies beyond the horizon or far outside of the image stays as it is.
        near = np.linalg.norm(centres - (centres @ normal)[:, None] * normal, axis=1) < _REACH * settings.width
        chosen = coarse & near & (face_normals(mesh) @ normal > 0.0)
        if not chosen.any():
            break
        mesh, parents, ends = subdivide(mesh, chosen)
        identifiers = identifiers[parents]
        old = len(mesh.vertices) - len(ends.first)
        # Relief of the new vertices in proportion to the edges that they divide: a fractal surface.
        bump = settings.roughness * ends.lengths * generator.standard_normal(len(ends.first)) * ends.inner
        mesh.vertices[old:] += bump[:, None] * ends.normals
        albedo = np.concatenate([albedo, 0.5 * (albedo[ends.first] + albedo[ends.second])])
    fine = fractal_noise((mesh.vertices - place) / settings.width, 3.0, 5, 0.6, generator)
    return mesh, np.clip(albedo * (1.0 + _MOTTLING * fine), 0.6, 1.5).astype(np.float32), identifiers


def _octaves(smallest: float, largest: float) -> list[tuple[float, float]]:
    """Ranges of sizes that double, from the largest down."""
    edges = [largest]
    while edges[-1] > smallest:
        edges.append(max(edges[-1] / 2.0, smallest))
    return list(zip(edges[1:], edges, strict=False))


@dataclass(frozen=True)
class _Seen:
    """The part of the ground about a site that faces up. distances: of its faces from the site, (F,). areas: (F,)."""

    mesh: Mesh
    distances: np.ndarray
    areas: np.ndarray


def _find_seen(mesh: Mesh, place: np.ndarray, normal: np.ndarray, settings: SiteSettings) -> _Seen:
    corners = mesh.vertices[mesh.faces]
    cross = face_normals(mesh)
    distances = np.linalg.norm(corners.mean(axis=1) - place, axis=1)
    seen = (distances < _REACH * settings.width) & (cross @ normal > 0.0)
    areas = 0.5 * np.linalg.norm(cross[seen], axis=1)
    return _Seen(Mesh(mesh.vertices, mesh.faces[seen]), distances[seen], areas)


def _scatter(
    ground: _Seen,
    settings: SiteSettings,
    largest: float,
    least_pixels: float,
    density: float,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Random places for things of up to a size, `density` of them per area: points and normals, (N, 3) each.

    They lie where such a thing is `least_pixels` or more.
    """
    ratio = max(largest / (least_pixels * settings.pixel), 1.0)
    within = ground.distances < settings.distance * np.sqrt(ratio**2 - 1.0) + 0.8 * settings.width
    if not within.any():
        return np.zeros((0, 3)), np.zeros((0, 3))
    part = Mesh(ground.mesh.vertices, ground.mesh.faces[within])
    return random_surface_points(part, int(generator.poisson(density * ground.areas[within].sum())), generator)


def _lay_craters(
    mesh: Mesh,
    identifiers: np.ndarray,
    place: np.ndarray,
    normal: np.ndarray,
    settings: SiteSettings,
    reliefs: list[Relief],
    generator: np.random.Generator,
) -> tuple[Mesh, np.ndarray]:
    """Press small craters into the ground, the largest first. Returns it and its identifiers per face."""
    slope, number = _CRATER_SLOPE, int(identifiers.max()) - CRATER_IDENTIFIERS + 1
    number = max(number, 0)
    vertices = mesh.vertices.copy()
    owner = np.zeros(len(vertices), dtype=np.int32)
    touched_by = np.zeros(len(vertices), dtype=bool)
    tree = cKDTree(mesh.vertices)
    normals = vertex_normals(mesh)
    laid = 0
    ground = _find_seen(mesh, place, normal, settings)
    for low, high in _octaves(_CRATER_PIXELS * settings.pixel, _LARGEST_CRATER * settings.width):
        density = settings.crater_density * _SATURATION * (low**-slope - high**-slope)
        points, _ = _scatter(ground, settings, high, _CRATER_PIXELS, density, generator)
        points = points[: _MOST_CRATERS - laid]
        for point, radius in zip(points, 0.5 * draw_sizes(low, high, slope, len(points), generator), strict=True):
            depth = 2.0 * radius * float(np.clip(0.13 * np.exp(0.35 * generator.standard_normal()), 0.03, 0.22))
            relief = reliefs[generator.integers(len(reliefs))]
            near = np.asarray(tree.query_ball_point(point, REACH * radius), dtype=np.int64)
            near = near[normals[near] @ normal > 0.0] if len(near) else near
            if len(near) == 0:
                continue
            axis = normals[near].mean(axis=0)
            axis /= np.linalg.norm(axis)
            height, inside = _sample_relief(relief, mesh.vertices[near], point, axis, radius)
            vertices[near] += (depth * height)[:, None] * axis
            within = near[inside]
            touched_by[within] = True
            owner[within] = CRATER_IDENTIFIERS + number if depth >= _LEAST_DEPTH * 2.0 * radius else SURFACE_IDENTIFIER
            number += 1
            laid += 1
    return Mesh(vertices, mesh.faces), _owners(mesh.faces, identifiers, owner, touched_by)


def _sample_relief(
    relief: Relief, points: np.ndarray, centre: np.ndarray, axis: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Heights of a relief at points about a crater's centre, in depths, and which of them lie inside its rim."""
    first, second = (tangent[0] for tangent in tangent_frames(axis[None]))
    offset = (points - centre) / radius
    samples = relief.heights.shape[0]
    across = np.rint((offset @ first / REACH + 1.0) * 0.5 * (samples - 1)).astype(int).clip(0, samples - 1)
    down = np.rint((offset @ second / REACH + 1.0) * 0.5 * (samples - 1)).astype(int).clip(0, samples - 1)
    return relief.heights[down, across].astype(np.float64), relief.inside[down, across] > 0.5


def _owners(faces: np.ndarray, identifiers: np.ndarray, owner: np.ndarray, touched: np.ndarray) -> np.ndarray:
    """Identifiers per face, where two of three corners lie in one crater of the site."""
    corners = np.sort(owner[faces], axis=1)
    found = (corners[:, 0] == corners[:, 1]) | (corners[:, 1] == corners[:, 2])
    inside = found & (touched[faces].sum(axis=1) >= 2) & (corners[:, 1] > 0)
    return np.where(inside, corners[:, 1], identifiers).astype(np.int32)


def _lay_rocks(
    mesh: Mesh, place: np.ndarray, normal: np.ndarray, settings: SiteSettings, generator: np.random.Generator
) -> tuple[Mesh, np.ndarray, np.ndarray]:
    """Rocks about the site: one mesh, identifiers per face, albedo per vertex."""
    slope = settings.rock_slope
    smallest, largest = _ROCK_PIXELS * settings.pixel, _LARGEST_ROCK * settings.width
    # The number per area larger than D is k D^-slope; the area that they cover gives k.
    moment = 2.0 - slope
    covered = np.log(largest / smallest) if abs(moment) < 1e-6 else (largest**moment - smallest**moment) / moment
    scale = settings.rock_cover / (0.25 * np.pi * slope * covered)
    shapes = {level: [rock(level, generator) for _ in range(_SHAPES)] for level in (1, 2, 3)}
    ground = _find_seen(mesh, place, normal, settings)
    groups: list[_Rocks] = []
    count = 0
    for low, high in _octaves(smallest, largest):
        density = scale * (low**-slope - high**-slope)
        points, normals = _scatter(ground, settings, high, _ROCK_PIXELS, density, generator)
        points, normals = points[: _MOST_ROCKS - count], normals[: _MOST_ROCKS - count]
        level = 1 if high < 8.0 * settings.pixel else 2 if high < 24.0 * settings.pixel else 3
        diameters = draw_sizes(low, high, slope, len(points), generator)
        kinds = generator.integers(_SHAPES, size=len(points))
        for kind, shape in enumerate(shapes[level]):
            own = kinds == kind
            groups.append(_put(shape, points[own], normals[own], 0.5 * diameters[own], generator))
        count += len(points)
    return _join(groups, count, generator)


@dataclass(frozen=True)
class _Rocks:
    """N rocks of one shape. vertices: (N, V, 3). faces: (F, 3), of one of them."""

    vertices: np.ndarray
    faces: np.ndarray


def _put(shape: Mesh, points: np.ndarray, up: np.ndarray, radii: np.ndarray, generator: np.random.Generator) -> _Rocks:
    """Rocks on the ground, turned and sunk into it. points, up: (N, 3). radii: (N,)."""
    turns, buried = generator.uniform(0.0, 2.0 * np.pi, len(points)), generator.uniform(0.0, 0.4, len(points))
    first, second = tangent_frames(up) if len(points) else (points, points)
    cosine, sine = np.cos(turns)[:, None], np.sin(turns)[:, None]
    basis = np.stack([cosine * first + sine * second, -sine * first + cosine * second, up], axis=1)
    centres = points + up * (radii * (0.5 - buried))[:, None]
    return _Rocks(centres[:, None] + radii[:, None, None] * (shape.vertices @ basis), shape.faces)


def _join(groups: list[_Rocks], count: int, generator: np.random.Generator) -> tuple[Mesh, np.ndarray, np.ndarray]:
    """Rocks as one mesh, their identifiers per face, their albedo per vertex."""
    shades = np.clip(1.0 + _ROCK_SHADES * generator.standard_normal(count), 0.6, 1.4).astype(np.float32)
    vertices, faces, identifiers, albedo = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], [], []
    first, number = 0, 0
    for group in groups:
        rocks, corners = group.vertices.shape[:2]
        vertices.append(group.vertices.reshape(-1, 3))
        faces.append((group.faces + first + corners * np.arange(rocks)[:, None, None]).reshape(-1, 3))
        numbers = np.arange(number, number + rocks)
        identifiers.append(np.repeat(BOULDER_IDENTIFIERS[0] + numbers, len(group.faces)))
        albedo.append(np.repeat(shades[numbers], corners))
        first, number = first + rocks * corners, number + rocks
    return (
        Mesh(np.concatenate(vertices), np.concatenate(faces).astype(np.int32)),
        np.concatenate(identifiers).astype(np.int32),
        np.concatenate(albedo).astype(np.float32),
    )
