"""Segmentation networks by configuration: any encoder, a U-Net's or DeepLabV3+'s decoder, and a linear head.

The head is two convolutions with dropout between them and nothing else, so that it has the closed form
(docs/posterior.md). Dropout of the decoder stands in its first blocks: all before them runs once for a frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras import layers

from ground_tools.networks.encoders import APPLICATIONS, FEATURES, MOMENTUM, build_application, build_encoder, convolve
from ground_tools.networks.segmenter_design import Segmenter

# Channels of the U-Net's decoder behind an encoder of the literature, the deepest block first.
_DECODER = (128, 64, 48, 32, 24)
# The head's first layer: what goes into it are the features of each pixel.
HEAD = "head_convolution_1"
# Of DeepLabV3+ (Chen et al. 2018): dilations of the pyramid at 1/16, and channels of the features at 1/4.
_DILATIONS, _LOW_CHANNELS = (6, 12, 18), 48


@dataclass(frozen=True)
class SegmenterModel:
    """A segmentation network. Weights of `encoder` are those of `network`, which contains it.

    Attributes:
        network: (N, H, W, C) float32 in [0, 1] to raw scores (N, H, W, K), float32 in any precision.
        encoder: from the image to its features.
        masks: names of its dropout layers, in the order in which they are computed.
    """

    network: keras.Model
    encoder: keras.Model
    masks: tuple[str, ...]


class Masks:
    """Dropout of a network: layers, products with inputs in their place, or nothing of the kind."""

    def __init__(self, as_inputs: bool, none: bool = False) -> None:
        self.names: list[str] = []
        self.inputs: list[Any] = []
        self._as_inputs, self._none = as_inputs, none

    def add(self, x: Any, rate: float) -> Any:
        """What x becomes."""
        if self._none:
            return x
        name = f"dropout_{len(self.names) + 1}"
        self.names.append(name)
        if not self._as_inputs:
            return layers.Dropout(rate, name=name)(x)
        self.inputs.append(keras.Input(tuple(x.shape[1:]), name=f"mask_{len(self.names)}"))
        return layers.Multiply(name=name)([x, self.inputs[-1]])


def build_segmenter(
    design: Segmenter, classes: int, shape: tuple[int, int, int], mask_inputs: bool = False
) -> SegmenterModel:
    """A segmentation network with fresh weights.

    Args:
        design: what it is like.
        classes: K.
        shape: height, width and channels of its images.
        mask_inputs: masks of dropout are inputs behind the image, as in flight; the weights are in the same order.

    Raises:
        ValueError: the images' sides are no multiples of what the encoder shrinks them by.
    """
    height, width, _ = shape
    if height % design.shrinks or width % design.shrinks:
        raise ValueError(f"images: expected sides that {design.shrinks} divides, got {height} x {width}")
    encoder = build_encoder(design.encoder, shape, design.plain, design.alpha, design.reduction)
    if design.frozen:
        encoder.trainable = False
    features = list(encoder.outputs)
    masks = Masks(mask_inputs)
    x = decode(features, design, height, masks)
    x = layers.Conv2D(design.head_channels, 3, padding="same", name=HEAD)(x)
    x = masks.add(x, design.head_dropout)
    scores = layers.Conv2D(classes, 1, padding="same", dtype="float32", name="head_convolution_2")(x)
    inputs = [encoder.input, *masks.inputs] if mask_inputs else encoder.input
    return SegmenterModel(keras.Model(inputs, scores, name="segmenter"), encoder, tuple(masks.names))


def decode(features: list[Any], design: Segmenter, height: int, masks: Masks, prefix: str = "") -> Any:
    """From an encoder's features to those of each pixel of the image.

    Args:
        features: of the encoder, the largest side first.
        design: of the network.
        height: of the image, pixels.
        masks: that the decoder's dropout goes through.
        prefix: before the names of its layers.
    """
    return (_unet if design.decoder == "unet" else _deeplab)(features, design, height, masks, prefix)


def _unet(features: list[Any], design: Segmenter, height: int, masks: Masks, prefix: str) -> Any:
    """Up to full side, joined with the features of each side on the way."""
    x, *skips = reversed(features)
    normalized = design.encoder != "plain" or design.normalization == "batch"
    level = 0
    while x.shape[1] < height:
        skip = next((feature for feature in skips if feature.shape[1] == 2 * x.shape[1]), None)
        plain = design.plain
        # Above the encoder's largest side, where an image was made smaller, as at that side.
        depth = max(plain.depth - 2 - level, 0)
        width = plain.width(depth) if design.encoder == "plain" else _DECODER[min(level, len(_DECODER) - 1)]
        side = plain.side(depth) if design.encoder == "plain" and skip is not None else 3
        # Kernels that do not overlap: a quarter of the work, and no pattern of squares.
        x = layers.Conv2DTranspose(width, 2, 2, "same", use_bias=not normalized, name=f"{prefix}up_{level}")(x)
        if normalized:
            x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{prefix}up_{level}_normalization")(x)
        x = layers.ReLU(name=f"{prefix}up_{level}_activation")(x)
        if skip is not None:
            x = layers.Concatenate(name=f"{prefix}join_{level}")([x, skip])
        if level < design.masked:
            x = masks.add(x, design.block_dropout)
        x = convolve(x, width, side, f"{prefix}decoder_{level}", normalized=normalized)
        for number in range(1, design.decoder_depth):
            x = convolve(x, width, side, f"{prefix}decoder_{level}_{number}", normalized=normalized)
        level += 1
    return x


def _deeplab(features: list[Any], design: Segmenter, height: int, masks: Masks, prefix: str) -> Any:
    """The pyramid of dilations at 1/16, joined with the features at 1/4, then up to full side at once."""
    by_side = {height // design.reduction // feature.shape[1]: feature for feature in features}
    x, low = by_side[16], by_side[4]
    width = _DECODER[0]
    parts = [convolve(x, width, 1, f"{prefix}pyramid_0")]
    for number, dilation in enumerate(_DILATIONS, start=1):
        part = layers.DepthwiseConv2D(
            3, padding="same", dilation_rate=dilation, use_bias=False, name=f"{prefix}pyramid_{number}_depthwise"
        )(x)
        parts.append(convolve(part, width, 1, f"{prefix}pyramid_{number}"))
    mean = f"{prefix}pyramid_mean"
    whole = layers.GlobalAveragePooling2D(keepdims=True, name=mean)(x)
    whole = layers.ReLU(name=f"{mean}_activation")(layers.Conv2D(width, 1, name=f"{mean}_convolution")(whole))
    parts.append(layers.UpSampling2D(tuple(x.shape[1:3]), interpolation="nearest", name=f"{mean}_spread")(whole))
    x = convolve(layers.Concatenate(name=f"{prefix}pyramid_join")(parts), width, 1, f"{prefix}pyramid_end")
    if design.masked:
        x = masks.add(x, design.block_dropout)
    x = layers.UpSampling2D(4, interpolation="bilinear", name=f"{prefix}up_0")(x)
    low = convolve(low, _LOW_CHANNELS, 1, f"{prefix}low")
    x = layers.Concatenate(name=f"{prefix}join_0")([x, low])
    x = convolve(x, _DECODER[1], 3, f"{prefix}decoder_0")
    # Few channels before the largest side, where each of them costs most.
    x = convolve(x, _DECODER[4], 1, f"{prefix}decoder_1")
    return layers.UpSampling2D(4 * design.reduction, interpolation="bilinear", name=f"{prefix}up_1")(x)


def load_encoder(encoder: keras.Model, design: Segmenter, weights: Path) -> None:
    """Give an encoder the weights of a file: one that a training wrote, or one of keras.applications without its top.

    Args:
        encoder: as `build_segmenter` made it.
        design: of its network.
        weights: NAME.weights.h5 of a training, or another file as keras.applications downloads it.

    Raises:
        ValueError: the file is of another encoder, or of images with other channels.
    """
    try:
        if weights.name.endswith(".weights.h5") or design.encoder not in APPLICATIONS:
            encoder.load_weights(weights)
            return
        whole = build_application(design.encoder, encoder.input.shape[1:], design.alpha)
        whole.load_weights(weights)
        for layer in encoder.get_layer(FEATURES).layers:
            layer.set_weights(whole.get_layer(layer.name).get_weights())
    except (ValueError, KeyError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        channels = encoder.input.shape[-1]
        raise ValueError(
            f"{weights}: expected weights of the recipe's encoder for {channels} channels, got others ({reason})"
        ) from error
