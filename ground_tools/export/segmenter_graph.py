"""A segmentation network as it flies: the Keras model with its dropout masks as inputs, read from a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import msgspec
import tensorflow as tf

from ground_tools.labels.class_table import table_of
from ground_tools.networks.segmenter_design import Segmenter
from ground_tools.networks.segmenters import build_segmenter
from ground_tools.networks.tiles import Tiling
from ground_tools.training.crops import tiling_of
from ground_tools.training.outcome import SEGMENTER_WEIGHTS
from ground_tools.training.recipe_tables import Crop

_SCORES_LAYER = "head_convolution_2"


@dataclass(frozen=True)
class FlyingSegmenter:
    """A trained segmentation network, ready for conversion.

    Attributes:
        design: what it is like.
        network: with masks as inputs behind the image.
        names: of the masks' inputs.
        shapes: of the masks, (H, W, C) each.
        keep: probability with which each mask keeps a unit.
    """

    design: Segmenter
    network: keras.Model
    names: list[str]
    shapes: list[tuple[int, int, int]]
    keep: list[float]

    def build(self, score_factor: float = 1.0) -> tf.Module:
        """The module to convert: `forward(image, *masks)` gives {"scores": (1, H, W, K)}.

        score_factor: on the scores; put into the last layer.
        """
        network = keras.models.clone_model(self.network)
        network.set_weights(self.network.get_weights())
        last = network.get_layer(_SCORES_LAYER)
        last.set_weights([score_factor * values for values in last.get_weights()])
        specifications = [
            tf.TensorSpec((1, *tensor.shape[1:]), tf.float32, name=name)
            for name, tensor in zip(("image", *self.names), network.inputs, strict=True)
        ]

        def forward(image: Any, *masks: Any) -> dict[str, Any]:
            return {"scores": network([image, *masks], training=False)}

        module = tf.Module()
        # Variables that a saved model does not track are lost in conversion.
        module.tracked = [variable.value for variable in network.variables]
        module.forward = tf.function(forward, input_signature=specifications)
        return module


def read_tiling(record: dict[str, Any]) -> Tiling | None:
    """How a trained network answers for images larger than itself; None where it was trained on whole images.

    record: its training.json.
    """
    recipe = record["recipe"]
    if not is_segmenter(record) or recipe.get("crop") is None:
        return None
    return tiling_of(msgspec.convert(recipe["crop"], Crop), msgspec.convert(recipe["segmenter"], Segmenter))


def is_segmenter(record: dict[str, Any]) -> bool:
    """Whether a training's record is of a segmentation network by configuration."""
    return bool(record["recipe"].get("network") == "segmenter")


def read_segmenter(record: dict[str, Any], folder: Path) -> FlyingSegmenter:
    """The network of a finished training.

    Args:
        record: its training.json.
        folder: that holds its weights.
    """
    design = msgspec.convert(record["recipe"]["segmenter"], Segmenter)
    height, width, channels = record["input"]
    made = build_segmenter(design, len(table_of(record)), (height, width, channels))
    made.network.load_weights(folder / SEGMENTER_WEIGHTS)
    flown = build_segmenter(design, len(table_of(record)), (height, width, channels), mask_inputs=True)
    flown.network.set_weights(made.network.get_weights())
    layers = [made.network.get_layer(name) for name in made.masks]
    shapes = [tuple(int(side) for side in layer.input.shape[1:]) for layer in layers]
    return FlyingSegmenter(
        design,
        flown.network,
        [f"mask_{number}" for number in range(1, len(layers) + 1)],
        [(rows, columns, depth) for rows, columns, depth in shapes],
        [1.0 - float(layer.rate) for layer in layers],
    )
