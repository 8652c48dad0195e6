"""What the training of a segmentation network needs besides the common loop: batches, the loss, its validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from flight.inference.orientations import apply_orientation
from ground_tools.datasets.noise import network_inputs, with_channels
from ground_tools.datasets.resolution import coarsen
from ground_tools.labels.class_table import IGNORED
from ground_tools.metrics.iou import confusion_matrix
from ground_tools.metrics.scores import Scores, score
from ground_tools.networks.segmenters import SegmenterModel, build_segmenter, load_encoder
from ground_tools.networks.tiles import blend_tiles, softmax
from ground_tools.training.augmentation import disturb, move
from ground_tools.training.batches import batches_of, choose_batch
from ground_tools.training.color import change_colors, flip
from ground_tools.training.crops import choose_crop, recipe_tiling
from ground_tools.training.outcome import best_file, save_weights, validation_figures, write_best
from ground_tools.training.pixel_losses import class_weights, missed_shares, pixel_loss
from ground_tools.training.pixels import Pixels
from ground_tools.training.recipe_tables import Loss
from ground_tools.training.recipes import Recipe
from ground_tools.training.resumption import check_weights, read_left

_VALIDATION_BATCH = 8


class SegmenterBatches(keras.utils.PyDataset):
    """Batches for a segmentation network: images (B, H, W, C) float32 in [0, 1] and labels (B, H, W) uint8.

    Of a guided training the labels come with the images at full resolution, (B, H, W, C).

    whole_only: leave out the last batch of an epoch if it is not full. first_epoch: epochs done before. unlabelled: of
    which each batch has `recipe.guidance.unlabelled` images more, drawn at random, none of their pixels with a label.
    """

    def __init__(
        self,
        pixels: Pixels,
        recipe: Recipe,
        whole_only: bool = False,
        first_epoch: int = 0,
        unlabelled: Pixels | None = None,
    ) -> None:
        super().__init__()
        self._pixels, self._recipe, self._epoch = pixels, recipe, first_epoch
        self._unlabelled = unlabelled
        self._length = batches_of(len(pixels), recipe, whole_only)

    def __len__(self) -> int:
        return self._length

    def on_epoch_end(self) -> None:
        self._epoch += 1

    def __getitem__(self, index: int) -> tuple[np.ndarray, Any]:
        recipe = self._recipe
        chosen, generator = choose_batch(recipe, self._epoch, len(self._pixels), index)
        samples = [self._sample(self._pixels, sample, generator) for sample in chosen]
        if self._unlabelled is not None and recipe.guidance is not None:
            for sample in generator.integers(len(self._unlabelled), size=recipe.guidance.unlabelled):
                image, mask = self._sample(self._unlabelled, sample, generator)
                samples.append((image, np.full_like(mask, IGNORED)))
        images, labels = with_channels(np.stack([image for image, _ in samples])), np.stack([of for _, of in samples])
        inputs = images
        if recipe.resolutions:
            factors = generator.choice(recipe.resolutions, len(images))
            inputs = np.stack([coarsen(image, int(factor)) for image, factor in zip(images, factors, strict=True)])
        return inputs, (labels, images) if recipe.guided else labels

    def _sample(self, pixels: Pixels, sample: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One image, (H, W) or (H, W, 3) float32, and its mask, (H, W) uint8, changed as the recipe has it."""
        how, crop = self._recipe.augmentation, self._recipe.crop
        image, mask = pixels.images[sample], pixels.masks[sample]
        orientation = int(generator.integers(8)) if how.orientations else 0
        image, mask = apply_orientation(image, orientation), apply_orientation(mask, orientation)
        image, mask = flip(image, mask, how.flips, generator)
        image, mask = move(image, mask, how.geometric, generator)
        if crop is not None:
            row, column = choose_crop(mask, crop, generator)
            window = slice(row, row + crop.height), slice(column, column + crop.width)
            image, mask = np.ascontiguousarray(image[window]), mask[window]
        image = disturb(image, how.photometric, generator, pixels.noisy)
        return change_colors(image, how.jitter, generator), mask


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


class ValidationImages:
    """Images and masks on which a deterministic network is judged.

    Args:
        pixels: of the validation split.
        noise: of their set.
        recipe: of the network: its tiles where images are larger, and the resolutions, which images have in turn.

    Raises:
        ValueError: the images cannot be cut into such tiles.
    """

    def __init__(self, pixels: Pixels, noise: dict[str, Any] | None, recipe: Recipe) -> None:
        self.pixels, self._noise = pixels, noise
        self._factors = recipe.resolutions or (1,)
        tiling = recipe_tiling(recipe)
        self._layout = None if tiling is None else tiling.lay(*pixels.masks.shape[1:])

    def inputs(self, rows: np.ndarray) -> np.ndarray:
        """What networks see of some images, by their places; (N, H, W, C) float32 in [0, 1]."""
        images = network_inputs(self.pixels.images[rows], self._noise)
        factors = [self._factors[row % len(self._factors)] for row in rows]
        return np.stack([coarsen(image, factor) for image, factor in zip(images, factors, strict=True)])

    def find_maps(self, network: keras.Model, rows: np.ndarray) -> np.ndarray:
        """Class maps of some images, (N, H, W) integers."""
        inputs = self.inputs(rows)
        if self._layout is None:
            return np.asarray(network.predict_on_batch(inputs)).argmax(axis=-1)

        def predict(tiles: np.ndarray) -> np.ndarray:
            return softmax(np.asarray(network.predict_on_batch(tiles)))

        return np.stack([blend_tiles(image, self._layout, predict).argmax(axis=0) for image in inputs])

    def judge(self, network: keras.Model) -> Scores:
        """Scores on all labelled pixels."""
        classes = network.output.shape[-1]
        total = np.zeros((classes, classes), dtype=np.int64)
        for rows in np.array_split(np.arange(len(self.pixels)), -(-len(self.pixels) // _VALIDATION_BATCH)):
            total += confusion_matrix(self.pixels.masks[rows], self.find_maps(network, rows), classes)
        return score(total)


class KeepBestScore(keras.callbacks.Callback):
    """After each epoch: scores on the labelled pixels of the validation set; keeps the weights of the best mIoU."""

    def __init__(self, network: keras.Model, validation: ValidationImages, names: tuple[str, ...], path: Path) -> None:
        """network: whose weights are kept. names: of the classes. path: of the weights."""
        super().__init__()
        self._network, self._validation = network, validation
        self._names, self._path = names, path
        record = best_file(path)
        self.best = read_left(record, "remove it")["miou"] if record.exists() else -1.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        scores = self._validation.judge(self._network)
        if logs is not None:
            logs.update(validation_figures(scores.miou, scores.iou, self._names))
            logs.update(val_accuracy=scores.accuracy, val_macro_f1=scores.macro_f1)
        if scores.miou > self.best:
            self.best = scores.miou
            save_weights(self._network, self._path)
            write_best(self._path, epoch + 1, scores.miou, scores.iou, self._names)
