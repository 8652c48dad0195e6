"""The encoder CNN and the UNet of the reference paper (Pugliatti & Maestrini)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

ENCODER_CHANNELS = (16, 32, 64, 128, 256)
DECODER_CHANNELS = (128, 64, 32, 16)
HEAD_CHANNELS = (128, 256)
LEAKY_SLOPE = 0.3


@dataclass(frozen=True)
class UNetDropout:
    """Dropout rates: `blocks` after the concatenations (DO1 to DO4), `head` between the last layers (DO5, DO6)."""

    blocks: float
    head: float


def _encoder(image: Any) -> list[Any]:
    """The activations E1..E5: side 1, 1/2, 1/4, 1/8, 1/16 of the image's, 16 to 256 channels."""
    activations = []
    x = image
    for index, channels in enumerate(ENCODER_CHANNELS, start=1):
        if index > 1:
            x = layers.MaxPooling2D(2, name=f"encoder_pool_{index - 1}")(x)
        x = layers.Conv2D(channels, 3, padding="same", name=f"encoder_convolution_{index}")(x)
        x = layers.LeakyReLU(LEAKY_SLOPE, name=f"encoder_activation_{index}")(x)
        activations.append(x)
    return activations


def build_encoder_cnn(bodies: int, size: int = 128, channels: int = 1) -> keras.Model:
    """The CNN whose convolutions become the UNet's encoder: which body is it?

    Input (N, size, size, channels) float32 in [0, 1]; output (N, bodies) probabilities. 1,474,951 parameters
    with 7 bodies at 128 px.
    """
    image = keras.Input((size, size, channels), name="image")
    x = layers.MaxPooling2D(2, name="encoder_pool_5")(_encoder(image)[-1])
    x = layers.Dropout(0.2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(256, activation="relu")(x)
    x = layers.Dropout(0.2)(x)
    x = layers.Dense(128, activation="relu")(x)
    # The softmax stays float32 under mixed precision.
    return keras.Model(image, layers.Dense(bodies, activation="softmax", dtype="float32")(x), name="encoder_cnn")


def build_unet(classes: int, dropout: UNetDropout, size: int = 128, channels: int = 1) -> keras.Model:
    """The UNet. Input (N, size, size, channels) float32 in [0, 1]; output raw scores (N, size, size, classes).

    1,225,413 parameters at 128 px, one channel and five classes: 392,320 in the encoder, 832,613 in the
    decoder and head, 480 moving statistics.
    """
    image = keras.Input((size, size, channels), name="image")
    activations = _encoder(image)
    x = activations[-1]
    for index, (width, skip) in enumerate(zip(DECODER_CHANNELS, reversed(activations[:-1]), strict=True), start=1):
        x = layers.Conv2DTranspose(width, 3, strides=2, padding="same", use_bias=False, name=f"up_convolution_{index}")(
            x
        )
        x = layers.BatchNormalization(name=f"up_normalization_{index}")(x)
        x = layers.ReLU(name=f"up_activation_{index}")(x)
        x = layers.Concatenate(name=f"up_concatenation_{index}")([x, skip])
        x = layers.Dropout(dropout.blocks, name=f"dropout_{index}")(x)
        x = layers.LeakyReLU(LEAKY_SLOPE, name=f"up_leaky_{index}")(x)
    for index, width in enumerate(HEAD_CHANNELS, start=1):
        x = layers.Conv2DTranspose(width, 3, padding="same", name=f"head_convolution_{index}")(x)
        x = layers.Dropout(dropout.head, name=f"dropout_{len(DECODER_CHANNELS) + index}")(x)
    scores = layers.Conv2DTranspose(
        classes, 3, padding="same", dtype="float32", name=f"head_convolution_{len(HEAD_CHANNELS) + 1}"
    )(x)
    return keras.Model(image, scores, name="unet")


def encoder_layer_names() -> list[str]:
    """The layers that the encoder CNN and the UNet share, with weights."""
    return [f"encoder_convolution_{index}" for index in range(1, len(ENCODER_CHANNELS) + 1)]


def take_encoder(unet: keras.Model, source: keras.Model, freeze: bool = True) -> None:
    """Copy the encoder's convolutions from `source` (the CNN or another UNet) into `unet` and freeze them."""
    for name in encoder_layer_names():
        layer = unet.get_layer(name)
        layer.set_weights(source.get_layer(name).get_weights())
        layer.trainable = not freeze
