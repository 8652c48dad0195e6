"""Segmentation metrics: intersection over union, in the two definitions that the project states."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Of the bootstrap: draws that count, and draws in all to find them.
_DRAWS, _MOST_DRAWS, _DRAWN_AT_ONCE, _SEED = 2000, 4000, 500, 1
_REDUCTIONS: dict[str, Callable[..., np.ndarray]] = {"mean": np.nanmean, "min": np.nanmin, "max": np.nanmax}


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int, columns: int | None = None) -> np.ndarray:
    """Counts of (true class, predicted class); truth, predicted: integer arrays of one shape.

    Pixels whose true class is past the last, as those without a label, count nowhere. columns: one more than the
    largest value of `predicted`, for values that are no class (a mark of uncertain pixels); None: as many as classes.
    Returns (classes, columns) int64.
    """
    columns = classes if columns is None else columns
    known = truth < classes
    if not known.all():
        truth, predicted = truth[known], predicted[known]
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


def image_ious(confusions: np.ndarray) -> np.ndarray:
    """IoU of each class in each image, NaN where the image does not show the class.

    confusions: (..., K, C) counts of (true class, predicted class), C >= K; a column past the K-th is no class
    (pixels marked uncertain): it leaves every prediction. Returns (..., K) float64.
    """
    classes = confusions.shape[-2]
    true = confusions.sum(axis=-1, dtype=np.float64)
    predicted = confusions[..., :classes].sum(axis=-2, dtype=np.float64)
    same = np.diagonal(confusions[..., :classes], axis1=-2, axis2=-1).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(true > 0, same / (true + predicted - same), np.nan)


def over_images(values: np.ndarray, what: str) -> np.ndarray:
    """mean, min or max over the images (first axis) in which there is a value; NaN where there is none."""
    empty = np.isnan(values).all(axis=0)
    filled = np.where(empty, 0.0, values)
    return np.where(empty, np.nan, _REDUCTIONS[what](filled, axis=0))


def paper_iou(confusions: np.ndarray) -> np.ndarray:
    """The paper's IoU per class: the mean over the images where the class is present. (N, K, C) -> (K,) float64."""
    return over_images(image_ious(confusions), "mean")


def set_iou(confusions: np.ndarray) -> np.ndarray:
    """IoU per class of the set's summed confusion matrix; NaN for a class that no image shows. (N, K, C) -> (K,)."""
    return image_ious(confusions.sum(axis=0))


def precision_recall_f1(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 = 2 P R / (P + R) per class, of a (K, K) confusion matrix; (K,) float64 each.

    NaN where nothing is predicted (precision), nothing is there (recall), or neither (F1).
    """
    same = np.diag(confusion).astype(np.float64)
    predicted, true = confusion.sum(axis=0), confusion.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(predicted > 0, same / predicted, np.nan)
        recall = np.where(true > 0, same / true, np.nan)
        f1 = np.where(predicted + true > 0, 2.0 * same / (predicted + true), np.nan)
    return precision, recall, f1


def miou_interval(ious: np.ndarray, views: np.ndarray) -> tuple[float, float] | tuple[None, None]:
    """Where the mIoU of sets of such images would lie, from the 2.5th to the 97.5th percentile.

    A percentile bootstrap (Efron & Tibshirani 1993): views are drawn anew, with replacement, with all of their images.
    The mean of a draw that leaves out a class is of other classes than the set's: only draws that show every class
    which the set shows count. None where these are fewer than half: too few views show some class.
    ious: (N, K), NaN where an image does not show a class. views: (N,) numbers; images of one are not independent.
    """
    ious = ious[:, ~np.isnan(ious).all(axis=0)]
    _, rows = np.unique(views, return_inverse=True)
    count = int(rows.max()) + 1
    sums, shown = np.zeros((count, ious.shape[1])), np.zeros((count, ious.shape[1]))
    np.add.at(sums, rows, np.nan_to_num(ious))
    np.add.at(shown, rows, ~np.isnan(ious))
    generator = np.random.default_rng(_SEED)
    means: list[float] = []
    # In parts, as a draw takes a number for each view.
    for _ in range(_MOST_DRAWS // _DRAWN_AT_ONCE):
        drawn = generator.multinomial(count, np.full(count, 1.0 / count), _DRAWN_AT_ONCE)
        images = drawn @ shown
        whole = (images > 0.0).all(axis=1)
        means += (drawn[whole] @ sums / images[whole]).mean(axis=1).tolist()
    if len(means) < _DRAWS:
        return None, None
    low, high = np.percentile(means[:_DRAWS], (2.5, 97.5))
    return float(low), float(high)
