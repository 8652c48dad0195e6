"""Masks stacked by priority."""

from __future__ import annotations

import cv2
import numpy as np

from ground_tools.labels.classes import (
    BOULDER_IDENTIFIERS,
    BOULDERS,
    CRATER_IDENTIFIERS,
    CRATERS,
    GRAVEL_IDENTIFIER,
    SURFACE,
    SURFACE_IDENTIFIER,
    TERMINATOR,
)
from ground_tools.labels.stacking import drop_unseen_craters, merge_gravel, stack_masks


def test_masks_are_stacked_by_priority_and_partition_the_image() -> None:
    ground = np.zeros((64, 64), dtype=np.int32)
    cv2.circle(ground, (32, 32), 28, SURFACE_IDENTIFIER, cv2.FILLED)
    cv2.circle(ground, (26, 32), 9, CRATER_IDENTIFIERS, cv2.FILLED)
    found = ground.copy()
    cv2.circle(found, (40, 32), 5, BOULDER_IDENTIFIERS[2], cv2.FILLED)
    found[10, 32] = BOULDER_IDENTIFIERS[0]  # gravel on the surface
    found[32, 26] = BOULDER_IDENTIFIERS[0] + 1  # gravel in the crater
    found[20, 30:34] = BOULDER_IDENTIFIERS[0] + 2  # a small rock
    found[32, 61] = BOULDER_IDENTIFIERS[0] + 3  # gravel beyond the limb
    identifiers = merge_gravel(found)
    assert sorted(np.unique(identifiers)) == [
        0,
        SURFACE_IDENTIFIER,
        GRAVEL_IDENTIFIER,
        CRATER_IDENTIFIERS,
        BOULDER_IDENTIFIERS[0] + 2,
        BOULDER_IDENTIFIERS[2],
    ]
    terminator = np.zeros((64, 64), dtype=bool)
    terminator[30:34, 20:45] = True
    mask = stack_masks(identifiers, ground, terminator)
    assert (mask[terminator] == TERMINATOR).all()
    assert (mask[(identifiers == BOULDER_IDENTIFIERS[2]) & ~terminator] == BOULDERS).all()
    assert mask[10, 32] == mask[20, 31] == mask[32, 61] == SURFACE
    no_night = np.zeros_like(terminator)
    assert stack_masks(identifiers, ground, no_night)[32, 26] == CRATERS
    assert ((mask > 0) == (identifiers > 0)).all()
    assert not (stack_masks(identifiers, ground, terminator, minimum_boulder_pixels=500) == BOULDERS).any()
    assert stack_masks(identifiers, ground, no_night, minimum_boulder_pixels=4)[20, 31] == BOULDERS
    # The paper's rule: every rock is a boulder.
    every = stack_masks(identifiers, ground, no_night, minimum_boulder_pixels=1)
    assert ((every == BOULDERS) == (found >= BOULDER_IDENTIFIERS[0])).all()


def test_from_close_by_a_crater_counts_that_half_or_more_is_seen_of() -> None:
    rows, columns = np.indices((96, 96))

    def shown(row: int, column: int, radius: float) -> bool:
        ground = np.where(np.hypot(rows - row, columns - column) < radius, CRATER_IDENTIFIERS, SURFACE_IDENTIFIER)
        identifiers, left = drop_unseen_craters(ground, ground)
        assert np.array_equal(identifiers, left)
        return bool((left == CRATER_IDENTIFIERS).any())

    assert shown(48, 48, 20.0)
    assert shown(48, 4, 20.0)
    assert not shown(48, -8, 20.0)
    # Inside of it, nobody sees that it is one.
    assert not shown(48, 48, 200.0)
    # A pit.
    assert not shown(48, 48, 2.1)
    # A rock hides its own pixels of the crater, and no more.
    ground = np.where(np.hypot(rows - 48, columns - 48) < 20.0, CRATER_IDENTIFIERS, SURFACE_IDENTIFIER)
    identifiers = ground.copy()
    identifiers[40:50, 40:50] = BOULDER_IDENTIFIERS[0]
    seen, below = drop_unseen_craters(identifiers, ground)
    assert np.array_equal(seen, identifiers)
    assert np.array_equal(below, ground)
