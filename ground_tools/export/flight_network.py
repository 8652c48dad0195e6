"""A trained network on its way to a file: what its masks are, and the graph that is converted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf

from ground_tools.export.design_graph import build_design_graph
from ground_tools.export.graph import build_flight_graph, keep_probabilities, mask_shapes
from ground_tools.export.segmenter_graph import is_segmenter, read_segmenter
from ground_tools.labels.classes import CLASS_NAMES
from ground_tools.networks.designs import Design
from ground_tools.networks.keras_model import build_model
from ground_tools.networks.unet import UNetDropout, build_unet


@dataclass(frozen=True)
class FlightNetwork:
    """shapes, keep: of the masks, (H, W, C) and keep probability.

    build: the graph, from images to equalize the channels on (None: as they are) and a factor on the scores; see
    `graph.build_flight_graph`.
    """

    shapes: list[tuple[int, int, int]]
    keep: list[float]
    build: Callable[[np.ndarray | None, float], tf.Module]


def read_flight_network(record: dict[str, Any], weights: Path) -> FlightNetwork:
    """The network of a training. record: its training.json. weights: file of its weights."""
    if is_segmenter(record):
        segmenter = read_segmenter(record, weights.parent)
        return FlightNetwork(segmenter.shapes, segmenter.keep, lambda _, factor: segmenter.build(factor))
    recipe = record["recipe"]
    dropout = UNetDropout(recipe["dropout_blocks"], recipe["dropout_head"])
    if recipe.get("design") is None:
        unet = build_unet(len(CLASS_NAMES), dropout)
        unet.load_weights(weights)
        return FlightNetwork(
            mask_shapes(unet),
            keep_probabilities(unet),
            lambda images, factor: build_flight_graph(unet, equalize_on=images, score_factor=factor),
        )
    layers = msgspec.convert(recipe["design"], Design).layers(len(CLASS_NAMES))
    model = build_model(layers, dropout)
    model.load_weights(weights)
    masks = [model.get_layer(layer.name) for layer in layers if layer.kind == "mask"]
    shapes = [tuple(int(side) for side in mask.input.shape[1:]) for mask in masks]
    return FlightNetwork(
        [(height, width, channels) for height, width, channels in shapes],
        [1.0 - float(mask.rate) for mask in masks],
        lambda images, factor: build_design_graph(model, layers, images, factor),
    )
