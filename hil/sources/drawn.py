"""Drawn bodies: a lit sphere with craters, boulders and truth. No rendering, and unlike the images of training.

They stand in where a scenario is about geometry (a point of light, a near surface, two bodies, the night side) and not
about how well the networks know a body. Frames are 8-bit; the camera looks along z, x is right and y down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hil.scenarios.source_tables import DrawnSource
from hil.sources.frames import TRUTH_CLASSES, Frame, FrameStream

_SURFACE, _CRATER, _BOULDER, _TERMINATOR = 1, 2, 3, 4
# Radius of the body in km, for the header's range.
_BODY_KM = 0.25
# Range in body diameters at which it fills the frame: the field of view of the shipped flyby, 10 degrees.
_DIAMETERS_AT_D0 = 0.5 / math.tan(math.radians(5.0))
_SKY, _NOISE_DN, _BRIGHTEST = 4.0, 1.5, 205.0
_DISPLAY_GAMMA = 2.2
# Below this radius in pixels a body is drawn so many times larger, and averaged.
_SMALL_PX, _OVERSAMPLING = 12.0, 8
# Half the width of the terminator's region, pixels; and its limits over the body's radius.
_TERMINATOR_PX, _LEAST_BAND, _MOST_BAND = 4.0, 0.02, 0.2
_TEXTURE, _TEXTURE_PAD = (512, 1024), 64
# Over the body's radius.
_CRATER_RADII, _LARGEST_BOULDER = (0.05, 0.3), 0.1
_SECOND_AT_DEG = 25.0


@dataclass(frozen=True)
class _Relief:
    """Features of a sphere: unit vectors (N, 3), angular radii (N,); texture: albedo by latitude and longitude."""

    craters: NDArray[np.float64]
    crater_radii: NDArray[np.float64]
    boulders: NDArray[np.float64]
    boulder_radii: NDArray[np.float64]
    texture: NDArray[np.float32]


@dataclass
class _Canvas:
    """Brightness 0..1 before the display encoding, and classes."""

    light: NDArray[np.float32]
    truth: NDArray[np.uint8]


class DrawnFrames(FrameStream):
    """Frames of a drawn body.

    Args:
        source: what is drawn.
        count: number of frames.
    """

    classes = TRUTH_CLASSES

    def __init__(self, source: DrawnSource, count: int) -> None:
        self.name = "drawn body"
        self._source, self._count = source, count
        self._relief = _make_relief(source, source.seed)
        self._second = _make_relief(source, source.seed + 1)

    def __len__(self) -> int:
        return self._count

    def frame(self, index: int) -> Frame:
        source = self._source
        progress = index / (self._count - 1) if self._count > 1 else 0.5
        range_d0 = math.exp(_interpolate([math.log(value) for value in source.range_d0], progress))
        phase = math.radians(_interpolate(list(source.phase_deg), progress))
        # To the sun; at phase 0 it is behind the camera.
        sun = np.array([math.sin(phase) * 0.94, math.sin(phase) * -0.34, -math.cos(phase)])
        sun /= np.linalg.norm(sun)
        side = source.sensor_px
        radius = side / (2.0 * range_d0)
        drift = source.drift_px * math.sin(2.0 * math.pi * progress)
        x, y = (side - 1) / 2.0 + drift, (side - 1) / 2.0 - 0.4 * drift
        spin = math.radians(source.spin_deg * progress)
        canvas = _Canvas(np.zeros((side, side), np.float32), np.zeros((side, side), np.uint8))
        if source.second_body:
            away = radius * (1.0 + source.second_gap + source.second_body)
            angle = math.radians(_SECOND_AT_DEG)
            at = (x + away * math.cos(angle), y + away * math.sin(angle))
            _draw_body(canvas, self._second, at, radius * source.second_body, sun, -spin)
        _draw_body(canvas, self._relief, (x, y), radius, sun, spin)
        pixels = _encode(canvas, np.random.default_rng([source.seed, index]))
        range_km = 2.0 * _BODY_KM * _DIAMETERS_AT_D0 * range_d0
        geometry = {"range_km": range_km, "sun_direction_camera": [float(value) for value in sun]}
        return Frame(pixels, 8, None, geometry, canvas.truth)


class DrawnBody:
    """One drawn body wherever it is asked for; for frames that depend on more than their number.

    Args:
        source: what is drawn.
    """

    def __init__(self, source: DrawnSource) -> None:
        self._source = source
        self._relief = _make_relief(source, source.seed)

    def frame(
        self, center: tuple[float, float], radius: float, sun: NDArray[np.float64], spin: float, seed: int
    ) -> NDArray[np.uint8]:
        """Draw it.

        Args:
            center: x, y, pixels.
            radius: pixels.
            sun: unit vector to the sun in the camera's axes.
            spin: about the image's y, radians.
            seed: of the noise.

        Returns:
            (sensor_px, sensor_px).
        """
        side = self._source.sensor_px
        canvas = _Canvas(np.zeros((side, side), np.float32), np.zeros((side, side), np.uint8))
        _draw_body(canvas, self._relief, center, radius, sun, spin)
        return _encode(canvas, np.random.default_rng([self._source.seed, seed]))


def _encode(canvas: _Canvas, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A canvas as an 8-bit frame with noise."""
    dn = _BRIGHTEST * np.clip(canvas.light, 0.0, 1.0) ** (1.0 / _DISPLAY_GAMMA) + _SKY
    dn += generator.standard_normal(dn.shape, dtype=np.float32) * _NOISE_DN
    return np.clip(np.rint(dn), 0, 255).astype(np.uint8)


def open_drawn(source: DrawnSource, beside: Path, count: int) -> FrameStream:
    """Open a drawn body; see hil.sources.registry.open_frames."""
    return DrawnFrames(source, count)


def _interpolate(values: list[float], progress: float) -> float:
    return float(np.interp(progress, np.linspace(0.0, 1.0, len(values)), values))


def _make_relief(source: DrawnSource, seed: int) -> _Relief:
    generator = np.random.default_rng(seed)

    def directions(count: int) -> NDArray[np.float64]:
        vectors = generator.standard_normal((count, 3))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def radii(count: int, least: float, most: float) -> NDArray[np.float64]:
        # Many small ones: a power law of exponent -2 between the limits.
        share = generator.random(count)
        return least * most / (most - share * (most - least))

    grain = generator.normal(0.0, 1.0, _TEXTURE).astype(np.float32)
    # Longitudes go round: what is blurred has its other end beside it.
    around = np.pad(grain, ((0, 0), (_TEXTURE_PAD, _TEXTURE_PAD)), mode="wrap")
    texture = sum(cv2.GaussianBlur(around, (0, 0), sigma) * sigma for sigma in (1.0, 4.0, 16.0))
    texture = np.asarray(texture)[:, _TEXTURE_PAD:-_TEXTURE_PAD]
    texture = np.clip(1.0 + 0.12 * texture, 0.5, 1.5).astype(np.float32)
    return _Relief(
        directions(source.craters),
        radii(source.craters, *_CRATER_RADII),
        directions(source.boulders),
        radii(source.boulders, source.smallest_boulder, _LARGEST_BOULDER),
        texture,
    )


def _draw_body(
    canvas: _Canvas,
    relief: _Relief,
    center: tuple[float, float],
    radius: float,
    sun: NDArray[np.float64],
    spin: float,
) -> None:
    """Draw a body over what the canvas has. center: x, y, pixels; radius: pixels; spin: about y, radians."""
    if radius >= _SMALL_PX:
        _draw_sphere(canvas, relief, center, radius, sun, spin)
        return
    half = math.ceil(radius) + 2
    left, top = round(center[0]) - half, round(center[1]) - half
    side, many = 2 * half + 1, _OVERSAMPLING
    large = _Canvas(np.zeros((side * many,) * 2, np.float32), np.zeros((side * many,) * 2, np.uint8))
    at = ((center[0] - left + 0.5) * many - 0.5, (center[1] - top + 0.5) * many - 0.5)
    _draw_sphere(large, relief, at, radius * many, sun, spin)
    light = cv2.resize(large.light, (side, side), interpolation=cv2.INTER_AREA)
    covered = cv2.resize((large.truth > 0).astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    middle = large.truth[many // 2 :: many, many // 2 :: many]
    rows, columns, inner_rows, inner_columns = _clip_box(canvas.light.shape, top, left, side)
    part = (inner_rows, inner_columns)
    on_body = covered[part] > 0.5
    canvas.light[rows, columns] = (1.0 - covered[part]) * canvas.light[rows, columns] + light[part]
    canvas.truth[rows, columns] = np.where(on_body, np.maximum(middle[part], _SURFACE), canvas.truth[rows, columns])


def _clip_box(shape: tuple[int, ...], top: int, left: int, side: int) -> tuple[slice, slice, slice, slice]:
    """The part of a square that lies on the canvas: its rows and columns there, and in the square itself."""
    rows = slice(min(max(top, 0), shape[0]), max(min(top + side, shape[0]), 0))
    columns = slice(min(max(left, 0), shape[1]), max(min(left + side, shape[1]), 0))
    inner = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    return rows, columns, *inner


def _draw_sphere(
    canvas: _Canvas,
    relief: _Relief,
    center: tuple[float, float],
    radius: float,
    sun: NDArray[np.float64],
    spin: float,
) -> None:
    height, width = canvas.light.shape
    v, u = np.mgrid[:height, :width].astype(np.float32)
    x, y = (u - center[0]) / radius, (v - center[1]) / radius
    square = x * x + y * y
    inside = square <= 1.0
    if not inside.any():
        return
    clean = np.stack([x, y, -np.sqrt(np.clip(1.0 - square, 0.0, 1.0))], axis=-1).astype(np.float32)
    turn = np.array(
        [[math.cos(spin), 0.0, math.sin(spin)], [0.0, 1.0, 0.0], [-math.sin(spin), 0.0, math.cos(spin)]],
        dtype=np.float32,
    )
    albedo = _look_up(relief.texture, clean @ turn)
    normals, truth = clean.copy(), np.where(inside, _SURFACE, 0).astype(np.uint8)
    place = _Place(center, radius, clean, normals, albedo, truth, inside)
    for vector, size in zip(relief.craters @ turn.T, relief.crater_radii, strict=True):
        _add_feature(place, vector, size, _CRATER, sun)
    for vector, size in zip(relief.boulders @ turn.T, relief.boulder_radii, strict=True):
        _add_feature(place, vector, size, _BOULDER, sun)
    incidence = clean @ sun.astype(np.float32)
    band = min(max(_TERMINATOR_PX / radius, _LEAST_BAND), _MOST_BAND)
    inner = cv2.erode(np.pad(inside, 3, mode="edge").astype(np.uint8), np.ones((7, 7), np.uint8))[3:-3, 3:-3] > 0
    truth[inner & (np.abs(incidence) < band)] = _TERMINATOR
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    lit, seen = np.clip(normals @ sun.astype(np.float32), 0.0, 1.0), np.clip(-normals[..., 2], 0.05, 1.0)
    # Lommel and Seeliger's law of single scattering, as dark, rough bodies follow it; no light past the terminator.
    light = np.where(incidence > 0.0, albedo * 2.0 * lit / (lit + seen), 0.0)
    canvas.light[inside] = light[inside]
    canvas.truth[inside] = truth[inside]


@dataclass
class _Place:
    """A sphere on a canvas: its pixels' normals, as a clean sphere and with features; (H, W, 3) and (H, W)."""

    center: tuple[float, float]
    radius: float
    clean: NDArray[np.float32]
    normals: NDArray[np.float32]
    albedo: NDArray[np.float32]
    truth: NDArray[np.uint8]
    inside: NDArray[np.bool_]


def _look_up(texture: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = texture.shape
    latitude = (np.arcsin(np.clip(vectors[..., 1], -1.0, 1.0)) / math.pi + 0.5) * (rows - 1)
    longitude = (np.arctan2(vectors[..., 0], vectors[..., 2]) / (2.0 * math.pi) + 0.5) * (columns - 1)
    found = cv2.remap(
        texture, longitude.astype(np.float32), latitude.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    return np.asarray(found, dtype=np.float32)


def _add_feature(place: _Place, vector: NDArray[np.float64], size: float, kind: int, sun: NDArray[np.float64]) -> None:
    """Bend normals into a bowl or a dome, and mark it in the truth; of a boulder its shadow, too."""
    if vector[2] > math.sin(size):
        return  # on the far side
    reach = 2.5 if kind == _BOULDER else 1.2
    half = math.ceil(place.radius * size * reach) + 2
    left, top = (
        round(place.center[0] + place.radius * vector[0]) - half,
        round(place.center[1] + place.radius * vector[1]) - half,
    )
    rows, columns, _, _ = _clip_box(place.truth.shape, top, left, 2 * half + 1)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    part = (rows, columns)
    clean, inside = place.clean[part], place.inside[part]
    away = clean - vector.astype(np.float32)
    distance = np.sqrt((away * away).sum(axis=-1)) / size
    outward = away / np.maximum(distance * size, 1e-6)[..., None]
    core = inside & (distance < 1.0)
    if kind == _CRATER:
        tilt = np.where(distance < 0.85, -0.7 * distance, np.where(distance < 1.15, 0.5, 0.0))
        place.normals[part] += (np.where(inside, tilt, 0.0)[..., None] * outward).astype(np.float32)
        place.truth[part][core] = _CRATER
        return
    # The shadow of a dome: the same disc, shifted away from the sun along the surface.
    shift = sun - (sun @ vector) * vector
    shaded = clean - (vector - 1.1 * size * shift).astype(np.float32)
    shadow = inside & ((shaded * shaded).sum(axis=-1) < (1.1 * size) ** 2) & ~core
    place.albedo[part][shadow] *= 0.25
    place.normals[part][core] += (1.3 * distance[..., None] * outward)[core].astype(np.float32)
    place.albedo[part][core] = np.maximum(place.albedo[part][core], 1.0) * 1.15
    place.truth[part][core] = _BOULDER
