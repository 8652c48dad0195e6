"""The UNet's head in training, five sixths of the cost: computed in a window only, or folded into one layer."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ground_tools.networks.unet import DECODER_CHANNELS, HEAD_CHANNELS

# Pixels at the image's border where a folded head differs from the real one, which sees zeros between its layers.
FOLDED_BORDER = 3


class Window(keras.layers.Layer):
    """Cuts a square window out of each feature map: ((N, H, W, C), (N, 2) first rows and columns) -> (N, w, w, C).

    By products with selection matrices, which every backend differentiates and which cost next to nothing.
    """

    def __init__(self, size: int, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._size = size

    def call(self, inputs: Any) -> Any:
        features, offsets = inputs
        steps = ops.arange(self._size, dtype="int32")
        rows = ops.one_hot(offsets[:, :1] + steps, features.shape[1], dtype=features.dtype)
        columns = ops.one_hot(offsets[:, 1:] + steps, features.shape[2], dtype=features.dtype)
        return ops.einsum("nvx,nwxc->nwvc", columns, ops.einsum("nwh,nhxc->nwxc", rows, features))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        (batch, _, _, channels), _ = input_shape
        return (batch, self._size, self._size, channels)


def add_window(unet: keras.Model, window: int) -> keras.Model:
    """The UNet for training, its head computed inside a window only; it shares every layer with `unet`.

    Inputs: image (N, S, S, C) and window_offset (N, 2) int32; output (N, window, window, K) scores.
    """
    offset = keras.Input((2,), dtype="int32", name="window_offset")
    x = Window(window, name="window")([_features(unet), offset])
    blocks = len(DECODER_CHANNELS)
    for index, layer in enumerate(_head(unet), start=1):
        x = layer(x)
        if index <= len(HEAD_CHANNELS):
            x = unet.get_layer(f"dropout_{blocks + index}")(x)
    return keras.Model([unet.input, offset], x, name="unet_windowed")


class FoldedHead(keras.layers.Layer):
    """The head's transposed convolutions as the one that they make together without dropout.

    Nothing but dropout lies between them, so that they are one linear map, of 7 x 7 pixels and a fortieth of the cost.
    The kernel is folded anew in every step, and its gradient goes to the layers' own weights. Exact but for
    FOLDED_BORDER pixels at the border, where the layers see zeros. Scores are float32 in any precision, as the real
    head's are. (N, H, W, C) -> (N, H, W, K).
    """

    def __init__(self, layers: list[keras.layers.Layer], **keywords: Any) -> None:
        super().__init__(dtype="float32", **keywords)
        self._layers_folded = layers

    def call(self, inputs: Any) -> Any:
        first, *others = self._layers_folded
        # Kernels are (rows, columns, out, in). Each input channel of the first is an image for those that follow.
        kernel = ops.transpose(first.kernel, (3, 0, 1, 2))
        bias = first.bias
        for layer in others:
            kernel = ops.conv_transpose(kernel, layer.kernel, padding="valid", data_format="channels_last")
            bias = ops.einsum("rcoi,i->o", layer.kernel, bias) + layer.bias
        kernel = ops.transpose(kernel, (1, 2, 3, 0))
        return ops.conv_transpose(inputs, kernel, padding="same", data_format="channels_last") + bias

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        return (*input_shape[:3], self._layers_folded[-1].filters)


def fold_head(unet: keras.Model) -> keras.Model:
    """The UNet with its head folded, for training without dropout in the head; it shares every weight with `unet`.

    Input (N, S, S, C); output (N, S, S, K) scores.
    """
    return keras.Model(unet.input, FoldedHead(_head(unet), name="folded_head")(_features(unet)), name="unet_folded")


def _features(unet: keras.Model) -> Any:
    """What goes into the head."""
    return unet.get_layer(f"up_leaky_{len(DECODER_CHANNELS)}").output


def _head(unet: keras.Model) -> list[keras.layers.Layer]:
    return [unet.get_layer(f"head_convolution_{index}") for index in range(1, len(HEAD_CHANNELS) + 2)]
