"""Boundary F-score: whether the outlines of the classes lie where they should (Csurka, Larlus & Perronnin 2013)."""

from __future__ import annotations

import math

import cv2
import numpy as np

# Of the image's diagonal, as there; rounded up to whole pixels: 2 of 128 x 128.
TOLERANCE = 0.0075


def tolerance_pixels(height: int, width: int) -> int:
    """How far apart two outlines may lie and still agree, pixels."""
    return math.ceil(TOLERANCE * math.hypot(height, width))


def boundary(region: np.ndarray) -> np.ndarray:
    """The pixels of a region with a 4-neighbour outside of it; the image's edge is no boundary. (H, W) bool."""
    # By default what lies beyond the image erodes nothing.
    inside = cv2.erode(region.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    return region & (np.asarray(inside) == 0)


def boundary_f_scores(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Boundary F-score per class of one image: F = 2 P R / (P + R), (classes,) float64.

    P: share of the predicted boundary's pixels within the tolerance of the true one (Euclidean, pixel centres); R: the
    reverse. NaN for a class that the image does not show, or whose true and predicted regions have no boundary.
    truth, predicted: (H, W) integers.
    """
    limit = tolerance_pixels(*truth.shape)
    scores = np.full(classes, np.nan)
    for index in range(classes):
        if not (truth == index).any():
            continue
        outlines = boundary(truth == index), boundary(predicted == index)
        if not any(outline.any() for outline in outlines):
            continue
        if not all(outline.any() for outline in outlines):
            scores[index] = 0.0
            continue
        true_share, predicted_share = (
            float((_distances(other)[own] <= limit).mean()) for own, other in (outlines, outlines[::-1])
        )
        total = true_share + predicted_share
        scores[index] = 2.0 * true_share * predicted_share / total if total > 0.0 else 0.0
    return scores


def _distances(outline: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the nearest pixel of an outline, pixels."""
    distances: np.ndarray = cv2.distanceTransform((~outline).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distances
