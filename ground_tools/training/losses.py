"""The loss of the UNets: weighted cross-entropy, as the reference paper's, and a soft Jaccard index beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops


def segmentation_loss(
    class_weights: tuple[float, ...], jaccard: float, focal: float = 0.0
) -> Callable[[Any, Any], Any]:
    """The loss of (N, H, W) integer labels and (N, H, W, K) scores, a mean over the pixels of the batch.

    class_weights: K, the weight of a pixel by its true class. jaccard: weight of 1 - J, where J is the mean, over the
    images and the classes that each of them shows, of sum(p t) / sum(p + t - p t) with the softmax p and the truth t.
    focal: power of 1 - p by which a pixel's cross-entropy is weighted (Lin et al. 2017). Pixels of no class, K and
    above, count nowhere.
    """
    weights = ops.convert_to_tensor(class_weights, dtype="float32")

    def loss(labels: Any, scores: Any) -> Any:
        truth = ops.one_hot(ops.cast(labels, "int32"), len(class_weights), dtype="float32")
        log_probability = ops.log_softmax(ops.cast(scores, "float32"), axis=-1)
        counted = truth * weights
        if focal:
            counted = counted * (1.0 - ops.exp(log_probability)) ** focal
        cross_entropy = -ops.mean(ops.sum(counted * log_probability, axis=-1))
        if not jaccard:
            return cross_entropy
        probability = ops.exp(log_probability) * ops.sum(truth, axis=-1, keepdims=True)
        both = ops.sum(truth * probability, axis=(1, 2))
        shown = ops.sum(truth, axis=(1, 2))
        either = shown + ops.sum(probability, axis=(1, 2)) - both
        present = ops.cast(shown > 0, "float32")
        index = ops.sum(present * both / (either + 1e-6)) / ops.maximum(ops.sum(present), 1.0)
        return cross_entropy + jaccard * (1.0 - index)

    return loss
