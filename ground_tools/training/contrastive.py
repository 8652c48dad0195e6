"""Contrastive pre-training of an encoder on images without labels: SimCLR (Chen et al. 2020).

Each image of a batch is seen twice, cut out, flipped and coloured anew. Of the projections of the 2 B views the loss is
NT-Xent: the mean over views i of -log(exp(s_ij / T) / sum over k != i of exp(s_ik / T)), with the cosine similarity s,
j the other view of the same image and T the temperature.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from keras import layers, ops

from ground_tools.datasets.noise import with_channels
from ground_tools.training.augmentation import disturb
from ground_tools.training.batches import batches_of, choose_batch
from ground_tools.training.color import change_colors, flip
from ground_tools.training.outcome import save_weights
from ground_tools.training.pixels import Pixels
from ground_tools.training.recipe_tables import Contrast
from ground_tools.training.recipes import Recipe

# Sides of a part that is cut out: their ratio, at most.
_RATIO = 4.0 / 3.0
_VALIDATION_IMAGES, _VALIDATION_SEED = 64, 7
_FAR = 1e9


def make_view(image: np.ndarray, recipe: Recipe, contrast: Contrast, generator: np.random.Generator) -> np.ndarray:
    """One view of an image: a part of it at its size, flipped and coloured by the recipe.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        recipe: for flips and colours.
        contrast: for the part's size.
        generator: of every choice.

    Returns:
        The same shape, float32 in [0, 1].
    """
    height, width = image.shape[:2]
    share = generator.uniform(contrast.smallest, 1.0)
    ratio = np.exp(generator.uniform(-np.log(_RATIO), np.log(_RATIO)))
    rows = min(max(round(height * np.sqrt(share * ratio)), 1), height)
    columns = min(max(round(width * np.sqrt(share / ratio)), 1), width)
    top, left = generator.integers(height - rows + 1), generator.integers(width - columns + 1)
    part = np.ascontiguousarray(image[top : top + rows, left : left + columns])
    view = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
    view, _ = flip(view, view[..., 0] if view.ndim == 3 else view, recipe.augmentation.flips, generator)
    seen = disturb(view, recipe.augmentation.photometric, generator, noisy=False)
    return change_colors(seen, recipe.augmentation.jitter, generator)


class ContrastBatches(keras.utils.PyDataset):
    """Batches of views (2 B, H, W, C), the second view of an image B places behind the first, with nothing to learn."""

    def __init__(self, pixels: Pixels, recipe: Recipe, contrast: Contrast, first_epoch: int = 0) -> None:
        super().__init__()
        self._pixels, self._recipe, self._contrast, self._epoch = pixels, recipe, contrast, first_epoch
        # A batch that is not full has fewer images to be told apart from.
        self._length = batches_of(len(pixels), recipe, whole_only=True)

    def __len__(self) -> int:
        return self._length

    def on_epoch_end(self) -> None:
        self._epoch += 1

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen, generator = choose_batch(self._recipe, self._epoch, len(self._pixels), index)
        views = draw_views(self._pixels.images[chosen], self._recipe, self._contrast, generator)
        return views, np.zeros(len(views), dtype=np.float32)


def draw_views(images: np.ndarray, recipe: Recipe, contrast: Contrast, generator: np.random.Generator) -> np.ndarray:
    """Two views of each image: (N, H, W) or (N, H, W, 3) uint8 -> (2 N, H, W, C) float32, the second ones behind."""
    return with_channels(
        np.stack([make_view(image, recipe, contrast, generator) for _ in range(2) for image in images])
    )


class ContrastTraining(keras.Model):
    """An encoder with the projection and the loss that train it."""

    def __init__(self, encoder: keras.Model, contrast: Contrast) -> None:
        """encoder: from images to features, the last of which are projected."""
        super().__init__()
        self.encoder = encoder
        self._pool = layers.GlobalAveragePooling2D()
        self._hidden = layers.Dense(contrast.hidden, activation="relu")
        self._projection = layers.Dense(contrast.channels, dtype="float32")
        self._temperature = contrast.temperature

    def call(self, images: Any, training: bool | None = None) -> Any:
        features = self.encoder(images, training=training)[-1]
        return self._projection(self._hidden(self._pool(features)))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool | None = True
    ) -> Any:
        """NT-Xent of a batch of views. y_pred: (2 B, C) projections."""
        return contrast_loss(y_pred, self._temperature)


def contrast_loss(projections: Any, temperature: float) -> Any:
    """NT-Xent. projections: (2 B, C), the second view of an image B places behind the first."""
    unit = ops.normalize(projections, axis=-1)
    count = ops.shape(unit)[0]
    similarity = ops.matmul(unit, ops.transpose(unit)) / temperature - _FAR * ops.eye(count)
    other = (ops.arange(count) + count // 2) % count
    log_probability = ops.log_softmax(similarity, axis=-1)
    return -ops.mean(ops.sum(ops.one_hot(other, count) * log_probability, axis=-1))


def share_of_nearest(projections: np.ndarray) -> float:
    """The share of views whose nearest other view is of the same image. projections: (2 B, C)."""
    unit = projections / np.linalg.norm(projections, axis=1, keepdims=True)
    similarity = unit @ unit.T - _FAR * np.eye(len(unit))
    half = len(unit) // 2
    return float((similarity.argmax(axis=1) == (np.arange(len(unit)) + half) % len(unit)).mean())


class KeepEncoder(keras.callbacks.Callback):
    """After each epoch: how well views of validation images are told apart; keeps the encoder's weights."""

    def __init__(self, model: ContrastTraining, pixels: Pixels, recipe: Recipe, contrast: Contrast, path: Path) -> None:
        """model: whose encoder is kept. pixels: to be told apart. path: of the weights."""
        super().__init__()
        self._trained, self._path = model, path
        few = pixels.some(_VALIDATION_IMAGES)
        self._views = draw_views(few.images, recipe, contrast, np.random.default_rng(_VALIDATION_SEED))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        projections = self._trained.predict(self._views, batch_size=16, verbose=0)
        if logs is not None:
            logs["val_nearest"] = share_of_nearest(np.asarray(projections))
        save_weights(self._trained.encoder, self._path)
