"""Images of bodies, spoiled beyond use: by the optics, by motion, by the link, by the memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]


# A smaller body shows no relief that could be spoiled: its outline is all there is.
_LEAST_BODY_SIDE = 40.0


def can_be_spoiled(image: NDArray[np.uint8]) -> bool:
    """Whether the body in an image is large enough to show relief."""
    return _body_side(image) >= _LEAST_BODY_SIDE


def _unit(good: NDArray[np.uint8]) -> Image:
    return good.astype(np.float32) / 255.0


def _find_body(good: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The largest part that is brighter than the sky and its noise, (H, W) bool."""
    sky, peak = float(np.percentile(good, 5)), float(np.percentile(good, 99.8))
    bright = cv2.medianBlur(good, 5) > sky + 0.25 * (peak - sky)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(bright.astype(np.uint8), connectivity=8)
    if count < 2:
        return np.zeros(good.shape, dtype=np.bool_)
    return np.asarray(labels == 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax()))


def _body_side(good: NDArray[np.uint8]) -> float:
    """Side of the square of the body's lit area, pixels."""
    return float(np.sqrt(max(np.count_nonzero(_find_body(good)), 64)))


def _defocus(random: np.random.Generator, good: NDArray[np.uint8]) -> Image:
    """So far out of focus that no relief is left: a disc of confusion of a third of the body or more."""
    radius = max(int(0.5 * random.uniform(0.35, 0.9) * _body_side(good)), 2)
    kernel = np.zeros((2 * radius + 1,) * 2, np.float32)
    cv2.circle(kernel, (radius, radius), radius, (1.0,), -1)
    blurred = cv2.filter2D(_unit(good), -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return blurred + random.normal(0.0, random.uniform(0.001, 0.02), good.shape).astype(np.float32)


def _smear(random: np.random.Generator, good: NDArray[np.uint8]) -> Image:
    """Moved during the exposure by half of the body or more."""
    length = max(int(random.uniform(0.5, 1.5) * _body_side(good)), 4)
    angle = random.uniform(0.0, np.pi)
    kernel = np.zeros((2 * length + 1,) * 2, np.float32)
    step = (round(length * np.cos(angle)), round(length * np.sin(angle)))
    cv2.line(kernel, (length - step[0], length - step[1]), (length + step[0], length + step[1]), (1.0,), 1)
    smeared = cv2.filter2D(_unit(good), -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return smeared + random.normal(0.0, random.uniform(0.001, 0.02), good.shape).astype(np.float32)


def _bit_errors(random: np.random.Generator, good: NDArray[np.uint8]) -> Image:
    """Bits turned round, shifted, or wrong in many pixels."""
    way = int(random.integers(0, 4))
    if way == 0:
        spoiled = np.packbits(np.unpackbits(good[..., None], axis=-1)[..., ::-1], axis=-1)[..., 0]
    elif way == 1:
        # By so much that the brightest pixels run over: less would be an exposure of another length.
        least = max(9 - int(good.max()).bit_length(), 2)
        spoiled = (good.astype(np.uint16) << least + int(random.integers(0, 3))).astype(np.uint8)
    else:
        flips = random.random((*good.shape, 8)) < random.uniform(0.05, 0.5)
        spoiled = good ^ np.packbits(flips, axis=-1)[..., 0]
    return _unit(spoiled)


def _half_frame(random: np.random.Generator, good: NDArray[np.uint8]) -> Image:
    """The rest of the rows never came: zeros, white, or the last row again, cutting the body in two."""
    image = _unit(good) + random.normal(0.0, 0.004, good.shape).astype(np.float32)
    lit = np.flatnonzero(_find_body(good).any(axis=1))
    last = int(lit[0] + random.uniform(0.25, 0.75) * (lit[-1] - lit[0]))
    way = int(random.integers(0, 3))
    image[last:] = (0.0, 1.0, image[last - 1])[way] if last else 0.0
    return image[::-1].copy() if random.random() < 0.3 else image


def _wrong_geometry(random: np.random.Generator, good: NDArray[np.uint8]) -> Image:
    """Rows of a wrong length, tiles out of place, or lines of two moments."""
    image = _unit(good)
    rows, columns = image.shape
    way = int(random.integers(0, 3))
    if way == 0:
        shift = int(random.choice([-1, 1])) * int(random.integers(2, max(columns // 10, 3)))
        return np.stack([np.roll(row, shift * number) for number, row in enumerate(image)])
    if way == 1:
        # Tiles in which the body does not find room.
        fitting = [count for count in (4, 8, 16) if max(rows, columns) / count < 0.7 * _body_side(good)]
        parts = int(random.choice(fitting or [32]))
        height, width = rows // parts, columns // parts
        tiles = [
            image[r * height : (r + 1) * height, c * width : (c + 1) * width]
            for r in range(parts)
            for c in range(parts)
        ]
        order = random.permutation(len(tiles))
        return np.block([[tiles[order[r * parts + c]] for c in range(parts)] for r in range(parts)])
    offset = int(random.uniform(0.3, 0.6) * columns)
    group = int(random.choice([1, 2, 8]))
    image[(np.arange(rows) // group) % 2 == 1] = np.roll(image, offset, axis=1)[(np.arange(rows) // group) % 2 == 1]
    return image


SPOILED_KINDS: dict[str, Callable[[np.random.Generator, NDArray[np.uint8]], Image]] = {
    "defocus": _defocus,
    "smear": _smear,
    "bit errors": _bit_errors,
    "half-transmitted frames": _half_frame,
    "wrong geometry": _wrong_geometry,
}
