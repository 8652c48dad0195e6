"""Planes of the hazard product: probability of a hazard, and distance to the nearest one."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.bundle import ClassDefinition


def hazard_probability(
    mean_probability: NDArray[np.float32], classes: tuple[ClassDefinition, ...]
) -> NDArray[np.float32]:
    """Probability that a pixel is not safe: the sum over all classes whose role is not "safe".

    Args:
        mean_probability: (K, H, W) float32.
        classes: the bundle's K classes.

    Returns:
        (H, W) float32 in [0, 1].
    """
    hazardous = [c.index for c in classes if c.role != "safe"]
    total: NDArray[np.float32] = mean_probability[hazardous].sum(axis=0, dtype=np.float32)
    return np.clip(total, np.float32(0.0), np.float32(1.0))


def clearance(enhanced_class_map: NDArray[np.uint8], classes: tuple[ClassDefinition, ...]) -> NDArray[np.float32]:
    """Exact Euclidean distance from each pixel to the nearest pixel that is uncertain or not safe.

    Args:
        enhanced_class_map: (H, W) uint8, K where uncertain.
        classes: the bundle's K classes.

    Returns:
        (H, W) float32, map pixels between pixel centres; 0 on a hazard. In a map without hazards, the length of the
        map's diagonal everywhere.
    """
    safe = np.isin(enhanced_class_map, [c.index for c in classes if c.role == "safe"])
    diagonal = math.hypot(*enhanced_class_map.shape)
    if safe.all():
        return np.full(safe.shape, diagonal, dtype=np.float32)
    distance = cv2.distanceTransform(safe.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.minimum(distance.astype(np.float32), np.float32(diagonal))
