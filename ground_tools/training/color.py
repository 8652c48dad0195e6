"""Random changes of brightness, contrast, saturation and hue of training images, grey or colour."""

from __future__ import annotations

import cv2
import numpy as np

from ground_tools.training.recipe_tables import Jitter

# Of hue, in OpenCV's degrees for float32.
_TURN = 360.0
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def change_colors(image: np.ndarray, jitter: Jitter | None, generator: np.random.Generator) -> np.ndarray:
    """The image with changed colours; the same draws whether it is grey or colour.

    Args:
        image: (H, W) or (H, W, 3) float32 in [0, 1], red, green, blue.
        jitter: how far; None leaves it as it is and draws nothing.
        generator: of the changes.

    Returns:
        The same shape, float32 in [0, 1].
    """
    if jitter is None:
        return image
    ranges = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    brightness, contrast, saturation, hue = (generator.uniform(-reach, reach) for reach in ranges)
    x = image * np.float32(1.0 + brightness)
    mean = np.float32(x.mean())
    x = np.clip(mean + (x - mean) * np.float32(1.0 + contrast), 0.0, 1.0)
    if image.ndim == 3:
        grey = (x @ _LUMA)[..., None]
        x = np.clip(grey + (x - grey) * np.float32(1.0 + saturation), 0.0, 1.0)
        if hue:
            turned = cv2.cvtColor(np.ascontiguousarray(x, dtype=np.float32), cv2.COLOR_RGB2HSV)
            turned[..., 0] = (turned[..., 0] + np.float32(hue * _TURN)) % _TURN
            x = np.clip(cv2.cvtColor(turned, cv2.COLOR_HSV2RGB), 0.0, 1.0)
    return np.ascontiguousarray(x, dtype=np.float32)


def flip(
    image: np.ndarray, mask: np.ndarray, how: str, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask mirrored alike, by chance.

    Args:
        image: (H, W) or (H, W, 3).
        mask: (H, W).
        how: "none", "mirror" (left to right), or "both" (upside down, too); each for half of the images.
        generator: of the choice; "none" draws nothing.
    """
    if how == "none":
        return image, mask
    if generator.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    if how == "both" and generator.random() < 0.5:
        image, mask = image[::-1], mask[::-1]
    return np.ascontiguousarray(image), np.ascontiguousarray(mask)
