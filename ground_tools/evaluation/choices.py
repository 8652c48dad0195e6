"""Choices made on the validation set: gamma, and the uncertainty threshold."""

from __future__ import annotations

import numpy as np

from flight.inference.uncertainty import enhanced
from ground_tools.training.metrics import iou_per_class, mean_iou

GAMMAS = (1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 10.0)
# 1 is not among them: it marks no pixel, and consumers are to get uncertain pixels where there are any.
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


def choose_threshold(class_maps: np.ndarray, entropies: np.ndarray, truths: np.ndarray, classes: int) -> float:
    """The threshold with the best mIoU of the enhanced maps, as in the reference paper.

    A pixel marked uncertain is predicted as no class: it leaves every prediction, right or wrong. class_maps,
    truths: (N, H, W) uint8. entropies: (N, H, W) float32.
    """
    best, chosen = -1.0, THRESHOLDS[-1]
    for threshold in THRESHOLDS:
        marked = np.stack([enhanced(c, h, threshold, classes) for c, h in zip(class_maps, entropies, strict=True)])
        value = mean_iou(iou_per_class(truths, marked, classes + 1)[:classes])
        if value > best:
            best, chosen = value, threshold
    return chosen
