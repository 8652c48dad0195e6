"""A list of layers as a Keras model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers as keras_layers

from ground_tools.networks.layers import IMAGE, LEAKY_SLOPE, Layer
from ground_tools.networks.unet import UNetDropout


def build_model(layers: Sequence[Layer], dropout: UNetDropout, size: int = 128, channels: int = 1) -> keras.Model:
    """The network, with fresh weights.

    Input (N, size, size, channels) float32 in [0, 1]; output raw scores (N, size, size, K), float32 in any precision.
    """
    image = keras.Input((size, size, channels), name=IMAGE)
    values = {IMAGE: image}
    for layer in layers:
        policy = {"dtype": "float32"} if layer is layers[-1] else {}
        x = _main_layer(layer, dropout, policy)([values[name] for name in layer.inputs])
        if layer.normalized:
            x = keras_layers.BatchNormalization(name=f"{layer.name}_normalization")(x)
        if layer.activation and layer.kind != "activation":
            x = _activation(layer, f"{layer.name}_activation")(x)
        values[layer.name] = x
    return keras.Model(image, values[layers[-1].name], name="unet")


def _main_layer(layer: Layer, dropout: UNetDropout, policy: dict[str, str]) -> Any:
    """The first of the Keras layers of a layer, to be called with a list of what it reads."""
    bias = not layer.normalized
    if layer.kind == "join":
        return keras_layers.Concatenate(name=layer.name)
    if layer.kind == "sum":
        return keras_layers.Add(name=layer.name)
    if layer.kind == "convolution":
        made = keras_layers.Conv2D(
            layer.channels, layer.kernel, layer.stride, "same", use_bias=bias, name=layer.name, **policy
        )
    elif layer.kind == "depthwise":
        made = keras_layers.DepthwiseConv2D(layer.kernel, layer.stride, "same", use_bias=bias, name=layer.name)
    elif layer.kind == "transposed":
        made = keras_layers.Conv2DTranspose(
            layer.channels, layer.kernel, layer.stride, "same", use_bias=bias, name=layer.name
        )
    elif layer.kind == "pool":
        made = keras_layers.MaxPooling2D(layer.kernel, layer.stride, name=layer.name)
    elif layer.kind == "mask":
        made = keras_layers.Dropout(getattr(dropout, layer.rate), name=layer.name)
    else:
        made = _activation(layer, layer.name)
    return lambda inputs: made(inputs[0])


def _activation(layer: Layer, name: str) -> Any:
    return (
        keras_layers.ReLU(name=name) if layer.activation == "relu" else keras_layers.LeakyReLU(LEAKY_SLOPE, name=name)
    )
