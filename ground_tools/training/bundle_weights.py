"""A bundle's int8 network as a UNet to train on: for those who have a bundle, and no weights of its training."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np

from flight.bundle import NetworkFile
from flight.inference.interpreter import make_interpreter
from ground_tools.networks.unet import DECODER_CHANNELS, ENCODER_CHANNELS, HEAD_CHANNELS

# The exported graph's layers in the order in which their biases are numbered.
_LAYERS = (
    [f"encoder_convolution_{index}" for index in range(1, len(ENCODER_CHANNELS) + 1)]
    + [f"up_convolution_{index}" for index in range(1, len(DECODER_CHANNELS) + 1)]
    + [f"head_convolution_{index}" for index in range(1, len(HEAD_CHANNELS) + 2)]
)


def load_bundle_weights(unet: keras.Model, network: NetworkFile, inputs: np.ndarray) -> None:
    """Give a UNet the weights of a network that `ground-tools export` wrote: it computes the same, but for rounding.

    The exported network has its batch normalization folded in. Here each gets the mean and variance that the inputs
    have there as its moving statistics, and the scale and offset that undo them, so that the function stays the same,
    and nearly so in training, which normalizes by those of the batch. The factor on the scores stays in.

    inputs: (N, H, W, C) float32, images as the network is going to see them. Raises ValueError where the file is not of
    this UNet.
    """
    convolutions = _convolutions(network)
    for name in _LAYERS:
        layer = unet.get_layer(name)
        kernel, bias = convolutions[name]
        # Files have (out, rows, columns, in).
        if name.startswith("encoder"):
            kernel = kernel.transpose(1, 2, 3, 0)
        elif name.startswith("up"):
            kernel = kernel.transpose(1, 2, 0, 3)
        else:
            kernel = kernel.transpose(1, 2, 0, 3)[::-1, ::-1]
        if kernel.shape != tuple(layer.kernel.shape):
            raise ValueError(
                f"network {network.name}: {name}: expected a kernel {tuple(layer.kernel.shape)}, got {kernel.shape}"
            )
        layer.set_weights([kernel] if name.startswith("up") else [kernel, bias])
    blocks = range(1, len(DECODER_CHANNELS) + 1)
    normalizations = [unet.get_layer(f"up_normalization_{index}") for index in blocks]
    biases = [convolutions[f"up_convolution_{index}"][1] for index in blocks]
    for layer, bias in zip(normalizations, biases, strict=True):
        one = np.ones_like(bias)
        layer.set_weights([one * np.sqrt(1 + layer.epsilon), bias, 0 * one, one])
    raw = keras.Model(unet.input, [unet.get_layer(f"up_convolution_{index}").output for index in blocks])
    measured = raw.predict(inputs, batch_size=16, verbose=0)
    for layer, bias, values in zip(normalizations, biases, measured, strict=True):
        mean, variance = values.mean(axis=(0, 1, 2)), values.var(axis=(0, 1, 2))
        layer.set_weights([np.sqrt(variance + layer.epsilon), bias + mean, mean, variance])


def _convolutions(network: NetworkFile) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernel (out, rows, columns, in) and bias (out,) of each layer, float32, by the names of the UNet's layers."""
    interpreter = make_interpreter(network.content, 1)
    kernels: dict[str, np.ndarray] = {}
    biases: dict[str, np.ndarray] = {}
    decoder = len(ENCODER_CHANNELS)
    head = decoder + len(DECODER_CHANNELS)
    for detail in interpreter.get_tensor_details():
        name, kind = detail["name"], detail["dtype"]
        kernel = re.fullmatch(r"(Conv2D|conv2d_transpose)(?:_(\d+))?", name)
        bias = re.match(r"(?:Relu(?:_\d+)?;)?BiasAdd(?:_(\d+))?;", name)
        if kernel and kind == np.int8:
            number = int(kernel[2] or 0)
            if kernel[1] == "conv2d_transpose":
                place = decoder + number
            else:
                place = number if number < decoder else head + number - decoder
            found = kernels
        elif bias and kind == np.int32:
            place, found = int(bias[1] or 0), biases
        else:
            continue
        if place < len(_LAYERS):
            found[_LAYERS[place]] = _floats(interpreter.get_tensor(detail["index"]), detail)
    for name in _LAYERS:
        if name not in kernels or name not in biases:
            raise ValueError(f"network {network.name}: expected an int8 UNet of `ground-tools export`, got no {name}")
    return {name: (kernels[name], biases[name]) for name in _LAYERS}


def _floats(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """What quantized constants stand for; scales are by output channel, their first axis."""
    scales = detail["quantization_parameters"]["scales"]
    result: np.ndarray = values.astype(np.float32) * scales.reshape(-1, *[1] * (values.ndim - 1)).astype(np.float32)
    return result
