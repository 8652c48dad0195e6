"""Finding what stands out of the sky: the bright parts of a frame, for centering and for judging the input."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# A part must stand out of the background by this much of full scale, and cover this many pixels.
_SMALLEST_CONTRAST = 0.02
_SMALLEST_AREA = 9
# Parts as large as this fraction of the largest one belong to the body too (lobes with the neck in shadow).
_PART_FRACTION = 0.2


@dataclass(frozen=True)
class BodySearch:
    """What was found. All sides in sensor pixels.

    background, peak: tenth percentile and maximum of the smoothed frame, 0..1. bright: (H, W) bool, pixels above
    the threshold. parts: (N, 5) int32, left, top, width, height and area of each connected part, at least nine
    pixels large; none on an empty frame.
    """

    background: float
    peak: float
    bright: NDArray[np.bool_]
    parts: NDArray[np.int32]

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """Bounding box of the body: left, top, right, bottom; right and bottom exclusive. None without a body."""
        if len(self.parts) == 0:
            return None
        area = self.parts[:, cv2.CC_STAT_AREA]
        return bounding_box(self.parts[area >= _PART_FRACTION * area.max()])


def bounding_box(parts: NDArray[np.int32]) -> tuple[int, int, int, int]:
    """The box around parts: left, top, right, bottom; right and bottom exclusive."""
    left, top = parts[:, cv2.CC_STAT_LEFT], parts[:, cv2.CC_STAT_TOP]
    right, bottom = left + parts[:, cv2.CC_STAT_WIDTH], top + parts[:, cv2.CC_STAT_HEIGHT]
    return int(left.min()), int(top.min()), int(right.max()), int(bottom.max())


def search_body(grey: NDArray[np.float32]) -> BodySearch:
    """Find the parts that are brighter than the sky.

    grey: (H, W) float32 in [0, 1]. The background's level and noise are measured on the frame itself, so that
    a pedestal does not count as brightness; single hot pixels and stars are removed by a median filter.
    """
    smooth = cv2.medianBlur(np.ascontiguousarray(grey), 3)
    background = float(np.percentile(smooth, 10))
    peak = float(smooth.max())
    nothing = np.zeros((0, 5), dtype=np.int32)
    if peak - background < _SMALLEST_CONTRAST:
        return BodySearch(background, peak, np.zeros(grey.shape, dtype=bool), nothing)
    # Noise from second differences along rows, which a smooth body hardly feels (Immerkaer 1996).
    differences = np.abs(smooth[:, 2:] - 2.0 * smooth[:, 1:-1] + smooth[:, :-2])
    noise = 1.4826 * float(np.median(differences)) / math.sqrt(6.0)
    threshold = background + max(6.0 * noise, 0.1 * (peak - background), 0.5 * _SMALLEST_CONTRAST)
    bright = smooth > threshold
    joined = cv2.morphologyEx(bright.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), dtype=np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    parts = stats[1:]
    kept = parts[parts[:, cv2.CC_STAT_AREA] >= _SMALLEST_AREA].astype(np.int32, copy=False)
    return BodySearch(background, peak, bright, kept)
