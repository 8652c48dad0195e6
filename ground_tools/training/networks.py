"""A recipe's UNet: the reference paper's, or one of our own."""

from __future__ import annotations

import keras

from ground_tools.labels.classes import CLASS_NAMES
from ground_tools.networks.keras_model import build_model
from ground_tools.networks.unet import UNetDropout, build_unet, take_encoder
from ground_tools.training.recipes import Recipe


def build_recipe_unet(recipe: Recipe, size: int) -> keras.Model:
    """With fresh weights; the encoder of the paper's is frozen where the recipe says so."""
    dropout = UNetDropout(recipe.dropout.blocks, recipe.dropout.head)
    if recipe.design is not None:
        return build_model(recipe.design.layers(len(CLASS_NAMES)), dropout, size)
    unet = build_unet(len(CLASS_NAMES), dropout, size=size)
    take_encoder(unet, unet, freeze=recipe.freeze_encoder)
    return unet
