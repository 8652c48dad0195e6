"""The terminator region of a view, by Canny edges on the clean model."""

from __future__ import annotations

import cv2
import numpy as np

from ground_tools.labels.encoding import encode_for_display

# Radius of the disk that erodes the body's mask into the region where an edge counts as terminator: edges
# nearer to the limb drop out. Pixels.
LIMB_MARGIN = 3
# Radius of the disk that grows an edge to a region. Pixels.
TERMINATOR_GROWTH = 2
# An edge is the terminator when pixels darker than this cosine of incidence lie within this distance (pixels).
_NIGHT = 0.04
NIGHT_DISTANCE = 4
# Shortest part of a terminator, as a share of the body's size in the image.
LEAST_TERMINATOR = 0.15
_CANNY_THRESHOLDS = (40, 100)
# Standard deviation of the blur before Canny, pixels: relief of the base shape must not draw edges.
SMOOTHING = 1.7


def disk(radius: int) -> np.ndarray:
    """A disk for morphology: (2 radius + 1, 2 radius + 1) uint8."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def acceptance_mask(body: np.ndarray) -> np.ndarray:
    """The body's shadow-free mask eroded by the limb margin. body: (H, W) bool; returns (H, W) bool.

    The body is taken to go on beyond the edges of the image.
    """
    return cv2.erode(body.astype(np.uint8), disk(LIMB_MARGIN)) > 0


def terminator_mask(clean: np.ndarray, clean_body: np.ndarray, body: np.ndarray) -> np.ndarray:
    """The terminator region: Canny edges of the clean image inside the acceptance mask, grown to a region.

    An edge counts where the night is near: relief of the base shape draws edges within the day, too. clean: (H, W)
    float32, cosine of the sun's incidence on the clean model, 0 in its shadow. clean_body, body: (H, W) bool, where
    the clean and the full model are seen; limbs of both drop out. Returns (H, W) bool.
    """
    # Brightness as the grey image would have it, of a surface of albedo 1.
    grey = cv2.GaussianBlur(encode_for_display(clean), (0, 0), SMOOTHING)
    accepted = acceptance_mask(body) & acceptance_mask(clean_body)
    return edge_region(grey, (clean < _NIGHT) & clean_body, accepted, body)


def edge_region(grey: np.ndarray, night: np.ndarray, accepted: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Canny edges of a smoothed image inside an acceptance mask and near the night, grown to a region.

    grey: (H, W) uint8, smoothed. night, accepted, body: (H, W) bool. Returns (H, W) bool.
    """
    near_night = cv2.dilate(night.astype(np.uint8), disk(NIGHT_DISTANCE)) > 0
    edges = (cv2.Canny(grey, *_CANNY_THRESHOLDS, L2gradient=True) > 0) & accepted & near_night
    grown = cv2.dilate(edges.astype(np.uint8), disk(TERMINATOR_GROWTH))
    region = (cv2.morphologyEx(grown, cv2.MORPH_CLOSE, disk(TERMINATOR_GROWTH)) > 0) & accepted
    return remove_specks(region, body)


def remove_specks(region: np.ndarray, body: np.ndarray) -> np.ndarray:
    """The parts of a region that are as long as a share of the body: a hollow in shadow is no terminator."""
    _, _, width, height = cv2.boundingRect(body.astype(np.uint8))
    _, parts, boxes, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8)
    lengths = np.maximum(boxes[:, cv2.CC_STAT_WIDTH], boxes[:, cv2.CC_STAT_HEIGHT])
    long_enough = lengths >= LEAST_TERMINATOR * max(width, height)
    long_enough[0] = False  # what is outside of every part
    kept: np.ndarray = long_enough[parts]
    return kept
