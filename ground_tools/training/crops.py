"""Parts of larger images: which one a network is trained on next, and how it then answers for whole images."""

from __future__ import annotations

import numpy as np

from ground_tools.labels.class_table import IGNORED
from ground_tools.networks.segmenter_design import Segmenter
from ground_tools.networks.tiles import Tiling, usual_overlap
from ground_tools.training.recipe_tables import Crop
from ground_tools.training.recipes import Recipe


def tiling_of(crop: Crop, design: Segmenter) -> Tiling:
    """How a network that is trained on parts of images answers for whole ones."""
    overlap = crop.overlap or max(usual_overlap(crop.height, crop.width), 2 * crop.margin + 1)
    return Tiling(crop.height, crop.width, overlap, crop.margin, design.shrinks)


def recipe_tiling(recipe: Recipe) -> Tiling | None:
    """That of a recipe's network; None where it is trained on whole images."""
    if recipe.crop is None or recipe.segmenter is None:
        return None
    return tiling_of(recipe.crop, recipe.segmenter)


def choose_crop(mask: np.ndarray, crop: Crop, generator: np.random.Generator) -> tuple[int, int]:
    """First row and column of a part, anywhere in the image or about a pixel of one of its classes.

    Args:
        mask: (H, W) uint8, at least as large as a part.
        crop: of the recipe.
        generator: of the choice.
    """
    height, width = mask.shape
    last = height - crop.height, width - crop.width
    shown = np.unique(mask[mask != IGNORED]) if generator.random() < crop.about_classes else np.empty(0)
    if not len(shown):
        return int(generator.integers(last[0] + 1)), int(generator.integers(last[1] + 1))
    # A class of few pixels is looked for as often as one of many.
    places = np.flatnonzero(mask == generator.choice(shown))
    pixel = np.unravel_index(places[generator.integers(len(places))], mask.shape)
    first = [int(at) - int(generator.integers(side)) for at, side in zip(pixel, (crop.height, crop.width), strict=True)]
    row, column = np.clip(first, 0, last)
    return int(row), int(column)
