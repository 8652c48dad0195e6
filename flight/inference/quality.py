"""Quality flags: what is wrong with a frame or its maps, by the names of the ICD's catalogue."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.inference.body_search import BodySearch, bounding_box
from flight.inference.centering import CenteredImage
from flight.inference.frame_features import describe_frame
from flight.inference.input_monitor import InputMonitor
from flight.settings import QualityLimits

# A part counts as another body only if its gap to the largest part is at least this fraction of that part's larger
# side: two lobes of one body, with the neck in shadow, are closer together.
_GAP_FRACTION = 0.25


# Flags of frames without a body; the monitor is not asked about these.
_NO_BODY = frozenset({"dark", "empty_sky", "body_not_found"})


def find_flags(image: CenteredImage, located: bool, monitor: InputMonitor | None, limits: QualityLimits) -> list[str]:
    """Find the flags of a frame, as it was centered.

    Args:
        image: the frame.
        located: whether a body was looked for, to crop to it.
        monitor: the bundle's; None if it has none.
        limits: thresholds of the flags.

    Returns:
        The flags of assess_frame, body_not_found, and not_a_body.
    """
    flags = assess_frame(image.grey, image.search, limits)
    if located and image.search.box is None:
        flags.append("body_not_found")
    if monitor is not None and not _NO_BODY.intersection(flags):
        features = describe_frame(image.grey, image.search, image.view, image.seen)
        if monitor.evidence(features) < limits.least_body_evidence:
            flags.append("not_a_body")
    return flags


def assess_frame(grey: NDArray[np.float32], search: BodySearch, limits: QualityLimits) -> list[str]:
    """Find the flags of a frame.

    Args:
        grey: (H, W) float32 in [0, 1], 1 being full scale.
        search: the bright parts of the same frame.
        limits: thresholds of the flags.

    Returns:
        Some of saturated, dark, empty_sky, body_cut, body_small, several_bodies. A dark frame gets no other flag; a
        frame without a body gets saturated or empty_sky.
    """
    if search.peak < limits.dark_level:
        return ["dark"]
    full_scale = grey >= 1.0
    if len(search.parts) > 0:
        full_scale = full_scale[search.bright]
    flags = ["saturated"] if float(full_scale.mean()) > limits.saturated_fraction else []
    box = search.box
    if box is None:
        # A frame that is white everywhere has no sky.
        return flags or ["empty_sky"]
    left, top, right, bottom = box
    rows, columns = grey.shape
    if left == 0 or top == 0 or right == columns or bottom == rows:
        flags.append("body_cut")
    elif _largest_side(search.parts) < limits.smallest_body_pixels:
        flags.append("body_small")
    if _has_other_body(search.parts, limits.second_body_fraction):
        flags.append("several_bodies")
    return flags


def entropy_is_high(mean_entropy: float, validation_entropy: float | None, limits: QualityLimits) -> bool:
    """Whether a map's mean entropy is far above that of the validation images.

    Args:
        mean_entropy: of the map's predictive entropy, nats.
        validation_entropy: 99th percentile of the same over the validation images, nats, from the manifest; None if
            the manifest does not state it: then never high.
        limits: entropy_factor is the threshold, in units of validation_entropy.
    """
    return validation_entropy is not None and mean_entropy > limits.entropy_factor * validation_entropy


def _largest_side(parts: NDArray[np.int32]) -> int:
    """Larger side of the box of the largest part: small parts far from each other make no large body."""
    left, top, right, bottom = bounding_box(parts[[int(parts[:, cv2.CC_STAT_AREA].argmax())]])
    return max(right - left, bottom - top)


def _has_other_body(parts: NDArray[np.int32], fraction: float) -> bool:
    """Whether another part has `fraction` of the largest part's area and lies far enough from it."""
    area = parts[:, cv2.CC_STAT_AREA]
    largest = int(area.argmax())
    left, top, right, bottom = bounding_box(parts[largest : largest + 1])
    for index in np.flatnonzero(area >= fraction * area[largest]):
        other_left, other_top, other_right, other_bottom = bounding_box(parts[index : index + 1])
        gap = max(other_left - right, left - other_right, other_top - bottom, top - other_bottom)
        if index != largest and gap >= _GAP_FRACTION * max(right - left, bottom - top):
            return True
    return False
