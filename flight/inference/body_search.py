"""Finds the body in a frame: connected parts that are brighter than the sky. Centering and the quality flags use it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# A part must be brighter than the background by this fraction of full scale, and have this many pixels.
_SMALLEST_CONTRAST = 0.02
_SMALLEST_AREA = 9
# Parts at least this large, relative to the largest part, belong to the body too (lobes with the neck in shadow).
_PART_FRACTION = 0.2
# Noise after a 3 x 3 median filter over that before it, for Gaussian noise.
_MEDIAN_NOISE = 0.41


@dataclass(frozen=True)
class BodySearch:
    """The bright parts of a frame. Coordinates and sizes in sensor pixels.

    Attributes:
        background: 10th percentile of the median-filtered frame, 0..1.
        peak: maximum of the median-filtered frame, 0..1.
        bright: (H, W) bool, pixels above the detection threshold.
        parts: (N, 5) int32, one row per connected part of at least 9 pixels: left, top, width, height, area.
            N is 0 for an empty frame.
    """

    background: float
    peak: float
    bright: NDArray[np.bool_]
    parts: NDArray[np.int32]

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """Bounding box of the body: left, top, right, bottom; right and bottom exclusive. None if there is no body."""
        if len(self.parts) == 0:
            return None
        area = self.parts[:, cv2.CC_STAT_AREA]
        return bounding_box(self.parts[area >= _PART_FRACTION * area.max()])


def bounding_box(parts: NDArray[np.int32]) -> tuple[int, int, int, int]:
    """Bounding box of several parts.

    Args:
        parts: (N, 5) int32, rows of BodySearch.parts, N >= 1.

    Returns:
        left, top, right, bottom in sensor pixels; right and bottom exclusive.
    """
    left, top = parts[:, cv2.CC_STAT_LEFT], parts[:, cv2.CC_STAT_TOP]
    right, bottom = left + parts[:, cv2.CC_STAT_WIDTH], top + parts[:, cv2.CC_STAT_HEIGHT]
    return int(left.min()), int(top.min()), int(right.max()), int(bottom.max())


def search_body(grey: NDArray[np.float32]) -> BodySearch:
    """Find the connected parts of a frame that are brighter than the sky.

    Level and noise of the background are measured on the frame itself, so a constant offset does no harm. A 3 x 3
    median filter removes hot pixels and stars. The threshold lies above the background by the largest of 6 sigma of
    the noise that the filter leaves, a tenth of the frame's contrast and 0.01 of full scale.

    Args:
        grey: (H, W) float32 in [0, 1], 1 being full scale.

    Returns:
        The parts found; none if the contrast of the frame is below 0.02.
    """
    smooth = cv2.medianBlur(np.ascontiguousarray(grey), 3)
    background = float(np.percentile(smooth, 10))
    peak = float(smooth.max())
    no_parts = np.zeros((0, 5), dtype=np.int32)
    if peak - background < _SMALLEST_CONTRAST:
        return BodySearch(background, peak, np.zeros(grey.shape, dtype=bool), no_parts)
    noise = _MEDIAN_NOISE * measure_noise(grey)
    threshold = background + max(6.0 * noise, 0.1 * (peak - background), 0.5 * _SMALLEST_CONTRAST)
    bright = smooth > threshold
    joined = cv2.morphologyEx(bright.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), dtype=np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    parts = stats[1:]
    large = parts[parts[:, cv2.CC_STAT_AREA] >= _SMALLEST_AREA].astype(np.int32, copy=False)
    return BodySearch(background, peak, bright, large)


def measure_noise(grey: NDArray[np.float32]) -> float:
    """Standard deviation of a frame's noise, from second differences along rows (after Immerkaer 1996).

    They are close to 0 on a smooth body. Measured before any filter: neighbours that a filter has mixed differ less
    than their noise.

    Args:
        grey: (H, W) float32.
    """
    differences = np.abs(grey[:, 2:] - 2.0 * grey[:, 1:-1] + grey[:, :-2])
    return 1.4826 * float(np.median(differences)) / math.sqrt(6.0)
