"""Segmentation metrics: intersection over union, in the two definitions that the project states."""

from __future__ import annotations

import numpy as np


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int, columns: int | None = None) -> np.ndarray:
    """Counts of (true class, predicted class); truth, predicted: integer arrays of one shape.

    columns: one more than the largest value of `predicted`, for values that are no class (a mark of uncertain pixels);
    None: as many as classes. Returns (classes, columns) int64.
    """
    columns = classes if columns is None else columns
    flat = truth.ravel().astype(np.int64) * columns + predicted.ravel().astype(np.int64)
    return np.bincount(flat, minlength=classes * columns).reshape(classes, columns)


def intersection_over_union(confusion: np.ndarray) -> np.ndarray:
    """IoU per class from a confusion matrix; NaN where the class is neither present nor predicted."""
    intersection = np.diag(confusion).astype(np.float64)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - intersection
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(union > 0, intersection / union, np.nan)


def iou_per_class(truths: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """The paper's definition: per class, the mean of the IoU over the images where the class is present.

    truths, predictions: (N, H, W) integers. Returns (classes,) float64, NaN for a class in no image.
    """
    values = np.full((len(truths), classes), np.nan)
    for index, (truth, predicted) in enumerate(zip(truths, predictions, strict=True)):
        confusion = confusion_matrix(truth, predicted, classes)
        present = confusion.sum(axis=1) > 0
        values[index, present] = intersection_over_union(confusion)[present]
    present_somewhere = ~np.isnan(values).all(axis=0)
    result = np.full(classes, np.nan)
    result[present_somewhere] = np.nanmean(values[:, present_somewhere], axis=0)
    return result


def mean_iou(per_class: np.ndarray) -> float:
    """The mean over the classes that occur."""
    return float(np.nanmean(per_class))
