"""Encoders of segmentation networks: what an image becomes at a side of 1, 1/2, 1/4, ... of its own.

Those with a name of the literature are as their papers have them but for the classifier: VGG11 (Simonyan & Zisserman
2015, with batch normalization), ResNet18 and ResNet50 (He et al. 2016), MobileNetV2 (Sandler et al. 2018),
MobileNetV3-Large (Howard et al. 2019); the last three are those of keras.applications, whose files of weights fit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import layers

from ground_tools.networks.segmenter_design import Plain

_VGG11 = ((64, 1), (128, 1), (256, 2), (512, 2), (512, 2))
_RESNET18 = (64, 128, 256, 512)
# Of keras.applications, the last layer at each side from 1/2 down.
_MOBILENET_V2 = ("expanded_conv_project_BN", "block_2_add", "block_5_add", "block_12_add", "block_16_project_BN")
_MOBILENET_V3 = (
    "expanded_conv_add",
    "expanded_conv_2_add",
    "expanded_conv_5_add",
    "expanded_conv_11_add",
    "expanded_conv_14_add",
)
_RESNET50 = ("conv1_relu", "conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out")
APPLICATIONS = {"resnet50": _RESNET50, "mobilenet_v2": _MOBILENET_V2, "mobilenet_v3_large": _MOBILENET_V3}
# Of batch normalization's moving statistics: with few images a longer memory, as Keras has it, never catches up.
MOMENTUM = 0.9
# The layer of an encoder that holds what is of keras.applications.
FEATURES = "features"


def convolve(
    x: Any,
    width: int,
    side: int,
    name: str,
    *,
    stride: int = 1,
    dilation: int = 1,
    normalized: bool = True,
    active: bool = True,
) -> Any:
    """A convolution of side `side`, batch normalization and ReLU."""
    x = layers.Conv2D(width, side, stride, "same", dilation_rate=dilation, use_bias=not normalized, name=name)(x)
    if normalized:
        x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_normalization")(x)
    return layers.ReLU(name=f"{name}_activation")(x) if active else x


def build_encoder(
    name: str, shape: tuple[int, int, int], plain: Plain, alpha: float, reduction: int = 1
) -> keras.Model:
    """An encoder with fresh weights.

    Args:
        name: plain, vgg11, resnet18, resnet50, mobilenet_v2 or mobilenet_v3_large.
        shape: height, width and channels of its images, values in [0, 1].
        plain: of the plain one.
        alpha: factor on the channels of MobileNets.
        reduction: factor by which the image is made smaller first, by means of its pixels.

    Returns:
        From an image to its features, the largest side first; each side is half of the one before.
    """
    image = keras.Input(shape, name="image")
    x = layers.AveragePooling2D(reduction, name="reduction")(image) if reduction > 1 else image
    if name == "plain":
        return keras.Model(image, _plain(x, plain), name="encoder")
    # All of them are trained on values about 0.
    x = layers.Rescaling(2.0, -1.0, name="encoder_scaling")(x)
    return keras.Model(image, _ENCODERS[name](x, alpha), name="encoder")


def _plain(x: Any, plain: Plain) -> list[Any]:
    ends = []
    for level in range(plain.depth):
        if level:
            x = layers.MaxPooling2D(2, name=f"encoder_pool_{level}")(x)
        for number, dilation in ((1, 1), (2, plain.dilation)):
            if number == 2 and level and plain.dropout:
                # No mask of flight: before the decoder nothing is to be computed anew in a pass.
                x = layers.Dropout(plain.dropout * level, name=f"encoder_{level}_dropout")(x)
            x = convolve(
                x,
                plain.width(level),
                plain.side(level),
                f"encoder_{level}_{number}",
                dilation=dilation,
                normalized=plain.normalized,
            )
        ends.append(x)
    return ends


def _vgg11(x: Any, alpha: float) -> list[Any]:
    ends = []
    for level, (width, count) in enumerate(_VGG11):
        if level:
            x = layers.MaxPooling2D(2, name=f"encoder_pool_{level}")(x)
        for number in range(count):
            x = convolve(x, width, 3, f"encoder_{level}_{number}")
        ends.append(x)
    return ends


def _resnet18(x: Any, alpha: float) -> list[Any]:
    x = convolve(x, _RESNET18[0], 7, "encoder_begin", stride=2)
    ends = [x]
    x = layers.MaxPooling2D(3, 2, "same", name="encoder_pool")(x)
    for level, width in enumerate(_RESNET18):
        for number in range(2):
            name, stride = f"encoder_{level}_{number}", 2 if level and not number else 1
            inner = convolve(x, width, 3, f"{name}_in", stride=stride)
            inner = convolve(inner, width, 3, f"{name}_out", active=False)
            if stride > 1:
                x = convolve(x, width, 1, f"{name}_bypass", stride=stride, active=False)
            x = layers.ReLU(name=f"{name}_activation")(layers.Add(name=f"{name}_sum")([x, inner]))
        ends.append(x)
    return ends


def build_application(name: str, shape: tuple[int, int, int], alpha: float) -> keras.Model:
    """A network of keras.applications without its classifier, with fresh weights."""
    options: dict[str, Any] = {"input_shape": shape, "include_top": False, "weights": None}
    if name == "resnet50":
        return keras.applications.ResNet50(**options)
    if name == "mobilenet_v2":
        return keras.applications.MobileNetV2(alpha=alpha, **options)
    return keras.applications.MobileNetV3Large(alpha=alpha, include_preprocessing=False, **options)


def _from_application(name: str, x: Any, alpha: float) -> list[Any]:
    model = build_application(name, tuple(x.shape[1:]), alpha)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = MOMENTUM
    ends = [model.get_layer(end).output for end in APPLICATIONS[name]]
    outputs: list[Any] = keras.Model(model.input, ends, name=FEATURES)(x)
    return outputs


_ENCODERS: dict[str, Callable[..., list[Any]]] = {
    "vgg11": _vgg11,
    "resnet18": _resnet18,
    **{name: partial(_from_application, name) for name in APPLICATIONS},
}
