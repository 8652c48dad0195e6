"""What a UNet's training minimizes, by its recipe: the loss of the scores, and that of an output for boundaries.

The further output is part of the training alone. Weights are saved, and networks exported, without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from ground_tools.training.losses import segmentation_loss
from ground_tools.training.recipes import Recipe

# A pixel at a boundary counts so many times: there are as many fewer of them.
_BOUNDARY_WEIGHT = 4.0


def add_boundary(unet: keras.Model) -> keras.Model:
    """The UNet with one more channel behind the scores: how likely a pixel is to lie where two classes meet (a logit).

    From what goes into the head, by one 1 x 1 convolution; shares every layer with `unet`.
    Input (N, S, S, C); output (N, S, S, K + 1).
    """
    features = unet.get_layer("head_convolution_1").input
    boundary = layers.Conv2D(1, 1, dtype="float32", name="boundary")(features)
    return keras.Model(unet.input, layers.Concatenate(name="with_boundary", dtype="float32")([unet.output, boundary]))


def training_model(unet: keras.Model, recipe: Recipe) -> keras.Model:
    """What is trained of a UNet whose head is computed as it is in the whole image."""
    return add_boundary(unet) if recipe.boundary else unet


def training_loss(recipe: Recipe) -> Callable[[Any, Any], Any]:
    """The loss of (N, H, W) integer labels and what the training's model gives, see `training_model`."""
    of_scores = segmentation_loss(recipe.class_weights, recipe.jaccard, recipe.focal)
    if not recipe.boundary:
        return of_scores

    def loss(labels: Any, outputs: Any) -> Any:
        return of_scores(labels, outputs[..., :-1]) + recipe.boundary * boundary_loss(labels, outputs[..., -1])

    return loss


def boundary_loss(labels: Any, logits: Any) -> Any:
    """Cross-entropy of the boundary's logits, a mean over the pixels; those at a boundary count more.

    labels: (N, H, W) integers. logits: (N, H, W).
    """
    true = find_boundaries(labels)
    logits = ops.cast(logits, "float32")
    each = _BOUNDARY_WEIGHT * true * ops.softplus(-logits) + (1.0 - true) * ops.softplus(logits)
    return ops.mean(each)


def find_boundaries(labels: Any) -> Any:
    """1 where one of a pixel's eight neighbours has another class, else 0. (N, H, W) integers -> (N, H, W) float32.

    Nothing is a boundary because the image ends there.
    """
    values = ops.cast(labels, "float32")[..., None]
    highest = ops.max_pool(values, 3, strides=1, padding="same", data_format="channels_last")
    lowest = -ops.max_pool(-values, 3, strides=1, padding="same", data_format="channels_last")
    return ops.cast(highest > lowest, "float32")[..., 0]
