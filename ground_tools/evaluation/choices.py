"""Choices made on the validation set: orientations, gamma, and the uncertainty threshold."""

from __future__ import annotations

import numpy as np

from flight.inference.uncertainty import mark_uncertain
from ground_tools.metrics.iou import iou_per_class, mean_iou

# Of the image, for passes to go through: as it is only, or all eight of a square; of another shape those four that keep
# it.
SQUARE_ORIENTATIONS, OTHER_ORIENTATIONS = (1, 8), (1, 4)
GAMMAS = (1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 10.0)
# Of the sweep that is shown: those that are chosen from, and every whole one.
GAMMA_SWEEP = tuple(sorted({*GAMMAS, *(float(gamma) for gamma in range(1, 11))}))
# 1 is not among them: it marks no pixel, and consumers are to get uncertain pixels where there are any.
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
# Of the sweep that is shown: those that are chosen from, and 1, which marks nothing.
THRESHOLD_SWEEP = (*THRESHOLDS, 1.0)


def thresholded_miou(
    class_maps: np.ndarray, entropies: np.ndarray, truths: np.ndarray, classes: int, threshold: float
) -> float:
    """mIoU of the enhanced maps, by which the reference paper chooses the threshold.

    A pixel marked uncertain is predicted as no class: it leaves every prediction, right or wrong. class_maps,
    truths: (N, H, W) uint8. entropies: (N, H, W) float32.
    """
    marked = np.stack([mark_uncertain(c, h, threshold, classes) for c, h in zip(class_maps, entropies, strict=True)])
    return mean_iou(iou_per_class(truths, marked, classes + 1)[:classes])
