"""Scores of a segmentation in any classes, from confusion matrices of the pixels that have a label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ground_tools.metrics.iou import intersection_over_union, precision_recall_f1


@dataclass(frozen=True)
class Scores:
    """Of a confusion matrix. Arrays are (K,) float64, NaN where a class is neither there nor predicted, or not there.

    Attributes:
        accuracy: share of the pixels with the right class.
        macro_f1: mean of the classes' F1.
        miou: mean of the classes' IoU.
        iou, f1, recall: of each class.
    """

    accuracy: float
    macro_f1: float
    miou: float
    iou: np.ndarray
    f1: np.ndarray
    recall: np.ndarray


def score(confusion: np.ndarray) -> Scores:
    """Scores of a (K, K) confusion matrix; classes that are neither there nor predicted count in no mean.

    Raises:
        ValueError: it counts no pixel.
    """
    total = int(confusion.sum())
    if total == 0:
        raise ValueError("confusion: expected pixels with labels, got none")
    _, recall, f1 = precision_recall_f1(confusion)
    iou = intersection_over_union(confusion)
    return Scores(
        accuracy=float(np.trace(confusion)) / total,
        macro_f1=float(np.nanmean(f1)),
        miou=float(np.nanmean(iou)),
        iou=iou,
        f1=f1,
        recall=recall,
    )
