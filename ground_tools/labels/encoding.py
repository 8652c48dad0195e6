"""From linear radiance to the stored 8-bit image."""

from __future__ import annotations

import numpy as np


def encode_for_display(radiance: np.ndarray) -> np.ndarray:
    """Clip to [0, 1], encode with the sRGB transfer curve (IEC 61966-2-1) and round to uint8.

    Published mission images and the reference paper's renderings are display-encoded; a linear camera's frames
    fall inside the range of gamma that the training augmentation covers.
    """
    linear = np.clip(radiance, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1.0 / 2.4) - 0.055)
    return np.rint(encoded * 255.0).astype(np.uint8)
