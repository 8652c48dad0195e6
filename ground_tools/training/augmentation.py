"""From stored images to network input: the paper's noise, and augmentation by orientation and photometry."""

from __future__ import annotations

import cv2
import numpy as np

NOISE_MEAN = 0.1
NOISE_SIGMA = 0.01
BLUR_SIGMA = 0.1
# Validation and test images carry noise of a recorded seed, the same every time.
VALIDATION_NOISE_SEED = 1_000_003


def paper_noise(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The reference paper's noise: Gaussian, mean 0.1, variance 1e-4, then a Gaussian blur of 0.1 px.

    image: (H, W) uint8. Returns (H, W) float32 in [0, 1].
    """
    noisy = image.astype(np.float32) / 255.0
    noisy += generator.normal(NOISE_MEAN, NOISE_SIGMA, image.shape).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noisy, (0, 0), BLUR_SIGMA), 0.0, 1.0)


def disturbed(image: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Random exposure, contrast curve, pedestal, blur and noise about the paper's, wider with `strength`.

    image: (H, W) uint8. strength: 0 gives exactly the paper's noise, 1 the spread seen in published mission
    images. Returns (H, W) float32 in [0, 1].
    """
    if strength <= 0.0:
        return paper_noise(image, generator)
    x = image.astype(np.float32) / 255.0
    x = x ** np.float32(np.exp(strength * generator.normal(0.0, 0.35)))
    x *= np.float32(np.exp(strength * generator.normal(0.0, 0.30)))
    x += np.float32(generator.uniform(0.0, NOISE_MEAN))
    blur = strength * abs(generator.normal(0.0, 0.8))
    if blur > 0.2:
        x = cv2.GaussianBlur(x, (0, 0), blur).astype(np.float32)
    sigma = NOISE_SIGMA * np.exp(strength * generator.normal(0.0, 0.7))
    x += generator.normal(0.0, sigma, image.shape).astype(np.float32)
    return np.clip(x, 0.0, 1.0)


def oriented(array: np.ndarray, orientation: int) -> np.ndarray:
    """One of the eight flips and quarter turns of a square array. orientation: 0..7; 0 leaves it as it is."""
    turned = np.rot90(array, orientation % 4)
    return turned[:, ::-1] if orientation >= 4 else turned
