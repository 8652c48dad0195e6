"""The loss of the UNets: weighted cross-entropy, as the reference paper's, and a soft Jaccard index beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops


def segmentation_loss(class_weights: tuple[float, ...], jaccard: float) -> Callable[[Any, Any], Any]:
    """The loss of (N, H, W) integer labels and (N, H, W, K) scores, a mean over the pixels of the batch.

    class_weights: K, the weight of a pixel by its true class. jaccard: weight of 1 - J, where J is the mean, over the
    images and the classes that each of them shows, of sum(p t) / sum(p + t - p t) with the softmax p and the truth t.
    """
    weights = ops.convert_to_tensor(class_weights, dtype="float32")

    def loss(labels: Any, scores: Any) -> Any:
        truth = ops.one_hot(ops.cast(labels, "int32"), len(class_weights), dtype="float32")
        log_probability = ops.log_softmax(ops.cast(scores, "float32"), axis=-1)
        cross_entropy = -ops.mean(ops.sum(truth * weights * log_probability, axis=-1))
        if not jaccard:
            return cross_entropy
        probability = ops.exp(log_probability)
        both = ops.sum(truth * probability, axis=(1, 2))
        shown = ops.sum(truth, axis=(1, 2))
        either = shown + ops.sum(probability, axis=(1, 2)) - both
        present = ops.cast(shown > 0, "float32")
        index = ops.sum(present * both / (either + 1e-6)) / ops.sum(present)
        return cross_entropy + jaccard * (1.0 - index)

    return loss
