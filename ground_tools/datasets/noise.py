"""The noise that loaders put on stored images: the reference paper's, from a recorded seed."""

from __future__ import annotations

import zlib
from typing import Any

import cv2
import numpy as np

NOISE_MEAN = 0.1
NOISE_SIGMA = 0.01
BLUR_SIGMA = 0.1
NOISE_SEED = 1_000_003
# As it stands in dataset.json.
NOISE: dict[str, Any] = {
    "kind": "Gaussian on the image scaled to 0..1, then Gaussian blur",
    "mean": NOISE_MEAN,
    "variance": 1e-4,
    "blur_sigma_px": BLUR_SIGMA,
    "seed": NOISE_SEED,
    "drawn_from": "the seed and the CRC-32 of the image's pixels",
}


def paper_noise(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The reference paper's noise: Gaussian, mean 0.1, variance 1e-4, then a Gaussian blur of 0.1 px.

    image: (H, W) uint8. Returns (H, W) float32 in [0, 1].
    """
    noisy = image.astype(np.float32) / 255.0
    noisy += generator.normal(NOISE_MEAN, NOISE_SIGMA, image.shape).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noisy, (0, 0), BLUR_SIGMA), 0.0, 1.0)


def noise_seeded_by_image(image: np.ndarray, seed: int = NOISE_SEED) -> np.ndarray:
    """The image with the noise that comes from the seed and the CRC-32 of its own pixels.

    So it is the same in any order and any part of a set. image: (H, W) uint8. Returns (H, W) float32 in [0, 1].
    """
    return paper_noise(image, np.random.default_rng([seed, zlib.crc32(image.tobytes())]))


def network_inputs(images: np.ndarray, noise: dict[str, Any] | None) -> np.ndarray:
    """Network inputs from a set's stored images: with the noise that its description states, or as they are.

    images: (N, H, W) or (N, H, W, 3) uint8. noise: the description's; None for real images, which have their own.
    Returns (N, H, W, C) float32 in [0, 1].
    """
    if noise is None:
        return with_channels(images).astype(np.float32) / np.float32(255.0)
    return add_noise(images, noise["seed"])


def add_noise(images: np.ndarray, seed: int = NOISE_SEED) -> np.ndarray:
    """Network inputs from stored images: each with its own noise. (N, H, W) uint8 -> (N, H, W, 1) float32."""
    return with_channels(np.stack([noise_seeded_by_image(image, seed) for image in images]))


def with_channels(images: np.ndarray) -> np.ndarray:
    """(N, H, W) grey images get an axis of channels; (N, H, W, 3) are as they are."""
    return images[..., None] if images.ndim == 3 else images
