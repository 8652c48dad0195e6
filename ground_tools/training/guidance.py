"""Training with a second branch that restores the image at full resolution, and so teaches the first one fine detail.

The loss is that of the segmentation, and with x the image at full resolution, of N pixels and C channels,

- w1 mean (x' - x)^2, x' the restored image
- w2 mean |S_ij - T_ij|, with S_ij the cosine between places i and j of the segmentation's features and T_ij that of the
  other branch's: feature affinity (Wang et al. 2020). A place is a square of pixels, the mean of its features.

Images of which no pixel has a label have the first alone.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from ground_tools.labels.class_table import IGNORED
from ground_tools.training.recipe_tables import Guidance, Loss
from ground_tools.training.segmenter import SegmenterTraining

_SMALL = 1e-6


class GuidedTraining(SegmenterTraining):
    """A network and its second branch with the loss that trains both."""

    def __init__(self, guided: keras.Model, loss: Loss, fixed_weights: np.ndarray, guidance: Guidance) -> None:
        """guided: see add_super_resolution. loss, fixed_weights: of the segmentation. guidance: weights of the rest."""
        super().__init__(guided, loss, fixed_weights)
        self._guidance = guidance

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool | None = True,
    ) -> Any:
        """The loss of a batch. x: images. y: labels, and images at full resolution. y_pred: what the branches give."""
        (labels, images), (scores, restored, features, others) = y, y_pred
        total = super().compute_loss(x, labels, scores, sample_weight, training)
        if self._guidance.super_resolution:
            squares = ops.square(ops.cast(restored, "float32") - ops.cast(images, "float32"))
            total = total + self._guidance.super_resolution * ops.mean(squares)
        if self._guidance.affinity:
            total = total + self._guidance.affinity * affinity_loss(features, others, labels, self._guidance.step)
        return total


def affinity_loss(features: Any, others: Any, labels: Any, step: int) -> Any:
    """How far two branches differ in which places of an image they find alike, a mean over images with labels.

    Args:
        features: (N, H, W, F) of the one.
        others: (N, H, W, G) of the other.
        labels: (N, H, W) integers; IGNORED without a label.
        step: side of a place, pixels.
    """
    apart = ops.mean(ops.abs(find_affinity(features, step) - find_affinity(others, step)), axis=(1, 2))
    known = ops.cast(ops.any(ops.not_equal(ops.cast(labels, "int32"), IGNORED), axis=(1, 2)), "float32")
    return ops.sum(known * apart) / ops.maximum(ops.sum(known), 1.0)


def find_affinity(features: Any, step: int) -> Any:
    """Cosines between the features of all places, (N, H, W, F) -> (N, P, P) float32; those of no length give 0."""
    places = ops.average_pool(
        ops.cast(features, "float32"), step, strides=step, padding="valid", data_format="channels_last"
    )
    rows = ops.reshape(places, (-1, places.shape[1] * places.shape[2], places.shape[3]))
    rows = rows * ops.rsqrt(ops.sum(ops.square(rows), axis=-1, keepdims=True) + _SMALL)
    return ops.matmul(rows, ops.transpose(rows, (0, 2, 1)))
