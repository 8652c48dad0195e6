"""From renderings to the class mask: identifiers, the terminator, and the stacking of both."""

from __future__ import annotations

import cv2
import numpy as np

from ground_tools.bodies.enhance import BOULDER_IDENTIFIERS, CRATER_IDENTIFIERS
from ground_tools.rendering.encoding import display_encoded

BACKGROUND, SURFACE, CRATERS, BOULDERS, TERMINATOR = range(5)
CLASS_NAMES = ("background", "surface", "craters", "boulders", "terminator")

# Radius of the disk that erodes the body's mask into the region where an edge counts as terminator: edges
# nearer to the limb drop out. Pixels.
LIMB_MARGIN = 3
# Radius of the disk that grows an edge to a region. Pixels.
TERMINATOR_GROWTH = 2
# A rock is a boulder from this many visible pixels on: what is smaller cannot be told from the grain of the
# surface in a 128 x 128 image, neither by a network nor by a person.
MINIMUM_BOULDER_PIXELS = 5
_CANNY_THRESHOLDS = (40, 100)
# Standard deviation of the blur before Canny, pixels: relief of the base shape must not draw edges.
_SMOOTHING = 1.7


def _disk(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def acceptance_mask(body: np.ndarray) -> np.ndarray:
    """The body's shadow-free mask eroded by the limb margin. body: (H, W) bool; returns (H, W) bool.

    The body is taken to go on beyond the edges of the image.
    """
    return cv2.erode(body.astype(np.uint8), _disk(LIMB_MARGIN)) > 0


def terminator_mask(clean: np.ndarray, body: np.ndarray) -> np.ndarray:
    """The terminator region: Canny edges of the clean image inside the acceptance mask, grown to a region.

    clean: (H, W) float, linear radiance of the clean model. body: (H, W) bool. Returns (H, W) bool.
    """
    grey = cv2.GaussianBlur(display_encoded(clean), (0, 0), _SMOOTHING)
    accepted = acceptance_mask(body)
    edges = (cv2.Canny(grey, *_CANNY_THRESHOLDS, L2gradient=True) > 0) & accepted
    grown = cv2.dilate(edges.astype(np.uint8), _disk(TERMINATOR_GROWTH))
    return (cv2.morphologyEx(grown, cv2.MORPH_CLOSE, _disk(TERMINATOR_GROWTH)) > 0) & accepted


def stacked_mask(
    identifiers: np.ndarray, terminator: np.ndarray, minimum_boulder_pixels: int = MINIMUM_BOULDER_PIXELS
) -> np.ndarray:
    """Stack the raw masks; highest priority first: terminator, boulders, craters, surface, background.

    identifiers: (H, W) int32. terminator: (H, W) bool. minimum_boulder_pixels: a rock of which fewer pixels
    are seen is gravel, part of what it lies on. Returns (H, W) uint8, classes 0..4.
    """
    crater = (identifiers >= CRATER_IDENTIFIERS) & (identifiers < BOULDER_IDENTIFIERS[0])
    rock = identifiers >= BOULDER_IDENTIFIERS[0]
    _, which, counts = np.unique(identifiers, return_inverse=True, return_counts=True)
    large = (counts >= minimum_boulder_pixels)[which].reshape(identifiers.shape)
    mask = np.where(identifiers > 0, SURFACE, BACKGROUND).astype(np.uint8)
    mask[crater] = CRATERS
    # What gravel lies on is what most of the pixels around it show.
    mask[rock & ~large & (cv2.medianBlur(crater.astype(np.uint8), 5) > 0)] = CRATERS
    mask[rock & large] = BOULDERS
    mask[terminator] = TERMINATOR
    return mask


def class_mask(identifiers: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """The class mask of a rendering. identifiers, clean: (H, W); returns (H, W) uint8, classes 0..4."""
    return stacked_mask(identifiers, terminator_mask(clean, identifiers > 0))
