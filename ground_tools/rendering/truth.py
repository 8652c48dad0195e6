"""The truth of a view: its class mask, from what rays find and the clean model's terminator."""

from __future__ import annotations

import numpy as np

from ground_tools.labels.stacking import merge_gravel, stack_masks
from ground_tools.labels.terminator import terminator_mask
from ground_tools.rendering.geometry import View
from ground_tools.rendering.rays import BodyRays


def find_truth(rays: BodyRays, view: View, found: np.ndarray, ground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The class mask of a view, and its identifiers as they are stored.

    Args:
        rays: of the body.
        view: of the camera.
        found: (size, size) identifiers of the full model, see BodyRays.identifiers.
        ground: (size, size) of the ground alone.

    Returns:
        (size, size) uint8, classes; (size, size) uint16, identifiers in which small rocks are gravel.
    """
    identifiers = merge_gravel(found)
    terminator = terminator_mask(*rays.clean(view), found > 0)
    return stack_masks(identifiers, ground, terminator), identifiers
