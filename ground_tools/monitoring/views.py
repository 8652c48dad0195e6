"""Frames of bodies as a camera may give them: a set's images in larger frames, nearer or farther, darker, noisier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ground_tools.datasets.noise import noise_seeded_by_image
from ground_tools.datasets.store import LoadedSet, load, read_description

Image = NDArray[Any]
_SIDES = (256, 384, 512, 768)


@dataclass(frozen=True)
class Split:
    """One split of a set. noisy: whether its networks see images with the set's noise; real ones have their own."""

    loaded: LoadedSet
    noisy: bool

    def image(self, number: int) -> NDArray[np.uint8]:
        """An image as the set's networks see it. Returns (H, W) uint8."""
        image = np.asarray(self.loaded.images[number])
        return np.rint(noise_seeded_by_image(image) * 255.0).astype(np.uint8) if self.noisy else image


def read_split(path: Path, split: str) -> Split:
    """Read a split of a set."""
    return Split(load(path, split), read_description(path).get("noise") is not None)


def place_in_frame(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """An image of a body somewhere in a frame, at another distance, exposure, focus and noise. (H, W) uint8."""
    frame: Image = image.astype(np.float32) / 255.0
    if random.random() < 0.6:
        frame = _put_somewhere(frame, random)
    frame = frame * np.exp(random.uniform(np.log(0.3), np.log(1.2))) + random.uniform(0.0, 0.06)
    if random.random() < 0.4:
        frame = cv2.GaussianBlur(frame, (0, 0), random.uniform(0.3, 1.5))
    if random.random() < 0.85:
        sigma = np.exp(random.uniform(np.log(0.0008), np.log(0.03)))
        frame = frame + random.normal(0.0, sigma, frame.shape).astype(np.float32)
    return np.rint(np.clip(frame, 0.0, 1.0) * 255.0).astype(np.uint8)


def _put_somewhere(image: Image, random: np.random.Generator) -> Image:
    """The image, scaled, in a larger frame whose sky has its 5th percentile; at least half of it stays inside."""
    scale = float(np.exp(random.uniform(np.log(0.15), np.log(4.0))))
    method = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC
    body = cv2.resize(image, None, fx=scale, fy=scale, interpolation=method)
    width = int(random.choice(_SIDES))
    height = round(width * float(random.choice([1.0, 0.75, 9 / 16])))
    rows, columns = body.shape
    y = int(random.integers(-rows // 4, max(height - 3 * rows // 4, 1)))
    x = int(random.integers(-columns // 4, max(width - 3 * columns // 4, 1)))
    top, left, bottom, right = max(y, 0), max(x, 0), min(y + rows, height), min(x + columns, width)
    frame = np.full((height, width), float(np.percentile(image, 5)), np.float32)
    frame[top:bottom, left:right] = body[top - y : bottom - y, left - x : right - x]
    return frame


def make_views(part: Split, count: int, copies: int, seed: int) -> Iterator[tuple[NDArray[np.uint8], bool]]:
    """Frames made of a split's images: each as it is, and `copies` times placed in a frame.

    Args:
        part: the split.
        count: of images, evenly through the split; all if it has fewer.
        copies: of each image.
        seed: of the draws.

    Yields:
        (H, W) uint8, and whether the body is in the middle, so that it is taken whole.
    """
    length = len(part.loaded)
    for number in np.unique(np.linspace(0, length - 1, min(count, length)).astype(int)):
        image = part.image(int(number))
        yield image, True
        for copy in range(copies):
            yield place_in_frame(image, np.random.default_rng([seed, int(number), copy])), False
