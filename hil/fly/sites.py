"""Landing sites: the ground below, the choice by maps and by brightness, and how far the nearest hazard truly is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.client import LandingCircle
from hil.fly.plan import random_rotation
from hil.fly.scenario import Descent
from hil.fly.scenery import FIRST_OBJECT, Scenery, SceneryError
from hil.fly.states import Vector
from hil.sources.poses import look_along
from hil.sources.renderer import CameraView

Frame = NDArray[np.uint8] | NDArray[np.uint16]

_TRIES = 100
# The vertical is the normal of a plane through the ground this far around, over the body's extent.
_PATCH, _PATCH_POINTS = 0.06, 24
# Farther from the direction to the centre of mass, the ground is a cliff.
_STEEPEST_DEG = 40.0
# Another site must be so much better than the present one.
_BETTER = 1.3
# Width of the view in which the truth around the touchdown is seen, over the body's extent.
_TRUTH_WIDTH = 0.15
# Darker than this share of the frame's brightest hundredth, the ground is not seen.
_DARK = 0.25


@dataclass(frozen=True)
class Site:
    """A place on the ground. place: (3,), body-fixed, km; worth: the larger, the better; radius_km: of its circle."""

    place: Vector
    worth: float
    radius_km: float


@dataclass(frozen=True)
class Ground:
    """Where a descent begins to aim: (3,) body-fixed each, place in km, unit vectors up and to the sun at time 0."""

    place: Vector
    up: Vector
    sun: Vector


@dataclass(frozen=True)
class Look:
    """A frame as the lander has it: the camera's body-fixed place and axes as they are known, and the plane ahead."""

    pixels: Frame
    bit_depth: int
    camera_km: Vector
    axes: NDArray[np.float64]
    plane: Vector
    up: Vector
    focal_px: float
    height_km: float

    def ground_point(self, x: float, y: float) -> Vector:
        """Where a sensor pixel meets the plane, (3,), body-fixed, km."""
        middle = 0.5 * (self.pixels.shape[0] - 1)
        towards = self.axes.T @ np.array([(x - middle) / self.focal_px, (y - middle) / self.focal_px, 1.0])
        along = float((self.plane - self.camera_km) @ self.up) / float(towards @ self.up)
        return self.camera_km + along * towards

    def pixel_of(self, place: Vector) -> tuple[float, float]:
        """The sensor pixel that shows a place."""
        x, y, z = self.axes @ (place - self.camera_km)
        middle = 0.5 * (self.pixels.shape[0] - 1)
        return middle + self.focal_px * float(x / z), middle + self.focal_px * float(y / z)

    def reachable(self, place: Vector, way: Descent) -> bool:
        """Whether there is time to go there."""
        aside = (place - self.camera_km) - float((place - self.camera_km) @ self.up) * self.up
        return float(np.linalg.norm(aside)) <= way.divert * self.height_km


def choose_circle(
    look: Look, way: Descent, circles: Sequence[LandingCircle], lander_km: float, present: Vector
) -> Site | None:
    """The landing circle to go to: the largest that can be reached, or the present site's while that is nearly as good.

    Args:
        look: the frame.
        way: the descent.
        circles: of the frame's map.
        lander_km: radius of the lander.
        present: the site so far, (3,), body-fixed, km.
    """
    best: Site | None = None
    stay = 0.0
    scale = look.height_km / look.focal_px
    x, y = look.pixel_of(present)
    for circle in circles:
        stay = max(stay, scale * (circle.radius - math.hypot(circle.x - x, circle.y - y)))
        place, radius_km = look.ground_point(circle.x, circle.y), scale * circle.radius
        if look.reachable(place, way) and (best is None or radius_km > best.worth):
            best = Site(place, radius_km, radius_km)
    if stay >= lander_km and (best is None or best.worth < _BETTER * stay):
        return Site(present, stay, stay)
    return best


def choose_by_variance(look: Look, way: Descent, lander_km: float, present: Vector) -> Site | None:
    """The place of the least variance of brightness over a square as wide as the lander: what is done without maps.

    Args:
        look: the frame.
        way: the descent.
        lander_km: radius of the lander.
        present: the site so far, (3,), body-fixed, km.
    """
    image = look.pixels.astype(np.float32) / np.float32((1 << look.bit_depth) - 1)
    radius_px = lander_km * look.focal_px / look.height_km
    side = max(2 * math.ceil(radius_px) + 1, 3)
    mean = cv2.blur(image, (side, side))
    variance = np.asarray(np.maximum(cv2.blur(image * image, (side, side)) - mean * mean, 0.0), dtype=np.float64)
    reach = way.divert * look.focal_px
    rows, columns = np.indices(image.shape)
    x, y = look.pixel_of(look.camera_km - look.up)
    allowed = (mean > _DARK * np.percentile(image, 99.0)) & (np.hypot(columns - x, rows - y) < reach)
    margin = side // 2
    allowed[:margin] = allowed[-margin:] = allowed[:, :margin] = allowed[:, -margin:] = False
    if not allowed.any():
        return None
    row, column = np.unravel_index(int(np.argmin(np.where(allowed, variance, np.inf))), image.shape)
    here_x, here_y = (round(value) for value in look.pixel_of(present))
    inside = 0 <= here_x < image.shape[1] and 0 <= here_y < image.shape[0]
    if inside and allowed[here_y, here_x] and variance[here_y, here_x] < _BETTER * variance[row, column]:
        return Site(present, -float(variance[here_y, here_x]), lander_km)
    return Site(look.ground_point(float(column), float(row)), -float(variance[row, column]), lander_km)


def measure_miss(scenery: Scenery, touched: Vector, up: Vector, lander_km: float) -> float:
    """From a touchdown to the nearest hazard wider than the lander's radius, km; negative inside of one.

    Args:
        scenery: the body.
        touched: (3,), body-fixed, km.
        up: (3,), unit vector.
        lander_km: radius of the lander.
    """
    width = _TRUTH_WIDTH * scenery.extent_km
    height = width * scenery.d0_km / scenery.extent_km
    across = np.array([1.0, 0.0, 0.0]) if abs(up[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    objects = scenery.objects(CameraView(touched + height * up, look_along(-up, across), up))
    scale = width / scenery.size
    numbers, which, counts = np.unique(objects, return_inverse=True, return_counts=True)
    wide = 2.0 * np.sqrt(counts / np.pi) * scale > lander_km
    hazard = ((numbers >= FIRST_OBJECT) & wide)[which].reshape(objects.shape).astype(np.uint8)
    middle = scenery.size // 2
    if hazard[middle, middle]:
        return -scale * float(cv2.distanceTransform(hazard, cv2.DIST_L2, 5)[middle, middle])
    if not hazard.any():
        return 0.5 * width  # there is none as far as the view goes
    return scale * float(cv2.distanceTransform(1 - hazard, cv2.DIST_L2, 5)[middle, middle])


def choose_ground(scenery: Scenery, way: Descent, height_km: float, generator: np.random.Generator) -> Ground:
    """A place that the camera sees from above, its vertical, and a sun.

    Raises:
        SceneryError: none was found.
    """
    far = 3.0 * scenery.extent_km
    for _ in range(_TRIES):
        outward = generator.standard_normal(3)
        outward /= np.linalg.norm(outward)
        (distance,) = scenery.ranges(far * outward[None], -outward[None])
        first, _, _ = random_rotation(generator)
        if not math.isfinite(distance):
            continue
        place = (far - distance) * outward
        up = _vertical(scenery, place, outward)
        if up is None or math.degrees(math.acos(min(float(up @ outward), 1.0))) > _STEEPEST_DEG:
            continue
        (seen,) = scenery.ranges((place + height_km * up)[None], -up[None])
        if abs(seen - height_km) < 0.01 * height_km:
            aside = np.cross(up, first)
            aside /= np.linalg.norm(aside)
            angle = math.radians(way.sun_deg)
            return Ground(place, up, math.cos(angle) * up + math.sin(angle) * aside)
    raise SceneryError(f"body {scenery.name}: expected a place that is seen from above, got none in {_TRIES} tries")


def _vertical(scenery: Scenery, place: Vector, outward: Vector) -> Vector | None:
    """Normal of the plane through the ground around a place, by least squares; None beside a cliff."""
    angles = 2.0 * np.pi * np.arange(_PATCH_POINTS) / _PATCH_POINTS
    across = look_along(outward, np.array([0.0, 0.0, 1.0]) if abs(outward[2]) < 0.9 else np.array([1.0, 0.0, 0.0]))
    reach = _PATCH * scenery.extent_km
    ring = reach * (np.cos(angles)[:, None] * across[0] + np.sin(angles)[:, None] * across[1])
    origins = place + ring + scenery.extent_km * outward
    distance = scenery.ranges(origins, np.tile(-outward, (_PATCH_POINTS, 1)))
    if not np.isfinite(distance).all():
        return None
    points = origins - distance[:, None] * outward
    _, _, axes = np.linalg.svd(points - points.mean(axis=0))
    normal: Vector = axes[2] if axes[2] @ outward > 0.0 else -axes[2]
    return normal
