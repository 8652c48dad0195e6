"""One body ready to be pictured: its grey images and its masks, view by view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ground_tools.bodies.enhanced_body import EnhancedBody
from ground_tools.labels.encoding import encode_for_display
from ground_tools.labels.stacking import merge_gravel, stack_masks
from ground_tools.labels.terminator import terminator_mask
from ground_tools.rendering.geometry import View
from ground_tools.rendering.rays import BodyRays
from ground_tools.rendering.scene import GreyRenderer

SIZE = 128


@dataclass(frozen=True)
class Picture:
    """One view of a body, as it is stored; all (SIZE, SIZE).

    image: uint8, display-encoded, no noise. mask: uint8, classes. identifiers, ground: uint16, of the full model and of
    the ground alone, as in ground_tools.bodies.enhanced_body, 0 off the body.
    """

    image: np.ndarray
    mask: np.ndarray
    identifiers: np.ndarray
    ground: np.ndarray


class Studio:
    """Pictures one body. One in a process at a time, and only from the thread that made it (Blender's rule)."""

    def __init__(self, body: EnhancedBody, light_paths: int, threads: int = 1) -> None:
        self.extent = body.extent
        self._rays = BodyRays(body, SIZE)
        self._grey = GreyRenderer(body, SIZE, light_paths, threads)

    def picture(self, view: View, seed: int) -> Picture:
        """Picture one view. The same body, view and seed give the same bytes."""
        image = encode_for_display(self._grey.render(view, seed))
        found, ground = self._rays.identifiers(view)
        identifiers = merge_gravel(found)
        terminator = terminator_mask(*self._rays.clean(view), found > 0)
        return Picture(image, stack_masks(identifiers, ground, terminator), identifiers, ground.astype(np.uint16))

    def close(self) -> None:
        self._grey.close()
