"""Batches for training, made on the fly from a set in memory; the same recipe seed gives the same batches."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from flight.inference.orientations import apply_orientation
from ground_tools.labels.classes import BOULDERS, CRATERS
from ground_tools.training.augmentation import disturb, move, move_away
from ground_tools.training.defects import add_defects
from ground_tools.training.pixels import Pixels
from ground_tools.training.recipes import Recipe


def window_offsets(mask: np.ndarray, recipe: Recipe, generator: np.random.Generator) -> tuple[int, int]:
    """First row and column of a loss window in one image.

    A share `feature_windows` of the windows is laid about a random pixel of a crater or a boulder, where there
    is one; the others anywhere, the edges of the image as often covered as its middle.
    """
    size, window = mask.shape[0], recipe.window
    first = generator.integers(-window // 2, size - window // 2 + 1, 2)
    if generator.random() < recipe.feature_windows:
        shown = [feature for feature in (CRATERS, BOULDERS) if (mask == feature).any()]
        if shown:
            pixels = np.argwhere(mask == generator.choice(shown))
            first = pixels[generator.integers(len(pixels))] - generator.integers(window // 4, 3 * window // 4, 2)
    row, column = np.clip(first, 0, size - window)
    return int(row), int(column)


class BodyBatches(keras.utils.PyDataset):
    """(image, body index) batches for the encoder CNN."""

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, recipe: Recipe, whole_only: bool = False, first_epoch: int = 0
    ) -> None:
        super().__init__()
        self._images, self._labels, self._recipe = images, labels, recipe
        self._length = batches_of(len(images), recipe, whole_only)
        self._epoch = first_epoch

    def __len__(self) -> int:
        return self._length

    def on_epoch_end(self) -> None:
        self._epoch += 1

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen, generator = choose_batch(self._recipe, self._epoch, len(self._images), index)
        batch = []
        for sample in chosen:
            orientation = int(generator.integers(8)) if self._recipe.augmentation.orientations else 0
            image = apply_orientation(self._images[sample], orientation)
            disturbed = disturb(image, self._recipe.augmentation.photometric, generator)
            batch.append(add_defects(disturbed, self._recipe.augmentation.defects, generator))
        return np.stack(batch)[..., None], self._labels[chosen]


class UNetBatches(keras.utils.PyDataset):
    """Batches for the UNet: ((image, window offset), labels in the window), without a window (image, labels).

    second: of which each batch has `recipe.beside` images more, drawn at random; an epoch is one over `pixels` all the
    same. whole_only: leave out the last batch of an epoch if it is not full, which cannot be spread over devices.
    """

    def __init__(
        self,
        pixels: Pixels,
        recipe: Recipe,
        second: Pixels | None = None,
        whole_only: bool = False,
        first_epoch: int = 0,
    ) -> None:
        super().__init__()
        self._length = batches_of(len(pixels), recipe, whole_only)
        self._pixels, self._second, self._recipe = pixels, second, recipe
        self._epoch = first_epoch

    def __len__(self) -> int:
        return self._length

    def on_epoch_end(self) -> None:
        self._epoch += 1

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
        recipe = self._recipe
        chosen, generator = choose_batch(recipe, self._epoch, len(self._pixels), index)
        samples = [(self._pixels, sample) for sample in chosen]
        if self._second is not None:
            samples += [(self._second, sample) for sample in generator.integers(len(self._second), size=recipe.beside)]
        images, labels, offsets = [], [], []
        for pixels, sample in samples:
            orientation = int(generator.integers(8)) if recipe.augmentation.orientations else 0
            image = apply_orientation(pixels.images[sample], orientation)
            mask = apply_orientation(pixels.masks[sample], orientation)
            image, mask = move(image, mask, recipe.augmentation.geometric, generator)
            if recipe.augmentation.farther and generator.random() < recipe.augmentation.farther:
                image, mask = move_away(image, mask, recipe.minimum_boulder_pixels, generator)
            disturbed = disturb(image, recipe.augmentation.photometric, generator, pixels.noisy)
            images.append(add_defects(disturbed, recipe.augmentation.defects, generator))
            if recipe.head != "windowed":
                labels.append(mask)
                continue
            row, column = window_offsets(mask, recipe, generator)
            labels.append(mask[row : row + recipe.window, column : column + recipe.window])
            offsets.append((row, column))
        inputs = np.stack(images)[..., None]
        if recipe.head != "windowed":
            return inputs, np.stack(labels)
        return (inputs, np.asarray(offsets, dtype=np.int32)), np.stack(labels)


def batches_of(count: int, recipe: Recipe, whole_only: bool) -> int:
    """Batches of an epoch. Raises ValueError when there is none."""
    batches = count // recipe.batch if whole_only else -(-count // recipe.batch)
    if batches == 0:
        raise ValueError(
            f"recipe {recipe.name}: batch: expected at most {count}, the training images, got {recipe.batch}"
        )
    return batches


def choose_batch(recipe: Recipe, epoch: int, count: int, index: int) -> tuple[np.ndarray, np.random.Generator]:
    """The samples of one batch, and the generator for its augmentation."""
    order = np.random.default_rng([recipe.seed, epoch]).permutation(count)
    chosen = order[index * recipe.batch : (index + 1) * recipe.batch]
    return chosen, np.random.default_rng([recipe.seed, epoch, index + 1])
