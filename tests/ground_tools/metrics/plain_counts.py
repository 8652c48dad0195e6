"""Measures by plain counts over pixels."""

from __future__ import annotations

import numpy as np


def plain_auroc(scores: np.ndarray, right: np.ndarray) -> float:
    """Share of all pairs of a wrong and a right pixel in which the wrong one has the higher score."""
    wrong, sound = scores[~right], np.sort(scores[right])
    below, not_above = np.searchsorted(sound, wrong, "left"), np.searchsorted(sound, wrong, "right")
    return float((below + not_above).sum() / 2.0 / len(wrong) / len(sound))
