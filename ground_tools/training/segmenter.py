"""What the training of a segmentation network needs besides the common loop: batches, the loss, its validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from flight.inference.orientations import apply_orientation
from ground_tools.datasets.noise import network_inputs, with_channels
from ground_tools.metrics.iou import confusion_matrix
from ground_tools.metrics.scores import Scores, score
from ground_tools.networks.segmenters import SegmenterModel, build_segmenter, load_encoder
from ground_tools.training.augmentation import disturb, move
from ground_tools.training.batches import batches_of, choose_batch
from ground_tools.training.color import change_colors, flip
from ground_tools.training.outcome import best_file, save_weights, validation_figures, write_best
from ground_tools.training.pixel_losses import class_weights, missed_shares, pixel_loss
from ground_tools.training.pixels import Pixels
from ground_tools.training.recipe_tables import Loss
from ground_tools.training.recipes import Recipe
from ground_tools.training.resumption import check_weights, read_left

_VALIDATION_BATCH = 8


class SegmenterBatches(keras.utils.PyDataset):
    """Batches for a segmentation network: images (B, H, W, C) float32 in [0, 1] and labels (B, H, W) uint8.

    whole_only: leave out the last batch of an epoch if it is not full. first_epoch: epochs done before.
    """

    def __init__(self, pixels: Pixels, recipe: Recipe, whole_only: bool = False, first_epoch: int = 0) -> None:
        super().__init__()
        self._pixels, self._recipe, self._epoch = pixels, recipe, first_epoch
        self._length = batches_of(len(pixels), recipe, whole_only)

    def __len__(self) -> int:
        return self._length

    def on_epoch_end(self) -> None:
        self._epoch += 1

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen, generator = choose_batch(self._recipe, self._epoch, len(self._pixels), index)
        how = self._recipe.augmentation
        images, labels = [], []
        for sample in chosen:
            image, mask = self._pixels.images[sample], self._pixels.masks[sample]
            orientation = int(generator.integers(8)) if how.orientations else 0
            image, mask = apply_orientation(image, orientation), apply_orientation(mask, orientation)
            image, mask = flip(image, mask, how.flips, generator)
            image, mask = move(image, mask, how.geometric, generator)
            image = disturb(image, how.photometric, generator, self._pixels.noisy)
            images.append(change_colors(image, how.jitter, generator))
            labels.append(mask)
        return with_channels(np.stack(images)), np.stack(labels)


class SegmenterTraining(keras.Model):
    """A network with the loss that trains it; it learns of late which classes are missed, for weights by recall."""

    def __init__(self, network: keras.Model, loss: Loss, fixed_weights: np.ndarray) -> None:
        """network: to scores (N, H, W, K). loss: which. fixed_weights: (K,) by frequency."""
        super().__init__()
        self.network = network
        self._terms, self._fixed = loss, fixed_weights
        # All are missed before the first step.
        self._missed = self.add_weight(shape=(len(fixed_weights),), initializer="ones", trainable=False, name="missed")

    def call(self, images: Any, training: bool | None = None) -> Any:
        return self.network(images, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool | None = True,
    ) -> Any:
        """The loss of a batch. x: images. y: labels. y_pred: scores. Updates what is missed of late in training."""
        weights = class_weights(self._fixed, self._missed, self._terms.weighting)
        total = pixel_loss(y, y_pred, weights, self._terms)
        if training and self._terms.weighting in ("recall", "both"):
            self._missed.assign(missed_shares(y, y_pred, self._missed.value, self._terms.memory))
        return total


def start_segmenter(
    recipe: Recipe, classes: int, shape: tuple[int, int, int], encoder: Path | None, start_from: Path | None
) -> SegmenterModel:
    """The recipe's network with the weights that it starts from.

    Args:
        recipe: of network "segmenter".
        classes: K.
        shape: height, width and channels of its images.
        encoder: weights of the encoder; None: fresh ones.
        start_from: weights of the whole network.

    Raises:
        ValueError: the weights do not fit, or the network does not fit the images.
    """
    assert recipe.segmenter is not None
    made = build_segmenter(recipe.segmenter, classes, shape)
    if encoder is not None:
        load_encoder(made.encoder, recipe.segmenter, encoder)
    elif start_from is not None:
        check_weights(start_from, "train it again")
        try:
            made.network.load_weights(start_from)
        except ValueError as error:
            raise ValueError(f"{start_from}: expected weights of recipe {recipe.name}, got others") from error
    return made


def validate(network: keras.Model, pixels: Pixels, noise: dict[str, Any] | None) -> Scores:
    """Scores of the deterministic network on images and masks. noise: of their set."""
    classes = network.output.shape[-1]
    total = np.zeros((classes, classes), dtype=np.int64)
    for first in range(0, len(pixels), _VALIDATION_BATCH):
        rows = slice(first, first + _VALIDATION_BATCH)
        scores = network.predict_on_batch(network_inputs(pixels.images[rows], noise))
        total += confusion_matrix(pixels.masks[rows], np.asarray(scores).argmax(axis=-1), classes)
    return score(total)


class KeepBestScore(keras.callbacks.Callback):
    """After each epoch: scores on the labelled pixels of the validation set; keeps the weights of the best mIoU."""

    def __init__(
        self, network: keras.Model, pixels: Pixels, noise: dict[str, Any] | None, names: tuple[str, ...], path: Path
    ) -> None:
        """network, pixels, noise: see `validate`. names: of the classes. path: of the weights."""
        super().__init__()
        self._network, self._pixels, self._noise = network, pixels, noise
        self._names, self._path = names, path
        record = best_file(path)
        self.best = read_left(record, "remove it")["miou"] if record.exists() else -1.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        scores = validate(self._network, self._pixels, self._noise)
        if logs is not None:
            logs.update(validation_figures(scores.miou, scores.iou, self._names))
            logs.update(val_accuracy=scores.accuracy, val_macro_f1=scores.macro_f1)
        if scores.miou > self.best:
            self.best = scores.miou
            save_weights(self._network, self._path)
            write_best(self._path, epoch + 1, scores.miou, scores.iou, self._names)
