"""Images as a coarser camera gives them: fewer pixels, brought back to the size that networks take."""

from __future__ import annotations

import cv2
import numpy as np


def coarsen(image: np.ndarray, factor: int) -> np.ndarray:
    """The image made smaller, by means of its pixels, and enlarged again bilinearly, as flight enlarges frames.

    Args:
        image: (H, W) or (H, W, C), uint8 or float32.
        factor: by which its sides are divided, and multiplied again; 1 leaves it as it is.
    """
    if factor == 1:
        return image
    height, width = image.shape[:2]
    small = cv2.resize(image, (max(width // factor, 1), max(height // factor, 1)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR).reshape(image.shape)
