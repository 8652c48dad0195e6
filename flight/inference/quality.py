"""Judging the input: what is wrong with a frame, said in flags of the ICD's catalogue."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.inference.body_search import BodySearch, bounding_box
from flight.settings import QualityLimits

# A part counts as another body only when the gap to the largest one is at least this fraction of that one's
# larger side: the lobes of one body, with its neck in shadow, are closer together.
_GAP_FRACTION = 0.25


def frame_flags(grey: NDArray[np.float32], search: BodySearch, limits: QualityLimits) -> list[str]:
    """The flags of a frame: saturated, dark, empty_sky, body_cut, body_small, several_bodies.

    grey: (H, W) float32 in [0, 1], full scale being 1. search: of the same frame.
    """
    if search.peak < limits.dark_level:
        return ["dark"]
    full = grey >= 1.0
    over = full if len(search.parts) == 0 else full[search.bright]
    saturated = ["saturated"] if float(over.mean()) > limits.saturated_fraction else []
    box = search.box
    if box is None:
        # A frame that is white all over has no sky.
        return saturated or ["empty_sky"]
    flags = saturated
    left, top, right, bottom = box
    rows, columns = grey.shape
    if left == 0 or top == 0 or right == columns or bottom == rows:
        flags.append("body_cut")
    elif max(right - left, bottom - top) < limits.smallest_body_pixels:
        flags.append("body_small")
    if _several(search.parts, limits.second_body_fraction):
        flags.append("several_bodies")
    return flags


def entropy_is_high(mean_entropy: float, validation_entropy: float | None, limits: QualityLimits) -> bool:
    """Whether a map's mean predictive entropy, nats, is far above that of the validation images.

    validation_entropy: 99th percentile of the mean entropies, from the manifest; None when it does not say.
    """
    return validation_entropy is not None and mean_entropy > limits.entropy_factor * validation_entropy


def _several(parts: NDArray[np.int32], fraction: float) -> bool:
    """Whether a part that is large enough lies apart from the largest one."""
    area = parts[:, cv2.CC_STAT_AREA]
    largest = int(area.argmax())
    left, top, right, bottom = bounding_box(parts[largest : largest + 1])
    for index in np.flatnonzero(area >= fraction * area[largest]):
        other_left, other_top, other_right, other_bottom = bounding_box(parts[index : index + 1])
        gap = max(other_left - right, left - other_right, other_top - bottom, top - other_bottom)
        if index != largest and gap >= _GAP_FRACTION * max(right - left, bottom - top):
            return True
    return False
