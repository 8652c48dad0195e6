"""Views of a body's ground from close by, and the sites on which they are taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from msgspec import Meta

from ground_tools.bodies.enhanced_body import BodyParts, EnhancedBody
from ground_tools.bodies.meshes import face_normals, random_surface_points, tangent_frames
from ground_tools.bodies.reliefs import Relief, analytic_relief
from ground_tools.bodies.sites import SiteSettings, make_site
from ground_tools.foundation.expectations import format_toml_value
from ground_tools.foundation.structures import FieldError, TomlTable
from ground_tools.rendering.geometry import FIELD_OF_VIEW_DEG, View, reference_range
from ground_tools.rendering.rays import make_scene

_TRIES = 200
# Of one site, cameras differ in distance by this factor at most, and the sun stands up to so far from the zenith.
_DISTANCE_SPREAD, _FARTHEST_SUN_DEG = 1.25, 84.0
_ANALYTIC_RELIEFS = 12


class Range(NamedTuple):
    """Least and largest value."""

    least: Annotated[float, Meta(ge=0)]
    most: Annotated[float, Meta(ge=0)]


class CloseRange(TomlTable, frozen=True):
    """Views of the ground from close by. What is drawn for each site is drawn between two values."""

    distance_d0: Annotated[
        Range, Meta(description="distance of the camera from the ground that it looks at, D0; by its logarithm")
    ]
    views: Annotated[int, Meta(ge=1, le=50, description="views of each site, each with a sun of its own")] = 5
    emission_deg: Annotated[Range, Meta(description="angle of the line of sight from the vertical, degrees")] = Range(
        0.0, 70.0
    )
    rock_slope: Annotated[
        Range, Meta(description="cumulative power-law index of the rocks' diameters, N(> D) ~ D^-index")
    ] = Range(2.2, 3.5)
    rock_cover: Annotated[Range, Meta(description="share of the ground covered by rocks; by its logarithm")] = Range(
        0.004, 0.25
    )
    crater_density: Annotated[
        Range, Meta(description="density of small craters, as a share of geometric saturation; by its logarithm")
    ] = Range(0.003, 0.1)
    roughness: Annotated[
        Range, Meta(description="standard deviation of the relief of a facet, as a share of its edge")
    ] = Range(0.01, 0.06)

    def __post_init__(self) -> None:
        for name in ("distance_d0", "emission_deg", "rock_slope", "rock_cover", "crater_density", "roughness"):
            least, most = getattr(self, name)
            if least > most:
                raise FieldError(name, "[least, most]", format_toml_value([least, most]))
        for name in ("distance_d0", "rock_slope", "rock_cover", "crater_density"):
            if getattr(self, name).least <= 0.0:
                raise FieldError(name, "numbers > 0", format_toml_value(list(getattr(self, name))))


@dataclass(frozen=True)
class Site:
    """A body with the terrain of one site, and the views of it."""

    body: EnhancedBody
    views: list[View]


class Ground:
    """The ground of a body, on which sites are chosen."""

    def __init__(self, body: EnhancedBody, parts: BodyParts) -> None:
        """Take the enhanced body and what it was made from: its reliefs are those of the sites' craters."""
        self._body = body
        self._reliefs: list[Relief] = [relief for reliefs in parts.reliefs for relief in reliefs]
        self._scene = make_scene(body.ground, body.extent)
        self._corners = body.ground.vertices[body.ground.faces[:, 0]]
        self._areas = face_normals(body.ground)

    def site(self, settings: CloseRange, size: int, seed: list[int]) -> Site:
        """Choose a place, make its terrain, and look at it.

        Args:
            settings: between what values.
            size: of the images, pixels.
            seed: of everything; the same one gives the same site.
        """
        generator = np.random.default_rng(seed)
        distance = _between(settings.distance_d0, generator) * reference_range(self._body.extent)
        place, normal, cameras = self._choose_place(settings, distance, generator)
        terrain = SiteSettings(
            distance=distance,
            width=2.0 * distance * np.tan(np.radians(FIELD_OF_VIEW_DEG) / 2.0),
            pixels=size,
            rock_slope=generator.uniform(*settings.rock_slope),
            rock_cover=_between(settings.rock_cover, generator),
            crater_density=_between(settings.crater_density, generator),
            roughness=generator.uniform(*settings.roughness),
        )
        reliefs = self._reliefs + [analytic_relief(generator) for _ in range(_ANALYTIC_RELIEFS)]
        body = make_site(self._body, place, normal, terrain, reliefs, generator)
        views = [View(camera, _tilted(normal, (0.0, _FARTHEST_SUN_DEG), generator), place) for camera in cameras]
        return Site(body, views)

    def _choose_place(
        self, settings: CloseRange, distance: float, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """A place on the ground, its upward direction there, and cameras that see it."""
        for _ in range(_TRIES):
            points, normals = random_surface_points(self._body.ground, 1, generator)
            normal = self._broad_normal(points[0], normals[0], distance)
            cameras = []
            for _ in range(settings.views):
                spread = _DISTANCE_SPREAD ** generator.uniform(-1.0, 1.0)
                cameras.append(points[0] + spread * distance * _tilted(normal, settings.emission_deg, generator))
            if all(self._sees(camera, points[0]) for camera in cameras):
                return points[0], normal, cameras
        raise ValueError(
            f"body {self._body.name}: no place was found that {settings.views} cameras see; tried {_TRIES}"
        )

    def _broad_normal(self, place: np.ndarray, normal: np.ndarray, distance: float) -> np.ndarray:
        """The mean upward direction over what an image shows: of a single facet it would be that of its relief."""
        reach = 0.5 * distance * np.tan(np.radians(FIELD_OF_VIEW_DEG))
        near = (np.linalg.norm(self._corners - place, axis=1) < reach) & (self._areas @ normal > 0.0)
        mean = self._areas[near].sum(axis=0) if near.any() else normal
        found: np.ndarray = mean / np.linalg.norm(mean)
        return found

    def _sees(self, camera: np.ndarray, place: np.ndarray) -> bool:
        """Whether the first thing on the line of sight is what it aims at."""
        towards = place - camera
        distance = float(np.linalg.norm(towards))
        unit = self._body.extent
        hits = self._scene.run(
            (camera / unit).astype(np.float32)[None], (towards / distance).astype(np.float32)[None], output=True
        )
        return bool(hits["primID"][0] >= 0 and abs(float(hits["tfar"][0]) * unit - distance) < 0.02 * distance)


def _between(values: Range, generator: np.random.Generator) -> float:
    """A number between two, uniform in its logarithm."""
    return float(np.exp(generator.uniform(np.log(values.least), np.log(values.most))))


def _tilted(normal: np.ndarray, angles_deg: tuple[float, float], generator: np.random.Generator) -> np.ndarray:
    """A unit vector at an angle between two from the normal, in any azimuth."""
    first, second = (tangent[0] for tangent in tangent_frames(normal[None]))
    angle, azimuth = np.radians(generator.uniform(*angles_deg)), generator.uniform(0.0, 2.0 * np.pi)
    sideways = np.cos(azimuth) * first + np.sin(azimuth) * second
    found: np.ndarray = np.cos(angle) * normal + np.sin(angle) * sideways
    return found
