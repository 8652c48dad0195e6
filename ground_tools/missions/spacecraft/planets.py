"""What is behind a craft: black sky with stars, the Earth, the Moon; drawn, so that no map of them is needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ground_tools.bodies.noise import fractal_noise
from ground_tools.rendering.geometry import View, camera_axes, pixel_directions

Kind = Literal["earth", "moon"]
BACKGROUNDS = ("sky", "earth", "moon")
# Angular radii, degrees: from a low orbit to a high one.
_RADII_DEG: dict[Kind, tuple[float, float]] = {"earth": (8.0, 66.0), "moon": (4.0, 60.0)}
# Height of the Earth's atmosphere as it is seen, in the Earth's radii.
_AIR = 0.008
_MOST_STARS, _MOST_CRATERS = 250, 500


@dataclass(frozen=True)
class Planet:
    """A planet or moon behind a craft.

    Attributes:
        kind: which.
        direction: of its middle, (3,) float64, unit vector in the craft's frame.
        angular_radius: radians.
        mean_radiance: of its disk, red, green, blue; a white surface that faces the sun has 1.
    """

    kind: Kind
    direction: np.ndarray
    angular_radius: float
    mean_radiance: tuple[float, float, float] = (0.0, 0.0, 0.0)


def draw_planet(kind: Kind, view: View, generator: np.random.Generator) -> Planet:
    """A planet that shows in a view, its limb or nothing but its ground. view: in the craft's frame."""
    low, high = np.log(np.radians(_RADII_DEG[kind]))
    radius = float(np.exp(generator.uniform(low, high)))
    half = np.radians(view.field_of_view_deg) / 2.0
    off, around = (
        radius * generator.uniform(0.0, 1.0) + half * generator.uniform(-0.6, 0.6),
        generator.uniform(-np.pi, np.pi),
    )
    x, y, z = camera_axes(view)
    return Planet(kind, np.cos(off) * z + np.sin(off) * (np.cos(around) * x + np.sin(around) * y), radius)


def paint_background(
    planet: Planet | None, view: View, shape: tuple[int, int], generator: np.random.Generator
) -> tuple[np.ndarray, Planet | None]:
    """What is behind a craft, and the planet with its radiance.

    Args:
        planet: the one that is there; None: black sky.
        view: camera and sun in the craft's frame.
        shape: height and width, pixels.
        generator: of the stars, the ground and the clouds.

    Returns:
        (H, W, 3) float32, linear radiance; the planet.
    """
    sky = _paint_stars(shape, generator)
    if planet is None:
        return sky.reshape(*shape, 3), None
    rays = pixel_directions(view, shape)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    cosine = rays @ planet.direction
    # The planet's middle is at distance 1.
    size = np.sin(planet.angular_radius)
    inside = cosine**2 - np.cos(planet.angular_radius) ** 2
    hit = (cosine > 0.0) & (inside > 0.0)
    if planet.kind == "earth":
        sky += _air_beyond_limb(rays, cosine, planet, view.sun)
    if hit.any():
        distance = cosine[hit] - np.sqrt(inside[hit])
        normals = (distance[:, None] * rays[hit] - planet.direction) / size
        pixel = 2.0 * np.tan(np.radians(view.field_of_view_deg) / 2.0) / shape[1] * float(distance.min()) / size
        paint = _paint_earth if planet.kind == "earth" else _paint_moon
        ground = paint(normals, -rays[hit], view.sun, pixel, generator)
        sky[hit] = ground
        planet = replace(planet, mean_radiance=tuple(ground.mean(axis=0).tolist()))
    return np.clip(sky, 0.0, None).astype(np.float32).reshape(*shape, 3), planet


def _paint_stars(shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Black, or with stars: a long exposure. (H * W, 3) float64."""
    sky = np.zeros((shape[0] * shape[1], 3))
    if generator.random() < 0.5:
        count = int(generator.integers(1, _MOST_STARS))
        places = generator.integers(0, len(sky), count)
        levels = 0.02 * generator.pareto(1.5, count).clip(0.0, 40.0)
        sky[places] = levels[:, None] * generator.normal(1.0, 0.08, (count, 3)).clip(0.7, 1.3)
    return sky


def _octaves(pixel: float, base: float) -> int:
    """How many octaves of noise end at the size of a pixel, both in the planet's radius."""
    return int(np.clip(np.log2(1.0 / (pixel * base)), 3, 11))


def _smooth_step(values: np.ndarray, low: float, high: float) -> np.ndarray:
    part = np.clip((values - low) / (high - low), 0.0, 1.0)
    smooth: np.ndarray = part * part * (3.0 - 2.0 * part)
    return smooth


def _air_beyond_limb(rays: np.ndarray, cosine: np.ndarray, planet: Planet, sun: np.ndarray) -> np.ndarray:
    """The thin blue line of the atmosphere above a lit limb, (N, 3) float64."""
    # How far a ray passes from the middle, in the planet's radii.
    nearest = np.sqrt(np.clip(1.0 - cosine**2, 0.0, None)) / np.sin(planet.angular_radius)
    above = np.clip(nearest - 1.0, 0.0, None)
    towards = cosine[:, None] * rays - planet.direction
    towards /= np.maximum(np.linalg.norm(towards, axis=1, keepdims=True), 1e-12)
    lit = np.clip(towards @ sun + 0.1, 0.0, 1.0) * (cosine > 0.0)
    glow: np.ndarray = (np.exp(-above / _AIR) * lit)[:, None] * np.array([0.16, 0.30, 0.55])
    return glow


def _paint_earth(
    normals: np.ndarray, towards_camera: np.ndarray, sun: np.ndarray, pixel: float, generator: np.random.Generator
) -> np.ndarray:
    """Ocean with the sun's glint, land, clouds and air: (N, 3) float64, radiance.

    normals, towards_camera: (N, 3) float64, unit vectors. pixel: its size on the ground, in the planet's radius.
    """
    count = _octaves(pixel, 1.6)
    points = normals + 2.0
    land = fractal_noise(points, 1.6, count, 0.55, generator, order=1)
    dry = fractal_noise(points, 3.0, max(count - 2, 3), 0.6, generator, order=1)
    warped = points + 0.12 * np.stack([land, dry, land * dry], axis=1)
    cloud = fractal_noise(warped, 2.4, count, 0.62, generator, order=1)
    height = land - generator.uniform(-0.3, 0.9)
    green, desert = np.array([0.05, 0.08, 0.03]), np.array([0.30, 0.22, 0.13])
    share = _smooth_step(dry, -0.6, 1.2)[:, None]
    ground = green * (1.0 - share) + desert * share
    ground *= 1.0 + 0.25 * np.tanh(land)[:, None]
    on_land = _smooth_step(height, -0.02, 0.02)[:, None]
    facing = np.clip(normals @ sun, 0.0, None)
    half = sun + towards_camera
    half /= np.maximum(np.linalg.norm(half, axis=1, keepdims=True), 1e-12)
    glint = 0.5 * np.clip(np.sum(half * normals, axis=1), 0.0, 1.0) ** 60
    ocean = np.array([0.010, 0.025, 0.055]) + glint[:, None]
    low = generator.uniform(-0.6, 1.0)
    cover = _smooth_step(cloud, low, low + 1.4)[:, None]
    surface = (ocean * (1.0 - on_land) + ground * on_land) * (1.0 - cover) + 0.72 * cover
    # The longer the way through the air, the more of its blue.
    slant = np.clip(np.sum(normals * towards_camera, axis=1), 0.03, 1.0)
    veil = 1.0 - np.exp(-0.09 / slant)
    air = np.array([0.35, 0.58, 1.0]) * 0.55
    seen: np.ndarray = (surface * (1.0 - veil[:, None]) + air * veil[:, None]) * facing[:, None]
    return seen


def _paint_moon(
    normals: np.ndarray, towards_camera: np.ndarray, sun: np.ndarray, pixel: float, generator: np.random.Generator
) -> np.ndarray:
    """Plains, highlands and craters under Lommel and Seeliger's reflection: (N, 3) float64, radiance.

    Arguments as of _paint_earth.
    """
    count = _octaves(pixel, 1.2)
    points = normals + 2.0
    plains = _smooth_step(fractal_noise(points, 1.2, count, 0.5, generator, order=1), -0.2, 0.6)
    fine = fractal_noise(points, 8.0, max(count - 3, 3), 0.75, generator, order=1)
    albedo = (0.20 - 0.09 * plains) * (1.0 + 0.10 * np.tanh(fine))
    tilted = normals - _crater_slopes(normals, pixel, generator)
    tilted /= np.linalg.norm(tilted, axis=1, keepdims=True)
    incidence, emission = (
        np.clip(tilted @ sun, 0.0, None),
        np.clip(np.sum(normals * towards_camera, axis=1), 0.05, None),
    )
    incidence *= normals @ sun > -0.05
    radiance = albedo * 2.0 * incidence / (incidence + emission)
    seen: np.ndarray = radiance[:, None] * np.array([1.0, 0.97, 0.92])
    return seen


def _crater_slopes(normals: np.ndarray, pixel: float, generator: np.random.Generator) -> np.ndarray:
    """The slopes of craters, of which there are the more the smaller they are: (N, 3) float64, uphill."""
    slopes = np.zeros_like(normals)
    # Of single precision: which points a crater holds is all that it decides.
    places = normals.astype(np.float32)
    for center in generator.integers(0, len(normals), int(generator.integers(100, _MOST_CRATERS))):
        radius = min(pixel * 3.0 * (1.0 - generator.random()) ** (-1.0 / 1.6), 0.2)
        depth, middle = generator.uniform(0.05, 0.3), normals[center]
        near = np.flatnonzero(places @ middle.astype(np.float32) > np.cos(min(2.0 * radius, 1.5)))
        away = normals[near] - middle
        distance = np.linalg.norm(away, axis=1)
        part = distance / radius
        # A bowl, and beyond its rim a slope that ends within a radius.
        steep = np.where(part < 1.0, 2.0 * depth * part, -depth * np.exp(-(part - 1.0) / 0.25))
        slopes[near] += (steep / np.maximum(distance, 1e-9))[:, None] * away
    return slopes
