"""A network of our own as it flies: made from its list of layers, as `graph.py` makes the reference paper's.

Dropout masks are inputs, batch normalization is folded in, all weights are constants. Channels are given equal ranges
before quantization (see `equalization.py`): here for any list of layers. Channels that are added to each other have one
factor, since a sum cannot scale one of its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ground_tools.export.equalization import channel_ranges, find_factor, run_with_dropout
from ground_tools.foundation.sampling import evenly
from ground_tools.networks.layers import IMAGE, LEAKY_SLOPE, Layer

Weights = dict[str, tuple[np.ndarray, np.ndarray]]
# Ranges of channels are those of a few images.
_EQUALIZATION_IMAGES = 16


def fold_normalization(model: keras.Model, layers: Sequence[Layer]) -> Weights:
    """Kernel and bias (out,) of each layer as it flies.

    Kernels are (rows, columns, in, out), of a transposed convolution (rows, columns, out, in), of a depthwise one
    (rows, columns, channels, 1).
    """
    folded: Weights = {}
    for layer in layers:
        if not layer.has_weights:
            continue
        kernel, *bias = (np.asarray(values) for values in model.get_layer(layer.name).get_weights())
        if not layer.normalized:
            folded[layer.name] = (kernel, bias[0])
            continue
        normalization = model.get_layer(f"{layer.name}_normalization")
        gamma, beta, mean, variance = (np.asarray(values) for values in normalization.get_weights())
        scale = gamma / np.sqrt(variance + normalization.epsilon)
        folded[layer.name] = (kernel * _along_output(layer, scale), beta - mean * scale)
    return folded


def build_design_graph(
    model: keras.Model, layers: Sequence[Layer], equalize_on: np.ndarray | None = None, score_factor: float = 1.0
) -> tf.Module:
    """A module as of `graph.build_flight_graph`, whose masks are those of the layers, in their order."""
    weights = fold_normalization(model, layers)
    kernel, bias = weights[layers[-1].name]
    weights[layers[-1].name] = (kernel * np.float32(score_factor), bias * np.float32(score_factor))
    if equalize_on is not None:
        weights = equalize_layers(weights, layers, _ranges(model, layers, equalize_on))
    masks = [layer.name for layer in layers if layer.kind == "mask"]
    specifications = [tf.TensorSpec((1, *model.input.shape[1:]), tf.float32, name="image")]
    for number, name in enumerate(masks, start=1):
        shape = (1, *model.get_layer(name).input.shape[1:])
        specifications.append(tf.TensorSpec(shape, tf.float32, name=f"mask_{number}"))

    def forward(image: Any, *given: Any) -> dict[str, Any]:
        values, mask_values = {IMAGE: image}, dict(zip(masks, given, strict=True))
        for layer in layers:
            inputs = [values[name] for name in layer.inputs]
            x = _apply(layer, inputs, weights.get(layer.name), mask_values.get(layer.name))
            values[layer.name] = _ACTIVATIONS[layer.activation](x)
        return {"scores": values[layers[-1].name]}

    module = tf.Module()
    module.forward = tf.function(forward, input_signature=specifications)
    return module


_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "": lambda x: x,
    "relu": tf.nn.relu,
    "leaky": lambda x: tf.nn.leaky_relu(x, LEAKY_SLOPE),
}


def _apply(layer: Layer, inputs: list[Any], weights: tuple[np.ndarray, np.ndarray] | None, mask: Any) -> Any:
    """What a layer computes, but for its activation."""
    x = inputs[0]
    if layer.kind == "join":
        return tf.concat(inputs, axis=3)
    if layer.kind == "sum":
        return inputs[0] + inputs[1]
    if layer.kind == "pool":
        return tf.nn.max_pool2d(x, layer.kernel, layer.stride, "VALID")
    if layer.kind == "mask":
        return x * mask
    if weights is None:
        return x
    kernel, bias = weights
    if layer.kind == "depthwise":
        x = tf.nn.depthwise_conv2d(x, kernel, [1, layer.stride, layer.stride, 1], "SAME")
    elif layer.kind == "transposed":
        shape = (1, layer.stride * x.shape[1], layer.stride * x.shape[2], layer.channels)
        x = tf.nn.conv2d_transpose(x, kernel, shape, layer.stride, "SAME")
    else:
        x = tf.nn.conv2d(x, kernel, layer.stride, "SAME")
    return tf.nn.bias_add(x, bias)


def equalize_layers(weights: Weights, layers: Sequence[Layer], ranges: dict[str, np.ndarray]) -> Weights:
    """Kernels and biases by which every channel's range is about 1; the network computes the same scores.

    ranges: (C,) of what layers compute, by their names.
    """
    groups = _group_channels(layers)
    largest: dict[int, float] = {}
    for name, values in ranges.items():
        for group, value in zip(groups[name], values, strict=True):
            largest[group] = max(largest.get(group, 0.0), float(value))
    factors = dict(zip(largest, find_factor(np.array(list(largest.values()))).tolist(), strict=True))

    def factor(name: str) -> np.ndarray:
        return np.array([factors.get(group, 1.0) for group in groups[name]], dtype=np.float32)

    equal: Weights = {}
    for layer in layers:
        if layer.has_weights:
            kernel, bias = weights[layer.name]
            read, written = factor(layer.inputs[0]), factor(layer.name)
            kernel = kernel * _along_output(layer, written)
            equal[layer.name] = (kernel / _along_input(layer, read), bias * written)
    return equal


def _along_output(layer: Layer, values: np.ndarray) -> np.ndarray:
    """Values by output channel, to be multiplied with a kernel."""
    return values if layer.kind == "convolution" else values[:, None]


def _along_input(layer: Layer, values: np.ndarray) -> np.ndarray:
    """Values by input channel, likewise."""
    return values if layer.kind == "transposed" else values[:, None]


def _group_channels(layers: Sequence[Layer]) -> dict[str, list[int]]:
    """Of each layer's channels, the group that has one factor. The image's and the scores' have groups of no range."""
    parent: list[int] = []

    def fresh(count: int) -> list[int]:
        first = len(parent)
        parent.extend(range(first, first + count))
        return list(range(first, first + count))

    def find(group: int) -> int:
        while parent[group] != group:
            group = parent[group]
        return group

    found = {IMAGE: fresh(1)}
    for layer in layers:
        read = [found[name] for name in layer.inputs]
        if layer.kind == "join":
            found[layer.name] = [group for groups in read for group in groups]
        elif layer.kind == "sum":
            for one, other in zip(*read, strict=True):
                parent[find(other)] = find(one)
            found[layer.name] = read[0]
        elif layer.kind == "depthwise":
            found[layer.name] = fresh(len(read[0]))
        else:
            found[layer.name] = fresh(layer.channels) if layer.has_weights else read[0]
    return {name: [find(group) for group in groups] for name, groups in found.items()}


def _ranges(model: keras.Model, layers: Sequence[Layer], images: np.ndarray) -> dict[str, np.ndarray]:
    """(C,) of all that is computed with weights or summed, but for the scores. images: (N, H, W, C) float32."""
    measured = [layer for layer in layers[:-1] if layer.has_weights or layer.kind == "sum"]
    images = images[evenly(len(images), min(_EQUALIZATION_IMAGES, len(images)))]
    outputs = keras.Model(model.input, [model.get_layer(layer.last_keras_layer).output for layer in measured])
    found = run_with_dropout(outputs, images)
    return {layer.name: channel_ranges(values) for layer, values in zip(measured, found, strict=True)}
