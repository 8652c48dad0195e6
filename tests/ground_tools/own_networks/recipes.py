"""Three networks as public recipes make them, trained on drawn scenes, each in the form in which it comes.

By hand, each trained for a minute: python -m tests.ground_tools.own_networks.recipes OUT [SECONDS]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ground_tools.own_networks.scenes import SCENE_CLASSES, draw_scene

CLASSES = "".join(f"{index} {name}\n" for index, name in enumerate(SCENE_CLASSES))
BINARY = "sky background\nbody hazard\n"


def keras_unet(side: int, width: int) -> Any:
    """U-Net-like, with separable convolutions and residuals, softmax at the end; colour pixels in [0, 1].

    After https://keras.io/examples/vision/oxford_pets_image_segmentation/ (F. Chollet).
    """
    from keras import Model, layers

    inputs = layers.Input((side, side, 3))
    x = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(width, 3, 2, "same")(inputs)))
    before = x
    for filters in (2 * width, 4 * width):
        for _ in range(2):
            x = layers.SeparableConv2D(filters, 3, padding="same")(layers.Activation("relu")(x))
            x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(3, 2, "same")(x)
        before = x = layers.add([x, layers.Conv2D(filters, 1, 2, "same")(before)])
    for filters in (4 * width, 2 * width, width):
        for _ in range(2):
            x = layers.Conv2DTranspose(filters, 3, padding="same")(layers.Activation("relu")(x))
            x = layers.BatchNormalization()(x)
        x = layers.UpSampling2D(2)(x)
        before = x = layers.add([x, layers.Conv2D(filters, 1, padding="same")(layers.UpSampling2D(2)(before))])
    return Model(inputs, layers.Conv2D(len(SCENE_CLASSES), 3, activation="softmax", padding="same")(x))


def deeplab(side: int, width: int) -> Any:
    """DeepLabV3+ with MobileNetV2 without weights; pixels from 0 to 255, scaled to [-1, 1] inside; logits.

    After https://keras.io/examples/vision/deeplabv3_plus/ (S. Rakshit), whose backbone is a ResNet50.
    """
    import keras
    from keras import layers

    inputs = layers.Input((side, side, 3))
    scaled = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    backbone = keras.applications.MobileNetV2((side, side, 3), alpha=0.35, include_top=False, weights=None)
    ends = [backbone.get_layer(name).output for name in ("block_6_expand_relu", "block_3_expand_relu")]
    deep, shallow = keras.Model(backbone.input, ends)(scaled)
    blocks = [layers.Conv2D(width, 1, activation="relu")(deep)]
    for rate in (2, 4):
        blocks.append(layers.Conv2D(width, 3, padding="same", dilation_rate=rate, activation="relu")(deep))
    pooled = layers.Conv2D(width, 1, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(deep))
    blocks.append(layers.UpSampling2D(deep.shape[1], interpolation="bilinear")(pooled))
    x = layers.Conv2D(width, 1, activation="relu")(layers.Concatenate()(blocks))
    x = layers.UpSampling2D(shallow.shape[1] // deep.shape[1], interpolation="bilinear")(x)
    x = layers.Concatenate()([x, layers.Conv2D(width, 1, activation="relu")(shallow)])
    x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    x = layers.UpSampling2D(side // shallow.shape[1], interpolation="bilinear")(x)
    return keras.Model(inputs, layers.Conv2D(len(SCENE_CLASSES), 1)(x))


def binary_unet(side: int, width: int) -> Any:
    """U-Net with pairs of convolutions, one channel and a sigmoid; pixels normalized by ImageNet's mean and deviation.

    After https://github.com/milesial/Pytorch-UNet, as ported to Keras, for the images of any size.
    """
    from keras import Model, layers

    def pair(x: Any, filters: int) -> Any:
        for _ in range(2):
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = layers.Activation("relu")(layers.BatchNormalization()(x))
        return x

    inputs = layers.Input((None, None, 3))
    steps = [pair(inputs, width)]
    for level in (1, 2):
        steps.append(pair(layers.MaxPooling2D()(steps[-1]), width << level))
    x = steps.pop()
    for level in (1, 0):
        x = layers.Concatenate()([steps.pop(), layers.Conv2DTranspose(width << level, 2, 2)(x)])
        x = pair(x, width << level)
    return Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(x))


_MEAN, _STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
# Builder, how pixels become inputs, options of `ground-tools bundle`, classes, what its manifest must state.
RECIPES: dict[str, tuple[Callable[[int, int], Any], Callable[[np.ndarray], np.ndarray], list[str], str, str]] = {
    "unet.keras": (keras_unet, lambda pixels: pixels / 255.0, ["--range", "0", "1"], CLASSES, "probabilities"),
    "deeplab.tflite": (deeplab, lambda pixels: pixels, [], CLASSES, "logits"),
    "binary": (
        binary_unet,
        lambda pixels: (pixels / 255.0 - _MEAN) / _STD,
        ["--size", "{side}", "{side}", "--mean", *map(str, _MEAN.tolist()), "--std", *map(str, _STD.tolist())],
        BINARY,
        "sigmoid",
    ),
}


def make_network(name: str, folder: Path, side: int, width: int, seconds: float, steps: int) -> Path:
    """Train one of RECIPES on drawn scenes, and write it: as .keras, as .tflite, or as a SavedModel.

    seconds, steps: it ends with the later of both.
    """
    import keras
    import tensorflow as tf

    build, scale, _, _, output = RECIPES[name]
    keras.utils.set_random_seed(1)
    model = build(side, width)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # of 0.99 and 0.999, which are for trainings of thousands of steps
    binary = output == "sigmoid"
    loss = (
        keras.losses.BinaryCrossentropy()
        if binary
        else keras.losses.SparseCategoricalCrossentropy(from_logits=output == "logits")
    )
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss=loss)
    generator, began, done = np.random.default_rng(5), time.monotonic(), 0
    while done < steps or time.monotonic() - began < seconds:
        scenes = [draw_scene(generator, side, side) for _ in range(8)]
        images = np.stack([np.repeat(image[..., None], 3, axis=2) for image, _ in scenes]).astype(np.float32)
        masks = np.stack([mask for _, mask in scenes])[..., None]
        model.train_on_batch(scale(images), (masks > 0).astype(np.float32) if binary else masks)
        done += 1
    path = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    if name.endswith(".keras"):
        model.save(path)
    elif binary:
        model.export(path, verbose=False)
    else:
        scratch = folder / "deeplab_saved_model"
        model.export(scratch, verbose=False)
        path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(scratch)).convert())
    return path


def bundle_arguments(name: str, model: Path, side: int) -> list[str]:
    """The command line of `ground-tools bundle` for a network."""
    _, _, options, classes, _ = RECIPES[name]
    described = model.parent / f"{model.stem}_classes.txt"
    described.write_text(classes)
    options = [option.format(side=side) for option in options]
    out = model.parent / "bundles" / model.stem
    return ["bundle", str(model), "--classes", str(described), *options, "--out", str(out)]


def main(arguments: list[str]) -> int:
    """Train and bundle all of them."""
    from ground_tools.cli import main as ground_tools

    out, seconds = Path(arguments[0]), float(arguments[1]) if len(arguments) > 1 else 60.0
    for name in RECIPES:
        model = make_network(name, out, 128, 16, seconds, 1)
        code = ground_tools(bundle_arguments(name, model, 128))
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
