"""Augmentation of stored images by orientation, geometry and photometry."""

from __future__ import annotations

import cv2
import numpy as np

from ground_tools.datasets.noise import NOISE_MEAN, NOISE_SIGMA, paper_noise
from ground_tools.labels.classes import BACKGROUND, BOULDERS, SURFACE, TERMINATOR
from ground_tools.labels.terminator import TERMINATOR_GROWTH, acceptance_mask, disk

# At strength 1, standard deviations: of the logarithms of the contrast curve's exponent, of the exposure and of the
# noise's own standard deviation; of the blur in pixels, and the blur that is too small to be worth the work.
CONTRAST = 0.35
EXPOSURE = 0.30
NOISE = 0.7
BLUR = 0.8
LEAST_BLUR = 0.2
# At strength 1: the largest logarithm of a scale, and the largest shift in images.
LOG_SCALE = 0.3
SHIFT = 1 / 16
_BEYOND = cv2.BORDER_REPLICATE
# The smallest body that training shows, of its size in the stored image: three times as far away, and a little more.
FARTHEST = 0.3


def disturb(image: np.ndarray, strength: float, generator: np.random.Generator, noisy: bool = True) -> np.ndarray:
    """Random exposure, contrast curve, pedestal, blur and noise about the paper's, wider with `strength`.

    image: (H, W) or (H, W, 3) uint8. strength: 0 gives exactly the paper's noise, 1 the spread seen in published
    mission images. noisy: not for real images, which have noise of their own: with strength 0 they stay as they are.
    Returns the same shape, float32 in [0, 1].
    """
    if strength <= 0.0 and not noisy:
        return image.astype(np.float32) / np.float32(255.0)
    if strength <= 0.0:
        return paper_noise(image, generator)
    x = image.astype(np.float32) / 255.0
    x = x ** np.float32(np.exp(strength * generator.normal(0.0, CONTRAST)))
    x *= np.float32(np.exp(strength * generator.normal(0.0, EXPOSURE)))
    x += np.float32(generator.uniform(0.0, NOISE_MEAN))
    blur = strength * abs(generator.normal(0.0, BLUR))
    if blur > LEAST_BLUR:
        x = cv2.GaussianBlur(x, (0, 0), blur).astype(np.float32)
    sigma = NOISE_SIGMA * np.exp(strength * generator.normal(0.0, NOISE))
    x += generator.normal(0.0, sigma, image.shape).astype(np.float32)
    return np.clip(x, 0.0, 1.0)


def move(
    image: np.ndarray, mask: np.ndarray, strength: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The image and its mask turned by any angle, scaled and shifted alike; beyond its edges, their pixels go on.

    image: (H, W) or (H, W, 3) uint8. mask: (H, W) uint8. strength: 0 leaves them as they are; at 1 any angle, scales of
    0.74 to 1.35, shifts of up to a sixteenth of the image. Returns the same shapes.
    """
    if strength <= 0.0:
        return image, mask
    height, width = mask.shape
    angle = strength * generator.uniform(-180.0, 180.0)
    scale = float(np.exp(strength * generator.uniform(-LOG_SCALE, LOG_SCALE)))
    transform = np.asarray(cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale), np.float64)
    transform[:, 2] += strength * generator.uniform(-SHIFT, SHIFT, 2) * (width, height)

    def warped(array: np.ndarray, how: int) -> np.ndarray:
        contiguous = np.ascontiguousarray(array)
        return cv2.warpAffine(contiguous, transform, (width, height), flags=how, borderMode=_BEYOND)

    return warped(image, cv2.INTER_LINEAR), warped(mask, cv2.INTER_NEAREST)


def move_away(
    image: np.ndarray, mask: np.ndarray, minimum_boulder_pixels: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The body as from farther away: the image made smaller, by up to 0.3, with sky around it.

    image, mask: (H, W) uint8. Where the body reaches the image's edge there is no telling what goes on beyond, and both
    stay as they are. Boulders of which fewer than `minimum_boulder_pixels` remain are surface. Returns (H, W) uint8
    each.
    """
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if (edge != BACKGROUND).any():
        return image, mask
    height, width = image.shape
    scale = float(np.exp(generator.uniform(np.log(FARTHEST), 0.0)))
    rows, columns = max(1, round(scale * height)), max(1, round(scale * width))
    top, left = (height - rows) // 2, (width - columns) // 2
    around = (top, height - rows - top, left, width - columns - left)
    small = cv2.resize(np.ascontiguousarray(image), (columns, rows), interpolation=cv2.INTER_AREA)
    labels = cv2.resize(np.ascontiguousarray(mask), (columns, rows), interpolation=cv2.INTER_NEAREST_EXACT)
    _, parts, found, _ = cv2.connectedComponentsWithStats((labels == BOULDERS).astype(np.uint8), connectivity=8)
    tiny = found[:, cv2.CC_STAT_AREA] < minimum_boulder_pixels
    labels[(labels == BOULDERS) & tiny[parts]] = SURFACE
    image = cv2.copyMakeBorder(small, *around, cv2.BORDER_REPLICATE)
    mask = cv2.copyMakeBorder(labels, *around, cv2.BORDER_CONSTANT, value=(BACKGROUND,))
    # The terminator is as many pixels wide from any distance, and not at the limb.
    widened = cv2.dilate((mask == TERMINATOR).astype(np.uint8), disk(round((1.0 - scale) * TERMINATOR_GROWTH))) > 0
    mask[widened & acceptance_mask(mask != BACKGROUND)] = TERMINATOR
    return image, mask
