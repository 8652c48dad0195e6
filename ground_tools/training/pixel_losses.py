"""Losses of segmentation networks by recipe: what a pixel counts, and measures of whole regions beside it.

Pixels that nobody labelled count nowhere. With p the softmax, t the one-hot truth, w_c the weight of a class and the
sums over the labelled pixels of a batch:

- cross-entropy: sum w_c t (1 - p)^focal (-log p) / number of pixels (focal: Lin et al. 2017)
- Dice: 1 - mean over the classes that are shown of 2 sum p t / sum (p + t)
- Jaccard: 1 - mean over the classes that are shown of sum p t / sum (p + t - p t)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from ground_tools.training.recipe_tables import Loss

_SMALL = 1e-6


def frequency_weights(pixels: np.ndarray) -> np.ndarray:
    """Weights by inverse frequency, of mean 1; 0 for a class that no pixel shows. pixels: (K,) counts."""
    inverse = np.where(pixels > 0, pixels.sum() / np.maximum(pixels, 1), 0.0)
    weights: np.ndarray = inverse / inverse.sum() * len(pixels)
    return weights


def count_labels(masks: np.ndarray, classes: int) -> np.ndarray:
    """Pixels of each class in masks (N, H, W); (classes,) int64."""
    total = np.zeros(256, dtype=np.int64)
    for mask in masks:
        total += np.bincount(mask.reshape(-1), minlength=256)
    return total[:classes]


def pixel_loss(labels: Any, scores: Any, weights: Any, loss: Loss) -> Any:
    """The loss of a batch.

    Args:
        labels: (N, H, W) integers; K and above are no class.
        scores: (N, H, W, K).
        weights: (K,) of the classes in the cross-entropy.
        loss: which terms count how much.
    """
    truth = ops.one_hot(ops.cast(labels, "int32"), scores.shape[-1], dtype="float32")
    known = ops.sum(truth, axis=-1, keepdims=True)
    log_probability = ops.log_softmax(ops.cast(scores, "float32"), axis=-1)
    probability = ops.exp(log_probability) * known
    total = ops.convert_to_tensor(0.0, dtype="float32")
    if loss.cross_entropy:
        counted = truth * weights
        if loss.focal:
            counted = counted * (1.0 - probability) ** loss.focal
        total = total - loss.cross_entropy * ops.sum(counted * log_probability) / ops.maximum(ops.sum(known), 1.0)
    both, shown, given = (ops.sum(part, axis=(0, 1, 2)) for part in (truth * probability, truth, probability))
    present = ops.cast(shown > 0, "float32")
    count = ops.maximum(ops.sum(present), 1.0)
    if loss.dice:
        total = total + loss.dice * (1.0 - ops.sum(present * 2.0 * both / (shown + given + _SMALL)) / count)
    if loss.jaccard:
        total = total + loss.jaccard * (1.0 - ops.sum(present * both / (shown + given - both + _SMALL)) / count)
    return total


def missed_shares(labels: Any, scores: Any, before: Any, memory: float) -> Any:
    """The running false-negative rate of each class after a batch; of one that it does not show, as before.

    Args:
        labels: (N, H, W) integers.
        scores: (N, H, W, K).
        before: (K,).
        memory: what is kept of `before`.
    """
    classes = scores.shape[-1]
    truth = ops.one_hot(ops.cast(labels, "int32"), classes, dtype="float32")
    found = ops.one_hot(ops.argmax(scores, axis=-1), classes, dtype="float32")
    shown = ops.sum(truth, axis=(0, 1, 2))
    missed = 1.0 - ops.sum(truth * found, axis=(0, 1, 2)) / ops.maximum(shown, 1.0)
    return ops.where(shown > 0, memory * before + (1.0 - memory) * missed, before)


def class_weights(fixed: np.ndarray, missed: Any, weighting: str) -> Any:
    """(K,) weights of the classes. fixed: by frequency. missed: running false-negative rates."""
    frequent = ops.convert_to_tensor(np.asarray(fixed), dtype="float32")
    return {
        "none": ops.ones_like(frequent),
        "frequency": frequent,
        "recall": missed,
        "both": frequent * missed,
    }[weighting]
