"""The UNet as it flies: the same function as the Keras model, rewritten for the TFLite runtime.

- Dropout masks are inputs: the Keras Dropout layer vanishes in conversion.
- A stride-1 transposed convolution is a convolution with the kernel flipped and its channel axes exchanged:
  eight times faster in the runtime.
- The factor on the scores that makes them probabilities is put into the last layer.
- Batch normalization is folded into the transposed convolution before it.
- All weights are constants, so that nothing is left to be read from a variable.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ground_tools.export.equalization import channel_factors, equalize
from ground_tools.networks.unet import DECODER_CHANNELS, ENCODER_CHANNELS, HEAD_CHANNELS, LEAKY_SLOPE

MASK_INPUTS = tuple(f"mask_{index}" for index in range(1, len(DECODER_CHANNELS) + len(HEAD_CHANNELS) + 1))


def mask_shapes(unet: keras.Model) -> list[tuple[int, int, int]]:
    """(H, W, C) of the input of each dropout layer, DO1 to DO6."""
    shapes = [unet.get_layer(f"dropout_{index}").input.shape for index in range(1, len(MASK_INPUTS) + 1)]
    return [(int(height), int(width), int(channels)) for _, height, width, channels in shapes]


def keep_probabilities(unet: keras.Model) -> list[float]:
    """1 - rate of each dropout layer, DO1 to DO6."""
    return [1.0 - float(unet.get_layer(f"dropout_{index}").rate) for index in range(1, len(MASK_INPUTS) + 1)]


def flight_convolutions(unet: keras.Model) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias of each layer as they fly: normalization folded in, the head's kernels flipped.

    Encoder and head kernels (3, 3, in, out), up_convolution kernels (3, 3, out, in).
    """
    weights = {layer.name: [np.asarray(w) for w in layer.get_weights()] for layer in unet.layers}
    result = {}
    for index in range(1, len(ENCODER_CHANNELS) + 1):
        kernel, bias = weights[f"encoder_convolution_{index}"]
        result[f"encoder_convolution_{index}"] = (kernel, bias)
    for index in range(1, len(DECODER_CHANNELS) + 1):
        (kernel,) = weights[f"up_convolution_{index}"]
        gamma, beta, mean, variance = weights[f"up_normalization_{index}"]
        scale = gamma / np.sqrt(variance + unet.get_layer(f"up_normalization_{index}").epsilon)
        result[f"up_convolution_{index}"] = (kernel * scale[:, None], beta - mean * scale)
    for index in range(1, len(HEAD_CHANNELS) + 2):
        transposed, bias = weights[f"head_convolution_{index}"]
        kernel = np.ascontiguousarray(transposed[::-1, ::-1].transpose(0, 1, 3, 2))
        result[f"head_convolution_{index}"] = (kernel, bias)
    return result


def build_flight_graph(
    unet: keras.Model, equalize_on: np.ndarray | None = None, score_factor: float = 1.0
) -> tf.Module:
    """A module whose `forward(image, mask_1, ..., mask_6)` gives {"scores": (1, H, W, K) float32}.

    Masks hold 0 where a value is dropped and 1 / keep probability where it is kept; all ones is the
    deterministic network. equalize_on: (N, H, W, C) float32 images on which the channels' ranges are measured and
    made equal, for quantization; the scores stay the same. score_factor: on the scores, above 0.
    """
    convolutions = flight_convolutions(unet)
    last = f"head_convolution_{len(HEAD_CHANNELS) + 1}"
    kernel, bias = (array * np.float32(score_factor) for array in convolutions[last])
    convolutions[last] = (kernel, bias)
    if equalize_on is not None:
        convolutions = equalize(convolutions, channel_factors(unet, equalize_on))
    image_shape = (1, *unet.input.shape[1:])
    specifications = [tf.TensorSpec(image_shape, tf.float32, name="image")] + [
        tf.TensorSpec((1, *shape), tf.float32, name=name)
        for name, shape in zip(MASK_INPUTS, mask_shapes(unet), strict=True)
    ]

    def convolution(x: Any, name: str) -> Any:
        kernel, bias = convolutions[name]
        return tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias)

    def forward(image: Any, *masks: Any) -> dict[str, Any]:
        x, activations = image, []
        for index in range(1, len(ENCODER_CHANNELS) + 1):
            if index > 1:
                x = tf.nn.max_pool2d(x, 2, 2, "VALID")
            x = tf.nn.leaky_relu(convolution(x, f"encoder_convolution_{index}"), LEAKY_SLOPE)
            activations.append(x)
        skips = activations[-2::-1]
        for index, (width, skip) in enumerate(zip(DECODER_CHANNELS, skips, strict=True), start=1):
            kernel, bias = convolutions[f"up_convolution_{index}"]
            shape = (1, 2 * x.shape[1], 2 * x.shape[2], width)
            x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d_transpose(x, kernel, shape, 2, "SAME"), bias))
            x = tf.concat([x, skip], axis=3) * masks[index - 1]
            x = tf.nn.leaky_relu(x, LEAKY_SLOPE)
        for index in range(1, len(HEAD_CHANNELS) + 2):
            x = convolution(x, f"head_convolution_{index}")
            if index <= len(HEAD_CHANNELS):
                x = x * masks[len(DECODER_CHANNELS) + index - 1]
        return {"scores": x}

    module = tf.Module()
    module.forward = tf.function(forward, input_signature=specifications)
    return module


def random_masks(
    shapes: list[tuple[int, int, int]], keep: list[float], generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Fresh dropout masks by input name, (1, H, W, C) float32."""
    return {
        f"mask_{number}": ((generator.random((1, *shape)) < p) / p).astype(np.float32)
        for number, (shape, p) in enumerate(zip(shapes, keep, strict=True), start=1)
    }
