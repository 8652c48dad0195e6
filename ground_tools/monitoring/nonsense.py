"""Frames that show no body, or show it spoiled beyond use: what a camera, a cable or a mistake may send.

The service must make nothing of any of them. Twenty kinds; the frames of a kind differ in size, level, strength and
bit depth. Each is drawn from its kind and number alone, so that a frame of a table can be made again.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ground_tools.monitoring.spoiling import SPOILED_KINDS

Image = NDArray[Any]
# Of suites; the one to judge by shares no frame with the one to fit on.
FITTING_SEED, JUDGING_SEED = 1, 2
SIDES = (128, 192, 256, 384, 512, 768, 1024)


@dataclass(frozen=True)
class NonsenseFrame:
    """A frame that must not become a usable map.

    Attributes:
        kind: key of KINDS.
        number: of the frame within its kind.
        pixels: (H, W) uint8 or uint16.
        bit_depth: bits in use, 8 or 12.
    """

    kind: str
    number: int
    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    bit_depth: int


def _shape(random: np.random.Generator) -> tuple[int, int]:
    """Height and width: square, 4:3 or 16:9."""
    width = int(random.choice(SIDES))
    return round(width * float(random.choice([1.0, 1.0, 0.75, 9 / 16]))), width


def _noise(random: np.random.Generator, shape: tuple[int, int], low: float = 0.001, high: float = 0.02) -> Image:
    """Gaussian noise, sigma from low to high of full scale, evenly in its logarithm."""
    sigma = float(np.exp(random.uniform(np.log(low), np.log(high))))
    return random.normal(0.0, sigma, shape).astype(np.float32)


def _grid(shape: tuple[int, int]) -> tuple[Image, Image]:
    """Rows and columns, each in units of the larger side, the middle at 0."""
    rows, columns = np.indices(shape, dtype=np.float32)
    side = max(shape)
    return (rows - shape[0] / 2) / side, (columns - shape[1] / 2) / side


def rough_field(random: np.random.Generator, shape: tuple[int, int], slope: float) -> Image:
    """A random field whose amplitude falls with frequency to the power -slope; mean 0, standard deviation 1."""
    v, u = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
    frequency = np.hypot(v, u)
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(random.normal(0.0, 1.0, shape)) / frequency**slope
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, s=shape)
    return np.asarray(field / field.std(), dtype=np.float32)


def _sensor_noise(random: np.random.Generator, _good: NDArray[np.uint8]) -> Image:
    shape = _shape(random)
    sigma = float(np.exp(random.uniform(np.log(1 / 255), np.log(60 / 255))))
    return (random.uniform(1.0, 5.0) * sigma + random.normal(0.0, sigma, shape)).astype(np.float32)


def _shot_noise(random: np.random.Generator, _good: NDArray[np.uint8]) -> Image:
    shape = _shape(random)
    electrons = float(np.exp(random.uniform(np.log(0.3), np.log(300.0))))
    image = random.poisson(electrons, shape) * random.uniform(0.05, 0.6) / (electrons + 3.0 * np.sqrt(electrons) + 1.0)
    return (image + _noise(random, (shape[0], 1), 0.0005, 0.01) + _noise(random, shape)).astype(np.float32)


def _correlated_noise(random: np.random.Generator, _good: NDArray[np.uint8]) -> Image:
    """Noise that a compressor or an interpolation has smoothed."""
    shape = _shape(random)
    smooth = cv2.GaussianBlur(random.normal(0.0, 1.0, shape).astype(np.float32), (0, 0), random.uniform(0.7, 6.0))
    return (random.uniform(0.02, 0.4) + random.uniform(0.01, 0.12) * smooth / smooth.std()).astype(np.float32)


def _stars(random: np.random.Generator, _good: NDArray[np.uint8]) -> Image:
    shape = _shape(random)
    image = np.zeros(shape, np.float32)
    width = random.uniform(0.5, 3.5)
    for _ in range(int(random.choice([1, 2, 3, 5, 20, 100, 400]))):
        row, column = random.integers(0, shape[0]), random.integers(0, shape[1])
        reach = int(4 * width) + 1
        rows = np.arange(max(row - reach, 0), min(row + reach + 1, shape[0]))
        columns = np.arange(max(column - reach, 0), min(column + reach + 1, shape[1]))
        spot = np.exp(-((rows[:, None] - row) ** 2 + (columns[None, :] - column) ** 2) / (2 * width**2))
        image[np.ix_(rows, columns)] += random.uniform(0.05, 2.0) * spot
    return image + random.uniform(0.0, 0.05) + _noise(random, shape)


def _cosmic_rays(random: np.random.Generator, _good: NDArray[np.uint8]) -> Image:
    shape = _shape(random)
    image = np.zeros(shape, np.float32)
    for _ in range(int(random.choice([3, 10, 40, 150]))):
        start = random.integers(0, [shape[1], shape[0]])
        end = start + random.normal(0.0, 0.1 * shape[1], 2).astype(int)
        level, thickness = random.uniform(0.2, 1.0), int(random.integers(1, 5))
        cv2.line(image, tuple(map(int, start)), tuple(map(int, end)), (float(level),), thickness, cv2.LINE_AA)
    return image + random.uniform(0.0, 0.05) + _noise(random, shape)


def _ramp(random: np.random.Generator, _good: NDArray[np.uint8]) -> Image:
    """Stray light: brighter towards one side, or towards a point."""
    shape = _shape(random)
    rows, columns = _grid(shape)
    angle = random.uniform(0.0, 2.0 * np.pi)
    along = columns * np.cos(angle) + rows * np.sin(angle) + 0.7
    around = np.exp(-((np.hypot(rows - random.uniform(-0.7, 0.7), columns - random.uniform(-0.7, 0.7)) / 0.5) ** 2))
    image = np.clip(along / 1.4, 0.0, 1.0) ** random.uniform(0.5, 4.0) if random.random() < 0.6 else around
    return random.uniform(0.05, 1.0) * image + random.uniform(0.0, 0.1) + _noise(random, shape, 0.0005)


def _ghosts(random: np.random.Generator, _good: NDArray[np.uint8]) -> Image:
    """Reflections inside the optics: rings and discs of even brightness with soft edges."""
    shape = _shape(random)
    rows, columns = _grid(shape)
    image = np.zeros(shape, np.float32)
    for _ in range(int(random.integers(1, 6))):
        radius, edge = random.uniform(0.04, 0.35), random.uniform(0.002, 0.05)
        distance = np.hypot(rows - random.uniform(-0.4, 0.4), columns - random.uniform(-0.4, 0.4))
        disc = 1.0 / (1.0 + np.exp(np.clip((distance - radius) / edge, -60, 60)))
        inner = 1.0 / (1.0 + np.exp(np.clip((distance - random.uniform(0.5, 0.9) * radius) / edge, -60, 60)))
        image += random.uniform(0.05, 0.6) * (disc if random.random() < 0.5 else disc - inner)
    return image + random.uniform(0.0, 0.05) + _noise(random, shape, 0.0005)


def _stripes(random: np.random.Generator, _good: NDArray[np.uint8]) -> Image:
    """Interference: waves along rows, columns or aslant."""
    shape = _shape(random)
    rows, columns = _grid(shape)
    angle = float(random.choice([0.0, 0.5 * np.pi, random.uniform(0.0, np.pi)]))
    wave = np.sin(2.0 * np.pi * random.uniform(2.0, 60.0) * (columns * np.cos(angle) + rows * np.sin(angle)))
    wave = np.sign(wave) if random.random() < 0.4 else wave
    return random.uniform(0.03, 0.5) * (wave + 1.0) + random.uniform(0.0, 0.1) + _noise(random, shape)


def _dead_columns(random: np.random.Generator, _good: NDArray[np.uint8]) -> Image:
    shape = _shape(random)
    image = np.full(shape, random.uniform(0.01, 0.1), np.float32)
    for _ in range(int(random.integers(1, 30))):
        first = int(random.integers(0, shape[1]))
        image[:, first : first + int(random.integers(1, max(shape[1] // 12, 2)))] += random.uniform(0.05, 0.9)
    hot = random.random(shape) < random.choice([0.0, 0.001, 0.01])
    image[hot] = random.uniform(0.5, 1.0)
    return image + _noise(random, shape)


def _text(random: np.random.Generator, _good: NDArray[np.uint8]) -> Image:
    shape = _shape(random)
    image = np.full(shape, random.uniform(0.0, 0.1), np.float32)
    size = random.uniform(0.4, 4.0)
    for row in range(int(30 * size), shape[0], int(random.uniform(25, 60) * size)):
        words = "".join(random.choice(list("ABCDEFGHIKLMNOPRSTUVWXYZ 0123456789:.-"), 40))
        place, thick = (int(random.integers(0, 20)), row), int(random.integers(1, 5))
        cv2.putText(image, words, place, cv2.FONT_HERSHEY_SIMPLEX, size, (float(random.uniform(0.3, 1.0)),), thick)
    image = 1.0 - image if random.random() < 0.25 else image
    return image + _noise(random, shape)


def _dead_leaves(random: np.random.Generator, _good: NDArray[np.uint8]) -> Image:
    """A picture of many things: shapes that hide each other, sizes by a power law (Lee, Mumford & Huang 2001)."""
    shape = _shape(random)
    image = np.full(shape, 0.5, np.float32)
    for _ in range(int(random.integers(60, 600))):
        radius = max(shape) * 0.01 * (1.0 - random.random()) ** -0.5
        x, y = int(random.integers(0, shape[1])), int(random.integers(0, shape[0]))
        level, angle = float(random.uniform(0.05, 1.0)), float(random.uniform(0.0, 180.0))
        axes = (int(min(radius, max(shape) / 3)) + 1, int(min(radius, max(shape) / 3) * random.uniform(0.3, 1.0)) + 1)
        if random.random() < 0.5:
            cv2.ellipse(image, (x, y), axes, angle, 0.0, 360.0, (level,), -1)
        else:
            corners = cv2.boxPoints(((x, y), (2.0 * axes[0], 2.0 * axes[1]), angle))
            cv2.fillPoly(image, [corners.astype(np.int32)], (level,))
    light = 1.0 + 0.2 * rough_field(random, shape, 1.5)
    return cv2.GaussianBlur(image * light, (0, 0), random.uniform(0.4, 2.0)) + _noise(random, shape)


def _terrain(random: np.random.Generator, _good: NDArray[np.uint8]) -> Image:
    """Another planet's ground: rough relief lit from one side, with a horizon under a bright sky, or with none."""
    shape = _shape(random)
    relief = rough_field(random, shape, random.uniform(1.2, 2.2))
    across, down = np.gradient(relief, axis=1), np.gradient(relief, axis=0)
    angle = random.uniform(0.0, 2.0 * np.pi)
    slopes = across * np.cos(angle) + down * np.sin(angle)
    image = random.uniform(0.3, 0.6) + random.uniform(0.05, 0.2) * slopes / slopes.std()
    if random.random() < 0.5:
        horizon = shape[0] * random.uniform(0.2, 0.6) + 0.03 * shape[0] * rough_field(random, (8, shape[1]), 1.5)[0]
        sky = np.arange(shape[0])[:, None] < horizon[None, :]
        image = np.where(sky, random.uniform(0.4, 0.9), image)
    return (image + _noise(random, shape)).astype(np.float32)


def _flat_shapes(random: np.random.Generator, _good: NDArray[np.uint8]) -> Image:
    """Discs, rectangles and polygons of one brightness on a dark sky."""
    shape = _shape(random)
    image = np.full(shape, random.uniform(0.0, 0.05), np.float32)
    for _ in range(int(random.choice([1, 1, 1, 2, 4]))):
        side = min(shape) * random.uniform(0.1, 0.45)
        middle = np.array([shape[1], shape[0]]) * random.uniform(0.3, 0.7, 2)
        level, count = float(random.uniform(0.1, 1.0)), int(random.choice([3, 4, 4, 5, 6, 64]))
        turn = 0.25 * np.pi if count == 4 and random.random() < 0.6 else random.uniform(0.0, 2.0 * np.pi)
        angles = turn + 2.0 * np.pi * np.arange(count) / count
        corners = middle + side * np.stack([np.cos(angles), np.sin(angles) * random.uniform(0.5, 1.0)], axis=1)
        cv2.fillPoly(image, [np.rint(corners).astype(np.int32)], (level,))
    return image + (_noise(random, shape) if random.random() < 0.8 else 0.0)


def _saturation(random: np.random.Generator, _good: NDArray[np.uint8]) -> Image:
    """White everywhere, or a white blob that bleeds along its columns."""
    shape = _shape(random)
    if random.random() < 0.3:
        return np.full(shape, 1.0, np.float32) + (_noise(random, shape) if random.random() < 0.5 else 0.0)
    rows, columns = _grid(shape)
    distance = np.hypot(rows / random.uniform(0.6, 1.0), columns) - random.uniform(0.05, 0.4)
    image = np.exp(-np.clip(distance, 0.0, None) / random.uniform(0.01, 0.2)) * random.uniform(1.0, 3.0)
    if random.random() < 0.5:
        image = np.maximum(image, np.where(image > 1.0, 1.0, 0.0).max(axis=0)[None, :] * random.uniform(0.5, 1.0))
    return (image + _noise(random, shape)).astype(np.float32)


def _test_patterns(random: np.random.Generator, _good: NDArray[np.uint8]) -> Image:
    shape = _shape(random)
    rows, columns = np.indices(shape)
    step = int(random.choice([1, 4, 8, 16, 32, 64]))
    choice = int(random.integers(0, 6))
    if choice == 0:
        image = ((rows // step + columns // step) % 2).astype(np.float32)
    elif choice == 1:
        image = (columns // max(shape[1] // 8, 1)) / 8.0
    elif choice == 2:
        image = ((rows * shape[1] + columns) % 256) / 255.0
    elif choice == 3:
        image = ((rows + columns) % 256) / 255.0
    elif choice == 4:
        angle = np.arctan2(rows - shape[0] / 2, columns - shape[1] / 2)
        image = (np.sin(angle * int(random.choice([8, 16, 36]))) > 0).astype(np.float32)
    else:
        image = ((rows % step == 0) | (columns % step == 0)).astype(np.float32)
    return np.asarray(random.uniform(0.2, 1.0) * image, dtype=np.float32)


DRAWN_KINDS: dict[str, Callable[[np.random.Generator, NDArray[np.uint8]], Image]] = {
    "sensor noise": _sensor_noise,
    "shot and row noise": _shot_noise,
    "correlated noise": _correlated_noise,
    "stars": _stars,
    "cosmic rays": _cosmic_rays,
    "stray light": _ramp,
    "ghosts": _ghosts,
    "stripes": _stripes,
    "dead columns": _dead_columns,
    "text": _text,
    "photographs of other things": _dead_leaves,
    "terrain of a planet": _terrain,
    "flat shapes": _flat_shapes,
    "saturation": _saturation,
    "test patterns": _test_patterns,
}
# Kind -> drawing or spoiling function: of a generator and a good image; 0..1, values beyond are clipped.
KINDS = {**DRAWN_KINDS, **SPOILED_KINDS}


def make_frame(kind: str, number: int, good: Sequence[NDArray[np.uint8]], seed: int = 0) -> NonsenseFrame:
    """Make one frame of nonsense.

    Args:
        kind: key of KINDS.
        number: of the frame within its kind.
        good: (H, W) uint8 images of bodies that the spoiled kinds take in turn, see can_be_spoiled.
        seed: of the suite; suites of different seeds share no frame.

    Raises:
        ValueError: an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind}")
    random = np.random.default_rng([seed, number, zlib.crc32(kind.encode())])
    image = np.clip(KINDS[kind](random, good[number % len(good)]), 0.0, 1.0)
    if kind == "sensor noise" or random.random() < 0.8:
        return NonsenseFrame(kind, number, np.rint(image * 255.0).astype(np.uint8), 8)
    return NonsenseFrame(kind, number, np.rint(image * 4095.0).astype(np.uint16), 12)
