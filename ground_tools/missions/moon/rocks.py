"""Which rocks count as large: by the extent that is seen, since one image does not tell how far away a rock is."""

from __future__ import annotations

import numpy as np

SMALL_ROCKS, LARGE_ROCKS = 1, 2
# Of the image's shorter side: the diameter of a disk of the area that is seen from which on a rock is large.
LARGE_FROM = 1 / 16
# A rock of fewer pixels, of an image whose shorter side has 256, is ground.
LEAST_PIXELS = 6


def label_rocks(mask: np.ndarray, rocks: np.ndarray) -> np.ndarray:
    """Write rocks into a mask.

    Args:
        mask: (H, W) uint8, classes of what lies behind.
        rocks: (H, W) integers, 0 where there is none, else one number for each rock.

    Returns:
        A new mask: small rocks, large rocks, and what lies behind where a rock is too small to be told.
    """
    side = min(mask.shape)
    found, areas = np.unique(rocks[rocks > 0], return_counts=True)
    large = found[2.0 * np.sqrt(areas / np.pi) >= LARGE_FROM * side]
    told = found[areas >= LEAST_PIXELS * (side / 256.0) ** 2]
    result = mask.copy()
    result[np.isin(rocks, told)] = SMALL_ROCKS
    result[np.isin(rocks, np.intersect1d(large, told))] = LARGE_ROCKS
    return result
