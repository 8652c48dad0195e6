"""The enhanced class map: the class map with an index of its own for the pixels that nothing is to be relied on for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flight.bundle import Bundle
from flight.inference.uncertainty import mark_above, mark_uncertain
from flight.settings import Settings, risk_in_force


def enhance_class_map(
    bundle: Bundle,
    settings: Settings,
    class_map: NDArray[np.uint8],
    entropy: NDArray[np.float32],
    dark: NDArray[np.bool_],
    known: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Mark uncertain pixels by the rule of the settings.

    By risk, where the bundle promises one: a pixel whose entropy lies above the threshold of the promise, and all but
    sky where no light falls, which nobody can see. Else relative: see mark_uncertain, and safe ground in the dark.

    Args:
        bundle: whose classes and thresholds count.
        settings: with the rule, the mode, and what the rule takes.
        class_map: (H, W) uint8, 0..K-1; K where not seen.
        entropy: (H, W) float32, nats.
        dark: (H, W) bool, see hazard.find_dark.
        known: (H, W) bool, False where there was nothing to take the entropy of; None if it is known everywhere.

    Returns:
        (H, W) uint8, K where uncertain.
    """
    uncertain, promise = len(bundle.classes), risk_in_force(bundle, settings)
    if promise is None:
        marked = mark_uncertain(class_map, entropy, settings.uncertainty_threshold, uncertain, known)
        unseen = np.isin(class_map, [c.index for c in bundle.classes if c.role == "safe"])
    else:
        marked = mark_above(class_map, entropy, promise.threshold, uncertain, known)
        unseen = ~np.isin(class_map, [c.index for c in bundle.classes if c.role == "background"])
    marked[unseen & dark] = uncertain
    return marked
