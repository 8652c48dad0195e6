"""From identifiers to the class mask: which rocks count, and the stacking of the raw masks."""

from __future__ import annotations

import numpy as np

from ground_tools.labels.classes import (
    BACKGROUND,
    BOULDER_IDENTIFIERS,
    BOULDERS,
    CRATER_IDENTIFIERS,
    CRATERS,
    GRAVEL_IDENTIFIER,
    SURFACE,
    SURFACE_IDENTIFIER,
    TERMINATOR,
)

# A rock is a boulder from this many visible pixels on: what is smaller cannot be told from the grain of the
# surface in a 128 x 128 image, neither by a network nor by a person.
MINIMUM_BOULDER_PIXELS = 5
# A rock of fewer visible pixels is stored as gravel, without an identifier of its own.
MINIMUM_ROCK_PIXELS = 3
# From close by, a hollow of fewer visible pixels is part of the surface.
MINIMUM_CRATER_PIXELS = 20
# ... and one that the image's border cuts over more than so many times the root of its pixels: of a round crater, the
# diameter when half of it is seen, D / sqrt(pi D^2 / 8).
MOST_AT_BORDER = 1.6


def merge_gravel(identifiers: np.ndarray) -> np.ndarray:
    """Identifiers in which rocks of fewer than MINIMUM_ROCK_PIXELS visible pixels are gravel.

    identifiers: (H, W) int32, as rays find them. Returns (H, W) uint16, as they are stored.
    """
    gravel = (identifiers >= BOULDER_IDENTIFIERS[0]) & (_pixels_of_own(identifiers) < MINIMUM_ROCK_PIXELS)
    return np.where(gravel, GRAVEL_IDENTIFIER, identifiers).astype(np.uint16)


def drop_unseen_craters(identifiers: np.ndarray, ground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both with craters as surface that nobody would see: of few pixels, or cut off by the image's border.

    identifiers: (H, W) integers of the full model. ground: (H, W) of the ground alone, whose pixels count.
    """
    craters = (ground >= CRATER_IDENTIFIERS) & (ground < BOULDER_IDENTIFIERS[0])
    few = craters & (_pixels_of_own(ground) < MINIMUM_CRATER_PIXELS)
    pits = np.concatenate([np.unique(ground[few]), _cut_by_border(np.where(craters, ground, 0))])
    whole = np.unique(ground[craters & ~np.isin(ground, pits)])
    # A crater of which rocks hide every pixel of ground has none that count.
    unseen = (identifiers >= CRATER_IDENTIFIERS) & (identifiers < BOULDER_IDENTIFIERS[0]) & ~np.isin(identifiers, whole)
    return (
        np.where(unseen, SURFACE_IDENTIFIER, identifiers),
        np.where(np.isin(ground, pits), SURFACE_IDENTIFIER, ground),
    )


def _cut_by_border(craters: np.ndarray) -> np.ndarray:
    """The craters that the image's border cuts so that less than half of them is seen."""
    at_border = np.zeros(craters.shape, dtype=np.int64)
    for side in (np.s_[0, :], np.s_[-1, :], np.s_[:, 0], np.s_[:, -1]):
        at_border[side] += 1
    numbers, which, pixels = np.unique(craters, return_inverse=True, return_counts=True)
    cut = np.bincount(which.ravel(), weights=at_border.ravel())
    found: np.ndarray = numbers[(cut > MOST_AT_BORDER * np.sqrt(pixels)) & (numbers > 0)]
    return found


def stack_masks(
    identifiers: np.ndarray,
    ground: np.ndarray,
    terminator: np.ndarray,
    minimum_boulder_pixels: int = MINIMUM_BOULDER_PIXELS,
) -> np.ndarray:
    """Stack the raw masks; highest priority first: terminator, boulders, craters, surface, background.

    identifiers: (H, W) integers of the full model. ground: (H, W) of the ground alone. terminator: (H, W) bool.
    minimum_boulder_pixels: a rock of which fewer pixels are seen is part of what it lies on; 1: every rock is a
    boulder. Returns (H, W) uint8, classes 0..4.
    """
    identifiers, ground = identifiers.astype(np.int32), ground.astype(np.int32)
    large = (identifiers >= BOULDER_IDENTIFIERS[0]) & (_pixels_of_own(identifiers) >= minimum_boulder_pixels)
    if minimum_boulder_pixels <= 1:
        large |= identifiers == GRAVEL_IDENTIFIER
    crater = (ground >= CRATER_IDENTIFIERS) & (ground < BOULDER_IDENTIFIERS[0])
    mask = np.where(identifiers > 0, SURFACE, BACKGROUND).astype(np.uint8)
    # Gravel beyond the limb has no ground below it and stays surface.
    mask[crater & (identifiers > 0)] = CRATERS
    mask[large] = BOULDERS
    mask[terminator] = TERMINATOR
    return mask


def _pixels_of_own(identifiers: np.ndarray) -> np.ndarray:
    """For each pixel, how many pixels of the image show the same identifier."""
    _, which, counts = np.unique(identifiers, return_inverse=True, return_counts=True)
    return counts[which].reshape(identifiers.shape)
