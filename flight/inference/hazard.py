"""Hazard products: how probable a hazard is, and how far the nearest one."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.bundle import ClassDefinition


def hazard_probability(
    mean_probability: NDArray[np.float32], classes: tuple[ClassDefinition, ...]
) -> NDArray[np.float32]:
    """Summed mean probability of the classes whose role is not "safe". Returns (H, W) float32 in [0, 1]."""
    hazardous = [c.index for c in classes if c.role != "safe"]
    total: NDArray[np.float32] = mean_probability[hazardous].sum(axis=0, dtype=np.float32)
    return np.clip(total, np.float32(0.0), np.float32(1.0))


def clearance(enhanced_class_map: NDArray[np.uint8], classes: tuple[ClassDefinition, ...]) -> NDArray[np.float32]:
    """Distance in map pixels from each pixel to the nearest hazardous or uncertain one; 0 on such a pixel.

    Euclidean, exact. A map without any hazard has the map's diagonal everywhere: nothing nearer was seen.
    """
    safe = np.isin(enhanced_class_map, [c.index for c in classes if c.role == "safe"])
    diagonal = math.hypot(*enhanced_class_map.shape)
    if safe.all():
        return np.full(safe.shape, diagonal, dtype=np.float32)
    distance = cv2.distanceTransform(safe.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.minimum(distance.astype(np.float32), np.float32(diagonal))
