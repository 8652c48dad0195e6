"""What a camera does to an image beyond exposure, blur and noise: of the camera model of the bench, in training's form.

    x = smear(x) * gain, clipped;  x += Normal(0, sqrt(x / W)) + columns;  hot pixels, dead pixels

W is the full well in electrons; a small one is a short exposure that the gain makes bright again. The same arithmetic
serves NumPy and JAX, so that equal draws give equal images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

# At strength 1: longest smear, pixels; standard deviation of the gain's logarithm; logarithm of the full well,
# electrons, least and largest; standard deviation of the columns' offsets; largest shares of hot and of dead pixels.
SMEAR = 3.0
GAIN = 0.35
FULL_WELL = (6.0, 10.5)
COLUMNS = 0.01
HOT, DEAD = 1e-3, 1e-3
# Hot pixels are at least half as bright as can be.
HOT_LEVEL = 0.5
# Samples along the smear, and how far it reaches.
_SAMPLES, _REACH = 9, 2


@dataclass(frozen=True)
class Draws:
    """Random numbers of one image: 0..1 where they are not said to be normal (standard normal).

    angle, length, well, hot_share, dead_share: (). gain: (), normal. noise: (H, W), normal. columns: (W,), normal.
    spots, level: (H, W).
    """

    angle: Any
    length: Any
    gain: Any
    well: Any
    noise: Any
    columns: Any
    hot_share: Any
    dead_share: Any
    spots: Any
    level: Any


def add_defects(image: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    """An image as a worse camera takes it. image: (H, W) float32 in [0, 1]. strength: 0 none. Returns the same kind."""
    if strength <= 0.0:
        return image
    draws = Draws(
        *(generator.random(), generator.random(), generator.standard_normal(), generator.random()),
        *(generator.standard_normal(image.shape), generator.standard_normal(image.shape[1])),
        *(generator.random(), generator.random(), generator.random(image.shape), generator.random(image.shape)),
    )
    spoilt: np.ndarray = spoil(np, image, strength, draws).astype(np.float32)
    return spoilt


def spoil(xp: Any, image: Any, strength: float, draws: Draws) -> Any:
    """The defects of given draws. xp: numpy or jax.numpy. image: (H, W) float32 in [0, 1]. Returns (H, W) in [0, 1]."""
    x = _smear(xp, image, strength * SMEAR * draws.length, np.pi * draws.angle)
    x = xp.clip(x * xp.exp(strength * GAIN * draws.gain), 0.0, 1.0)
    # The weaker the defects, the larger the well.
    electrons = xp.exp(FULL_WELL[1] - strength * (FULL_WELL[1] - FULL_WELL[0]) * draws.well)
    x = x + xp.sqrt(x / electrons) * draws.noise + strength * COLUMNS * draws.columns[None]
    hot, dead = strength * HOT * draws.hot_share, strength * DEAD * draws.dead_share
    x = xp.where(draws.spots < hot, HOT_LEVEL + (1.0 - HOT_LEVEL) * draws.level, x)
    x = xp.where(draws.spots > 1.0 - dead, 0.0, x)
    return xp.clip(x, 0.0, 1.0)


def _smear(xp: Any, image: Any, length: Any, angle: Any) -> Any:
    """The mean of the image along a line of so many pixels; beyond its edges, their pixels go on."""
    steps = (np.arange(_SAMPLES, dtype=np.float32) / (_SAMPLES - 1) - 0.5) * length
    rows, columns = steps * xp.sin(angle), steps * xp.cos(angle)
    height, width = image.shape
    padded = xp.pad(image, _REACH, mode="edge")
    total = xp.zeros_like(image)
    for down in range(-_REACH, _REACH + 1):
        for right in range(-_REACH, _REACH + 1):
            # Linear between pixels: a sample's share is spread over the four that are nearest.
            near = xp.maximum(0.0, 1.0 - abs(rows - down)) * xp.maximum(0.0, 1.0 - abs(columns - right))
            part = padded[_REACH + down : _REACH + down + height, _REACH + right : _REACH + right + width]
            total = total + near.mean() * part
    return total
