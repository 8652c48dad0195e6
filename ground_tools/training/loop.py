"""Training loops: the encoder CNN and the UNets; resumable from the last epoch, best epoch kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np

from ground_tools.datasets.body_sets import derive_body_set
from ground_tools.datasets.noise import network_inputs, with_channels
from ground_tools.datasets.store import channels_of, read_description
from ground_tools.foundation.files import write_whole
from ground_tools.foundation.sampling import draw_share, evenly
from ground_tools.labels.class_table import table_of
from ground_tools.metrics.iou import iou_per_class, mean_iou
from ground_tools.networks.segmenters import SegmenterModel
from ground_tools.networks.super_resolution import add_super_resolution
from ground_tools.networks.unet import build_encoder_cnn, take_encoder
from ground_tools.training.batches import BodyBatches, UNetBatches
from ground_tools.training.bundle_weights import load_bundle_weights
from ground_tools.training.contrastive import ContrastBatches, ContrastTraining, KeepEncoder
from ground_tools.training.crops import recipe_tiling
from ground_tools.training.film import Film
from ground_tools.training.guidance import GuidedTraining
from ground_tools.training.hardware import compilation, devices
from ground_tools.training.heads import add_window, fold_head
from ground_tools.training.networks import build_recipe_unet
from ground_tools.training.objective import training_loss, training_model
from ground_tools.training.optimizers import Patience, make_optimizer
from ground_tools.training.origins import describe_origin, load_single_network, start_digest
from ground_tools.training.outcome import (
    ENCODER_WEIGHTS,
    SEGMENTER_WEIGHTS,
    STARTED_FILE,
    UNET_WEIGHTS,
    best_file,
    count_bodies,
    save_weights,
    validation_figures,
    write_best,
    write_record,
)
from ground_tools.training.pixel_losses import count_labels, frequency_weights
from ground_tools.training.pixels import Pixels, read_domains, read_pixels, read_size
from ground_tools.training.progress import LOG_FILE, Curves, EpochLine, StepBar, read_log
from ground_tools.training.recipe_tables import Contrast, Loss, Optimizer
from ground_tools.training.recipes import Recipe
from ground_tools.training.records import provenance
from ground_tools.training.resumption import BACKUP, check_weights, read_identity, read_left, repair
from ground_tools.training.segmenter import (
    KeepBestScore,
    SegmenterBatches,
    SegmenterTraining,
    ValidationImages,
    start_segmenter,
)

# Whose statistics the batch normalization begins with when a training starts from a bundle.
_NORMALIZATION_IMAGES = 256


class KeepBestIoU(keras.callbacks.Callback):
    """After each epoch: mIoU of the deterministic network on the validation set; keeps the best weights.

    validated: the network whose scores count; with the paper's head folded, which differs by nothing but the outermost
    pixels and takes a sixth of the time.
    """

    def __init__(
        self, unet: keras.Model, validated: keras.Model, inputs: np.ndarray, masks: np.ndarray, path: Path
    ) -> None:
        super().__init__()
        self._unet, self._validated, self._masks, self._path = unet, validated, masks, path
        self._inputs = inputs
        record = best_file(path)
        self.best = read_left(record, "remove it")["miou"] if record.exists() else -1.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        scores = self._validated.predict(self._inputs, batch_size=16, verbose=0)
        per_class = iou_per_class(self._masks, scores.argmax(axis=-1), scores.shape[-1])
        value = mean_iou(per_class)
        if logs is not None:
            logs.update(validation_figures(value, per_class))
        if value > self.best:
            self.best = value
            save_weights(self._unet, self._path)
            write_best(self._path, epoch + 1, value, per_class)


def _schedule(recipe: Recipe, steps_per_epoch: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    if recipe.schedule == "constant":
        return recipe.learning_rate
    steps = recipe.epochs * steps_per_epoch
    warm_up = min(steps // 20 + 1, 200)
    return keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate * 0.05,
        max(steps - warm_up, 1),
        alpha=0.1,
        warmup_target=recipe.learning_rate,
        warmup_steps=warm_up,
    )


def _build_optimizer(model: keras.Model) -> None:
    """Make the optimizer's variables. TensorFlow traces a step twice, for seconds, where the first one has to.

    Of a model whose layers are all built.
    """
    model.optimizer.build(model.trainable_variables)


def _callbacks(recipe: Recipe, out: Path) -> list[keras.callbacks.Callback]:
    return [
        StepBar(recipe.epochs),
        EpochLine(recipe.epochs),
        keras.callbacks.CSVLogger(str(out / LOG_FILE), append=True),
        # As soon after the log as can be: a kill between the two has the epoch done and logged once more.
        keras.callbacks.BackupAndRestore(str(out / BACKUP), delete_checkpoint=False, double_checkpoint=True),
        Curves(out),
    ]


def _begin(recipe: Recipe, dataset: Path, out: Path, start: Path | None, second_set: Path | None = None) -> int:
    """Open or continue a training in `out`; returns the number of epochs done.

    Raises ValueError when the folder holds a training of another recipe, set or starting point: going on from it
    would mix the two, and its record would be untrue.
    """
    out.mkdir(parents=True, exist_ok=True)
    identity: dict[str, Any] = {
        "recipe": {name: value for name, value in recipe.record().items() if name != "epochs"},
        "dataset": provenance(dataset),
        "beside": None if second_set is None else provenance(second_set),
        "origin_sha256": start_digest(start) if start else None,
    }
    if read_identity(out) not in (None, identity):
        raise ValueError(f"{out}: holds another training; choose another --out")
    write_whole(out / STARTED_FILE, json.dumps(identity).encode())
    repair(out)
    return len(read_log(out))


def train_encoder(recipe: Recipe, dataset: Path, out: Path) -> Path:
    """Train the encoder CNN to name the body (C-1). Returns the weights of the epoch with the lowest loss."""
    keras.utils.set_random_seed(recipe.seed)
    done = _begin(recipe, dataset, out, None)
    bodies = derive_body_set(dataset)
    names = bodies.names
    noise = read_description(dataset)["noise"]
    validation_inputs = network_inputs(bodies.images[bodies.validation], noise)
    validation_labels = bodies.labels[bodies.validation]
    model = build_encoder_cnn(len(names), size=bodies.images.shape[1])
    chosen = bodies.train[evenly(len(bodies.train), recipe.images)]
    batches = BodyBatches(
        bodies.images[chosen], bodies.labels[chosen], recipe, whole_only=devices() > 1, first_epoch=done
    )
    model.compile(
        jit_compile=compilation(),
        optimizer=keras.optimizers.Adam(_schedule(recipe, len(batches))),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    path = out / ENCODER_WEIGHTS
    best = keras.callbacks.ModelCheckpoint(
        str(path),
        monitor="val_loss",
        save_best_only=True,
        save_weights_only=True,
        initial_value_threshold=min((float(row["val_loss"]) for row in read_log(out)), default=None),
    )
    _build_optimizer(model)
    model.fit(
        batches,
        validation_data=(validation_inputs, validation_labels),
        epochs=recipe.epochs,
        callbacks=[best, *_callbacks(recipe, out)],
        verbose=0,
    )
    model.load_weights(path)
    loss, accuracy = model.evaluate(validation_inputs, validation_labels, verbose=0)
    images = {"train": len(chosen), "validation": len(bodies.validation)}
    measured = {"images": images, "val_loss": loss, "val_accuracy": accuracy}
    write_record(recipe, provenance(dataset), out, path, read_log(out), measured)
    return path


def _build_unet(
    recipe: Recipe, train: Pixels, noise: dict[str, Any] | None, encoder: Path | None, start: Path | None
) -> keras.Model:
    """The UNet with the weights that it starts from: an encoder's, or those of `start`. noise: of the set."""
    size = train.images.shape[1]
    unet = build_recipe_unet(recipe, size)
    if recipe.design is not None:
        if start is not None:
            unet.load_weights(start)
    elif encoder is not None:
        cnn = build_encoder_cnn(count_bodies(encoder), size=size)
        cnn.load_weights(encoder)
        take_encoder(unet, cnn, freeze=recipe.freeze_encoder)
    elif start is not None:
        if start.is_dir():
            seen = network_inputs(train.images[evenly(len(train), _NORMALIZATION_IMAGES)], noise)
            load_bundle_weights(unet, load_single_network(start).networks[0], seen)
        else:
            unet.load_weights(start)
        take_encoder(unet, unet, freeze=recipe.freeze_encoder)
    return unet


def _trained_model(recipe: Recipe, unet: keras.Model, folded: keras.Model) -> keras.Model:
    """What is trained of a UNet, by the recipe's head."""
    if recipe.head == "windowed":
        return add_window(unet, recipe.window)
    return folded if recipe.head == "folded" else training_model(unet, recipe)


def _check_start(recipe: Recipe, encoder: Path | None, start_from: Path | None) -> None:
    if recipe.design is None:
        if (encoder is None) == (start_from is None):
            raise ValueError("training a UNet starts from either --encoder or --start-from weights")
    elif encoder is not None or (start_from is not None and start_from.is_dir()):
        option = "--encoder" if encoder is not None else "--start-from"
        raise ValueError(f"{option}: recipe {recipe.name} has a design; expected its own weights or none, got others")


def train_unet(
    recipe: Recipe,
    dataset: Path,
    out: Path,
    encoder: Path | None,
    start_from: Path | None,
    unpack_to: Path | None = None,
    second_set: Path | None = None,
) -> Path:
    """Train a UNet from an encoder's weights, or from another UNet's. Returns the best epoch's weights.

    start_from: weights of a UNet, or a bundle of one network, whose int8 weights are taken as floats. unpack_to: where
    to keep the training split's pixels, to be read as batches need them; None: in memory. second_set: of which each
    batch has `recipe.beside` training images more. Raises ValueError when neither or both starting points are given,
    for a second set without a recipe that takes one, or the other way round, and for a design with an encoder or a
    bundle to start from: it starts from weights of its own or from nothing.
    """
    start = encoder or start_from
    _check_start(recipe, encoder, start_from)
    if (second_set is None) != (recipe.beside == 0):
        raise ValueError(
            f"--second-set: recipe {recipe.name} takes {recipe.beside or 'no'} images of another set a batch"
        )
    keras.utils.set_random_seed(recipe.seed)
    if start is not None and start.is_file():
        check_weights(start, "train it again")
    done = _begin(recipe, dataset, out, start, second_set)
    pixels = recipe.minimum_boulder_pixels
    train = read_pixels(dataset, "train", pixels, unpack_to).some(recipe.images)
    more = None if second_set is None else read_pixels(second_set, "train", pixels, unpack_to)
    validation = read_pixels(dataset, "validation", pixels)
    if recipe.head == "windowed" and recipe.window > train.images.shape[1]:
        raise ValueError(f"recipe {recipe.name}: window: expected at most {train.images.shape[1]}, got {recipe.window}")
    noise = read_description(dataset)["noise"]
    unet = _build_unet(recipe, train, noise, encoder, start)
    validated = fold_head(unet) if recipe.design is None else unet
    model = _trained_model(recipe, unet, validated)
    batches = UNetBatches(train, recipe, more, devices() > 1, done)
    model.compile(
        jit_compile=compilation(),
        optimizer=keras.optimizers.Adam(_schedule(recipe, len(batches)), global_clipnorm=recipe.gradient_norm or None),
        loss=training_loss(recipe),
    )
    path = out / UNET_WEIGHTS
    keep = KeepBestIoU(unet, validated, network_inputs(validation.images, noise), validation.masks, path)
    _build_optimizer(model)
    model.fit(batches, epochs=recipe.epochs, callbacks=[keep, *_callbacks(recipe, out)], verbose=0)
    best = read_left(best_file(path), "begin again in another --out")
    images = {"train": len(train), "validation": len(validation)}
    measured: dict[str, Any] = {"images": images, "validation": best}
    if start is not None:
        measured["began_from"] = describe_origin(start)
    if second_set is not None:
        measured["beside"] = provenance(second_set)
    write_record(recipe, provenance(dataset), out, path, read_log(out), measured)
    return path


def train_segmenter(
    recipe: Recipe,
    dataset: Path,
    out: Path,
    encoder: Path | None = None,
    start_from: Path | None = None,
    unpack_to: Path | None = None,
    second_set: Path | None = None,
) -> Path:
    """Train a network that the recipe's `segmenter` describes, on the classes of the set. Returns the best weights.

    Args:
        recipe: of network "segmenter".
        dataset: any set; pixels without a label count nowhere.
        out: folder of the training, which goes on where one was begun.
        encoder: weights of the encoder to start from, of a training or of keras.applications.
        start_from: weights of a whole network of the same recipe and classes.
        unpack_to: where to keep the training split's pixels; None: in memory.
        second_set: of which each batch has images for the super-resolution alone, where the recipe says so.

    Raises:
        ValueError: both starts are given, or one does not fit the recipe; or a set does not.
    """
    if encoder is not None and start_from is not None:
        raise ValueError("--encoder: expected it or --start-from, got both")
    unlabelled = _read_unlabelled(recipe, dataset, second_set)
    keras.utils.set_random_seed(recipe.seed)
    start = encoder or start_from
    done = _begin(recipe, dataset, out, start, second_set)
    description = read_description(dataset)
    table = table_of(description)
    train = _read_share(recipe, dataset, unpack_to)
    shape = _input_shape(recipe, dataset, train)
    held = read_pixels(dataset, "validation", recipe.minimum_boulder_pixels)
    validation = ValidationImages(held, description["noise"], recipe)
    made = start_segmenter(recipe, len(table), shape, encoder, start_from)
    batches = SegmenterBatches(train, recipe, devices() > 1, done, unlabelled)
    model = _trained_segmenter(recipe, made, frequency_weights(count_labels(train.masks, len(table))))
    optimizer = recipe.optimizer or Optimizer()
    rate = recipe.learning_rate if optimizer.reduce_after else _schedule(recipe, len(batches))
    model.compile(jit_compile=compilation(), optimizer=make_optimizer(optimizer, rate, recipe.gradient_norm))
    path = out / SEGMENTER_WEIGHTS
    patience = Patience(optimizer, recipe.learning_rate, [float(row["val_miou"]) for row in read_log(out)])
    callbacks = [KeepBestScore(made.network, validation, table.names, path), patience, *_callbacks(recipe, out)]
    if recipe.film:
        callbacks.append(Film(made.network, validation, recipe.film, table, out))
    _build_optimizer(model)
    model.fit(batches, epochs=done if patience.over else recipe.epochs, callbacks=callbacks, verbose=0)
    measured: dict[str, Any] = {
        "images": {"train": len(train), "validation": len(validation.pixels)},
        "input": list(made.network.input.shape[1:]),
        **table.describe(),
        "validation": read_left(best_file(path), "begin again in another --out"),
    }
    if start is not None:
        measured["began_from"] = describe_origin(start)
    if second_set is not None:
        measured["beside"] = provenance(second_set)
    write_record(recipe, provenance(dataset), out, path, read_log(out), measured)
    return path


def _read_share(recipe: Recipe, dataset: Path, unpack_to: Path | None) -> Pixels:
    """The training images that a recipe takes of a set."""
    train = read_pixels(dataset, "train", recipe.minimum_boulder_pixels, unpack_to)
    if recipe.labels < 1.0:
        train = train.chosen(draw_share(read_domains(dataset, "train"), recipe.labels, recipe.seed))
    return train.some(recipe.images)


def _read_unlabelled(recipe: Recipe, dataset: Path, second_set: Path | None) -> Pixels | None:
    """The images for the super-resolution alone. Raises ValueError where recipe, sets and option do not fit."""
    if (second_set is None) != (recipe.from_second_set == 0):
        count = recipe.from_second_set or "no"
        raise ValueError(f"--second-set: recipe {recipe.name} takes {count} images of another set a batch")
    if second_set is None:
        return None
    channels, others = (channels_of(read_description(path)) for path in (dataset, second_set))
    if channels != others:
        raise ValueError(f"--second-set: expected images of {channels} channels, as {dataset} has, got {others}")
    unlabelled = read_pixels(second_set, "train", recipe.minimum_boulder_pixels)
    height, width, _ = _input_shape(recipe, second_set, unlabelled)
    if recipe.crop is None and (height, width) != read_size(dataset):
        own = " x ".join(map(str, read_size(dataset)))
        raise ValueError(f"--second-set: expected images of {own} px, as {dataset} has, got {height} x {width}")
    return unlabelled


def _input_shape(recipe: Recipe, dataset: Path, pixels: Pixels) -> tuple[int, int, int]:
    """Height, width and channels of the network's input. Raises ValueError where images are smaller than the crops."""
    _, height, width, channels = with_channels(pixels.images[:1]).shape
    tiling = recipe_tiling(recipe)
    if tiling is None:
        return height, width, channels
    if tiling.height > height or tiling.width > width:
        raise ValueError(
            f"dataset {dataset}: images: expected at least {tiling.height} x {tiling.width} px, as recipe "
            f"{recipe.name} cuts, got {height} x {width}"
        )
    return tiling.height, tiling.width, channels


def _trained_segmenter(recipe: Recipe, made: SegmenterModel, frequencies: np.ndarray) -> SegmenterTraining:
    """What is trained of a network, built: itself, or with a second branch. frequencies: weights of the classes."""
    loss = recipe.loss or Loss()
    if recipe.guidance is None or recipe.segmenter is None or not recipe.guidance.needed:
        model = SegmenterTraining(made.network, loss, frequencies)
    else:
        model = GuidedTraining(add_super_resolution(made, recipe.segmenter), loss, frequencies, recipe.guidance)
    model.build((None, *made.network.input.shape[1:]))
    return model


def train_contrastive(recipe: Recipe, dataset: Path, out: Path, unpack_to: Path | None = None) -> Path:
    """Train the encoder of a recipe's network on the training images, whose labels are not looked at.

    Args:
        recipe: of network "segmenter"; its `contrast` says how, its batch and augmentation hold.
        dataset: any set.
        out: folder of the training, which goes on where one was begun.
        unpack_to: see train_segmenter.

    Returns:
        The encoder's weights after the last epoch, to be given to `--encoder`.
    """
    assert recipe.segmenter is not None
    contrast = recipe.contrast or Contrast()
    recipe = msgspec.structs.replace(recipe, name=f"{recipe.name}_contrastive", epochs=contrast.epochs)
    keras.utils.set_random_seed(recipe.seed)
    done = _begin(recipe, dataset, out, None)
    train = read_pixels(dataset, "train", recipe.minimum_boulder_pixels, unpack_to).some(recipe.images)
    validation = read_pixels(dataset, "validation", recipe.minimum_boulder_pixels)
    classes = len(table_of(read_description(dataset)))
    _, height, width, channels = with_channels(train.images[:1]).shape
    encoder = start_segmenter(recipe, classes, (height, width, channels), None, None).encoder
    model = ContrastTraining(encoder, contrast)
    batches = ContrastBatches(train, recipe, contrast, done)
    optimizer = make_optimizer(recipe.optimizer or Optimizer(), _schedule(recipe, len(batches)), recipe.gradient_norm)
    model.compile(jit_compile=compilation(), optimizer=optimizer)
    model.build((None, height, width, channels))
    path = out / ENCODER_WEIGHTS
    keep = KeepEncoder(model, validation, recipe, contrast, path)
    model.fit(batches, epochs=recipe.epochs, callbacks=[keep, *_callbacks(recipe, out)], verbose=0)
    measured = {"images": {"train": len(train), "validation": len(validation)}, "input": [height, width, channels]}
    write_record(recipe, provenance(dataset), out, path, read_log(out), measured)
    return path
