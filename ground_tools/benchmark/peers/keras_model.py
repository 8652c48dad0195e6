"""A network as the Keras model that people train, with masks as inputs; and what TensorFlow's converter makes of it."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import tensorflow as tf
from keras import layers as keras_layers

from ground_tools.benchmark.peers.layers import Layer, LayerGraph


def build_keras(graph: LayerGraph) -> keras.Model:
    """The model: inputs (N, H, W, C) float32, the image first; output (N, H, W, K) scores.

    Convolutions after the last one that enlarges are transposed ones of stride 1, as in ground_tools.networks.unet,
    whose export has turned them round.
    """
    inputs = [keras.Input(graph.shapes[tensor][1:], name=f"input_{tensor}") for tensor in graph.inputs]
    known = dict(zip(graph.inputs, inputs, strict=True))
    enlarging = [place for place, layer in enumerate(graph.layers) if layer.kind == "transposed_convolution"]
    head = enlarging[-1] if enlarging else len(graph.layers)
    weights = {}
    for place, layer in enumerate(graph.layers):
        made = _make_layer(layer, place > head)
        read = [known[tensor] for tensor in layer.inputs]
        x = made(read if len(read) > 1 else read[0])
        if layer.kernel is not None:
            weights[made] = [_keras_kernel(layer, made), layer.float_bias(graph.steps)]
        known[layer.output] = keras_layers.ReLU()(x) if layer.relu else x
    model = keras.Model(inputs, known[graph.scores])
    for made, values in weights.items():
        made.set_weights(values)
    return model


def convert_naively(graph: LayerGraph) -> bytes:
    """The model as TensorFlow's converter makes a .tflite file of it with no options set."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return bytes(tf.lite.TFLiteConverter.from_keras_model(build_keras(graph)).convert())


def _make_layer(layer: Layer, in_head: bool) -> keras.layers.Layer:
    if layer.kernel is not None:
        filters, size = len(layer.kernel), layer.kernel.shape[1:3]
        padding = "same" if any(layer.padding) or size == (1, 1) else "valid"
        transposed = layer.kind == "transposed_convolution" or (in_head and layer.stride == 1)
        kind = keras_layers.Conv2DTranspose if transposed else keras_layers.Conv2D
        return kind(filters, size, strides=layer.stride, padding=padding)
    if layer.kind == "max_pool":
        return keras_layers.MaxPooling2D(layer.stride)
    if layer.kind == "leaky_relu":
        return keras_layers.LeakyReLU(layer.slope)
    if layer.kind == "relu":
        return keras_layers.ReLU()
    if layer.kind == "concatenation":
        return keras_layers.Concatenate()
    return keras_layers.Multiply() if layer.kind == "product" else keras_layers.Add()


def _keras_kernel(layer: Layer, made: keras.layers.Layer) -> np.ndarray:
    """(out, rows, columns, in) as Keras has it: (rows, columns, in, out), transposed (rows, columns, out, in)."""
    kernel = layer.float_kernel()
    if layer.kind == "transposed_convolution":
        return kernel.transpose(1, 2, 0, 3)
    if isinstance(made, keras_layers.Conv2DTranspose):
        # Turned round: it computes what the convolution computes.
        return kernel[:, ::-1, ::-1].transpose(1, 2, 0, 3)
    return kernel.transpose(1, 2, 3, 0)
