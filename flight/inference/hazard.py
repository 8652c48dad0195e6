"""Planes of the hazard product: probability of a hazard, and distance to the nearest one."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.bundle import ClassDefinition
from flight.inference.frame_features import LIT_SHARE, find_levels
from flight.settings import LandingLimits

# Where the darkest tenth is brighter than this share of the brightest, the image has no darkness to tell light from.
_DARKEST_SHARE = 0.5


def find_dark(view: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find the pixels that no light falls on: sky, the night side, deep shadow.

    The networks name ground in the dark, too, from the outline around it; nobody can see what lies on it.

    Args:
        view: (H, W) float32 in [0, 1], the networks' input, averaged over its channels.

    Returns:
        (H, W) bool; all False in an image without darkness, such as of lit terrain that fills it.
    """
    low, high = find_levels(view)
    if low > _DARKEST_SHARE * high:
        return np.zeros(view.shape, dtype=np.bool_)
    dark: NDArray[np.bool_] = cv2.GaussianBlur(view, (0, 0), 1.0) < low + LIT_SHARE * (high - low)
    return dark


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


def clearance(safe: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Exact Euclidean distance from each pixel to the nearest pixel that may not be landed on.

    Args:
        safe: (H, W), see safe_pixels.

    Returns:
        (H, W) float32, map pixels between pixel centres; 0 on a hazard. In a map without hazards, the length of the
        map's diagonal everywhere.
    """
    diagonal = math.hypot(*safe.shape)
    if safe.all():
        return np.full(safe.shape, diagonal, dtype=np.float32)
    distance = cv2.distanceTransform(safe.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.minimum(distance.astype(np.float32), np.float32(diagonal))


def safe_pixels(
    enhanced_class_map: NDArray[np.uint8],
    probability: NDArray[Any],
    entropy: NDArray[Any],
    classes: tuple[ClassDefinition, ...],
    limits: LandingLimits,
) -> NDArray[np.bool_]:
    """Pixels that may be landed on: certainly of a safe class, and within the limits.

    Args:
        enhanced_class_map: (H, W) uint8, K where uncertain or not seen.
        probability: (H, W) of a hazard, as it is sent: consumers hold it against the same limit.
        entropy: (H, W) predictive, nats, likewise.
        classes: the bundle's K classes.
        limits: what a pixel may have at most.

    Returns:
        (H, W) bool; False where a value is no number.
    """
    is_safe = np.zeros(256, dtype=np.bool_)
    is_safe[[c.index for c in classes if c.role == "safe"]] = True
    safe: NDArray[np.bool_] = is_safe[enhanced_class_map]
    safe &= probability.astype(np.float64) <= limits.most_hazard_probability
    safe &= entropy.astype(np.float64) / math.log(len(classes)) <= limits.most_entropy
    return safe
