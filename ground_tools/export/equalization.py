"""Equalization of channels before quantization (after Nagel et al. 2019, cross-layer equalization).

An int8 tensor has one step for all its channels: a channel of small values beside one of large values is rounded to
nothing. Every activation of the UNet is positively homogeneous (ReLU, LeakyReLU, max pooling, dropout masks, and the
head has none), so a channel can be scaled by a positive factor and the weights that read it by the inverse: the same
function, with all channels of one range.
"""

from __future__ import annotations

import keras
import numpy as np

from ground_tools.networks.unet import DECODER_CHANNELS, ENCODER_CHANNELS, HEAD_CHANNELS

# A channel that is almost always zero must not be blown up without bound.
_LARGEST_FACTOR = 1e3
# Of a channel's largest value, what is tried as its range.
_SHARES = (1.0, 0.85, 0.7, 0.6, 0.5, 0.42, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1)
_STEPS = 255.0


def channel_factors(unet: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """Per measured layer, the factor (C,) float32 that brings each channel's range over the images to about 1.

    Measured with dropout, as passes are: it makes the largest values several times larger.

    images: (N, H, W, C) float32. Layers: encoder_activation_1..5, up_activation_1..4, head_convolution_1..2.
    """
    names = [f"encoder_activation_{index}" for index in range(1, len(ENCODER_CHANNELS) + 1)]
    names += [f"up_activation_{index}" for index in range(1, len(DECODER_CHANNELS) + 1)]
    names += [f"head_convolution_{index}" for index in range(1, len(HEAD_CHANNELS) + 1)]
    measured = keras.Model(unet.input, [unet.get_layer(name).output for name in names])
    factors = {}
    for name, values in zip(names, run_with_dropout(measured, images), strict=True):
        factors[name] = find_factor(channel_ranges(values)).astype(np.float32)
    return factors


def run_with_dropout(measured: keras.Model, images: np.ndarray) -> list[np.ndarray]:
    """The outputs over images, with dropout as passes have it, but with the normalization that was trained."""
    normalizations = [layer for layer in measured.layers if isinstance(layer, keras.layers.BatchNormalization)]
    trainable = [layer.trainable for layer in normalizations]
    keras.utils.set_random_seed(0)
    try:
        for layer in normalizations:
            layer.trainable = False
        parts = [measured(images[start : start + 4], training=True) for start in range(0, len(images), 4)]
    finally:
        for layer, before in zip(normalizations, trainable, strict=True):
            layer.trainable = before
    return [np.concatenate([np.asarray(part[place]) for part in parts]) for place in range(len(parts[0]))]


def channel_ranges(values: np.ndarray) -> np.ndarray:
    """For each channel the range in which int8 loses least: by rounding inside it, and by clipping what is beyond.

    A range that follows rare extremes rounds all else coarsely; one that leaves them out makes all other channels pay,
    where the tensor must hold them after all.

    values: (N, H, W, C) float32. Returns (C,) float64.
    """
    magnitudes = np.abs(values.reshape(-1, values.shape[-1]))
    largest = magnitudes.max(axis=0).astype(np.float64)
    errors = []
    for share in _SHARES:
        limit = (share * largest).astype(np.float32)
        beyond = np.square(np.maximum(magnitudes - limit, np.float32(0.0))).mean(axis=0, dtype=np.float64)
        errors.append(beyond + np.square(share * largest / _STEPS) / 12.0)
    return np.array(_SHARES)[np.argmin(errors, axis=0)] * largest


def find_factor(ranges: np.ndarray) -> np.ndarray:
    """The factors that bring ranges to about 1."""
    return np.minimum(1.0 / np.maximum(ranges, 1e-12), _LARGEST_FACTOR)


def equalize(
    convolutions: dict[str, tuple[np.ndarray, np.ndarray]], factors: dict[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernels and biases with the factors put in; the network computes the same scores.

    convolutions: by layer name; encoder and head kernels (3, 3, in, out), up_convolution kernels (3, 3, out, in) as
    transposed convolutions have them, normalization folded in. Biases (out,).
    """
    result = {name: (kernel.copy(), bias.copy()) for name, (kernel, bias) in convolutions.items()}

    def write(name: str, factor: np.ndarray, transposed: bool = False) -> None:
        kernel, bias = result[name]
        result[name] = (kernel * (factor[:, None] if transposed else factor), bias * factor)

    def read(name: str, factor: np.ndarray, transposed: bool = False) -> None:
        kernel, bias = result[name]
        result[name] = (kernel / (factor if transposed else factor[:, None]), bias)

    blocks = len(DECODER_CHANNELS)
    for index in range(1, len(ENCODER_CHANNELS) + 1):
        factor = factors[f"encoder_activation_{index}"]
        write(f"encoder_convolution_{index}", factor)
        if index < len(ENCODER_CHANNELS):
            read(f"encoder_convolution_{index + 1}", factor)
    # What the first up block reads, and what each block hands on: its own channels, then those of the skip.
    read("up_convolution_1", factors[f"encoder_activation_{len(ENCODER_CHANNELS)}"], transposed=True)
    for index in range(1, blocks + 1):
        own = factors[f"up_activation_{index}"]
        skip = factors[f"encoder_activation_{len(ENCODER_CHANNELS) - index}"]
        write(f"up_convolution_{index}", own, transposed=True)
        if index < blocks:
            read(f"up_convolution_{index + 1}", np.concatenate([own, skip]), transposed=True)
        else:
            read("head_convolution_1", np.concatenate([own, skip]))
    for index in range(1, len(HEAD_CHANNELS) + 1):
        factor = factors[f"head_convolution_{index}"]
        write(f"head_convolution_{index}", factor)
        read(f"head_convolution_{index + 1}", factor)
    return result
