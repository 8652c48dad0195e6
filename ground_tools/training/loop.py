"""Training loops: the encoder CNN and the UNets; resumable from the last epoch, best epoch kept."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from ground_tools.classes import CLASS_NAMES
from ground_tools.datasets.derived import body_set
from ground_tools.datasets.noise import with_noise
from ground_tools.datasets.store import LoadedSet, digest, load, read_description
from ground_tools.networks.unet import (
    DECODER_CHANNELS,
    HEAD_CHANNELS,
    UNetDropout,
    build_encoder_cnn,
    build_unet,
    take_encoder,
)
from ground_tools.training.batches import BodyBatches, WindowBatches, relabelled
from ground_tools.training.metrics import iou_per_class, mean_iou
from ground_tools.training.recipes import Recipe


class Window(keras.layers.Layer):
    """Cuts a square window out of each feature map: ((N, H, W, C), (N, 2) first rows and columns) -> (N, w, w, C).

    By products with selection matrices, which every backend differentiates and which cost next to nothing.
    """

    def __init__(self, size: int, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._size = size

    def call(self, inputs: Any) -> Any:
        features, offsets = inputs
        steps = ops.arange(self._size, dtype="int32")
        rows = ops.one_hot(offsets[:, :1] + steps, features.shape[1], dtype=features.dtype)
        columns = ops.one_hot(offsets[:, 1:] + steps, features.shape[2], dtype=features.dtype)
        return ops.einsum("nvx,nwxc->nwvc", columns, ops.einsum("nwh,nhxc->nwxc", rows, features))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        (batch, _, _, channels), _ = input_shape
        return (batch, self._size, self._size, channels)


def windowed(unet: keras.Model, window: int) -> keras.Model:
    """The UNet for training, its head computed inside a window only; it shares every layer with `unet`."""
    image = unet.input
    offset = keras.Input((2,), dtype="int32", name="window_offset")
    blocks = len(DECODER_CHANNELS)
    x = Window(window, name="window")([unet.get_layer(f"up_leaky_{blocks}").output, offset])
    for index in range(1, len(HEAD_CHANNELS) + 1):
        x = unet.get_layer(f"head_convolution_{index}")(x)
        x = unet.get_layer(f"dropout_{blocks + index}")(x)
    scores = unet.get_layer(f"head_convolution_{len(HEAD_CHANNELS) + 1}")(x)
    return keras.Model([image, offset], scores, name="unet_windowed")


class KeepBestIoU(keras.callbacks.Callback):
    """After each epoch: mIoU of the deterministic network on the validation set; keeps the best weights."""

    def __init__(self, unet: keras.Model, validation: LoadedSet, masks: np.ndarray, path: Path) -> None:
        super().__init__()
        self._unet, self._masks, self._path = unet, masks, path
        self._inputs = with_noise(validation.images)
        record = path.with_suffix(".best.json")
        self.best = json.loads(record.read_text())["miou"] if record.exists() else -1.0
        self._record = record

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        scores = self._unet.predict(self._inputs, batch_size=16, verbose=0)
        per_class = iou_per_class(self._masks, scores.argmax(axis=-1), scores.shape[-1])
        value = mean_iou(per_class)
        if logs is not None:
            logs["val_miou"] = value
            logs.update({f"val_iou_{CLASS_NAMES[i]}": float(v) for i, v in enumerate(per_class)})
        if value > self.best:
            self.best = value
            # Renamed when whole: a kill while writing must not cost the best weights so far.
            partial = self._path.with_name("part.weights.h5")
            self._unet.save_weights(partial)
            partial.replace(self._path)
            iou = {name: float(v) for name, v in zip(CLASS_NAMES, per_class, strict=True)}
            self._record.write_text(json.dumps({"epoch": epoch + 1, "miou": value, "iou": iou}))


class EpochLine(keras.callbacks.Callback):
    """Prints one line per epoch with what was measured and the time left."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._epochs, self._began = epochs, 0.0
        self._seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._seconds.append(time.monotonic() - self._began)
        each = sum(self._seconds) / len(self._seconds)
        if logs is not None:
            logs["seconds"] = self._seconds[-1]
        shown = "  ".join(
            f"{name} {value:.4g}"
            for name, value in (logs or {}).items()
            if not name.startswith("val_iou_") and name != "seconds"
        )
        print(
            f"epoch {epoch + 1}/{self._epochs}  {shown}  {each:.0f} s/epoch, "
            f"{each * (self._epochs - epoch - 1) / 60:.1f} min left",
            flush=True,
        )


def _schedule(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.schedules.LearningRateSchedule:
    steps = recipe.epochs * steps_per_epoch
    warm_up = min(steps // 20 + 1, 200)
    return keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate * 0.05,
        max(steps - warm_up, 1),
        alpha=0.1,
        warmup_target=recipe.learning_rate,
        warmup_steps=warm_up,
    )


def _callbacks(recipe: Recipe, out: Path) -> list[keras.callbacks.Callback]:
    return [
        EpochLine(recipe.epochs),
        keras.callbacks.CSVLogger(str(out / "log.csv"), append=True),
        keras.callbacks.BackupAndRestore(str(out / "backup"), delete_checkpoint=False, double_checkpoint=True),
    ]


def _begin(recipe: Recipe, dataset: Path, out: Path, origin: Path | None) -> int:
    """Open or continue a training in `out`; returns the number of epochs done.

    Raises ValueError when the folder holds a training of another recipe, set or starting point: going on from it
    would mix the two, and its record would be untrue.
    """
    out.mkdir(parents=True, exist_ok=True)
    identity = {
        "recipe": {name: value for name, value in _recipe_record(recipe).items() if name != "epochs"},
        "dataset_sha256": digest(dataset),
        "origin_sha256": hashlib.sha256(origin.read_bytes()).hexdigest() if origin else None,
    }
    path = out / "started.json"
    if path.exists() and json.loads(path.read_text()) != identity:
        raise ValueError(f"{out}: holds another training; choose another --out")
    path.write_text(json.dumps(identity))
    return len(_log(out))


def _log(out: Path) -> list[dict[str, str]]:
    """The rows of log.csv, one per epoch done."""
    path = out / "log.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _recipe_record(recipe: Recipe) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return record


def train_encoder(recipe: Recipe, dataset: Path, out: Path) -> Path:
    """Train the encoder CNN to name the body (C-1). Returns the weights of the epoch with the lowest loss."""
    keras.utils.set_random_seed(recipe.seed)
    done = _begin(recipe, dataset, out, None)
    bodies = body_set(dataset)
    names = bodies.names
    validation_inputs = with_noise(bodies.images[bodies.validation])
    validation_labels = bodies.labels[bodies.validation]
    model = build_encoder_cnn(len(names), size=bodies.images.shape[1])
    batches = BodyBatches(bodies.images[bodies.train], bodies.labels[bodies.train], recipe, first_epoch=done)
    model.compile(
        optimizer=keras.optimizers.Adam(_schedule(recipe, len(batches))),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    path = out / "encoder.weights.h5"
    best = keras.callbacks.ModelCheckpoint(
        str(path),
        monitor="val_loss",
        save_best_only=True,
        save_weights_only=True,
        initial_value_threshold=min((float(row["val_loss"]) for row in _log(out)), default=None),
    )
    model.fit(
        batches,
        validation_data=(validation_inputs, validation_labels),
        epochs=recipe.epochs,
        callbacks=[best, *_callbacks(recipe, out)],
        verbose=0,
    )
    model.load_weights(path)
    loss, accuracy = model.evaluate(validation_inputs, validation_labels, verbose=0)
    images = {"train": len(bodies.train), "validation": len(bodies.validation)}
    _write_record(recipe, dataset, out, path, {"images": images, "val_loss": loss, "val_accuracy": accuracy})
    return path


def train_unet(recipe: Recipe, dataset: Path, out: Path, encoder: Path | None, start_from: Path | None) -> Path:
    """Train a UNet from an encoder's weights, or from another UNet's. Returns the best epoch's weights.

    Raises ValueError when neither or both starting points are given.
    """
    if (encoder is None) == (start_from is None):
        raise ValueError("training a UNet starts from either --encoder or --start-from weights")
    keras.utils.set_random_seed(recipe.seed)
    done = _begin(recipe, dataset, out, encoder or start_from)
    train, validation = (load(dataset, split, identifiers=True) for split in ("train", "validation"))
    if recipe.window > train.images.shape[1]:
        raise ValueError(f"recipe {recipe.name}: window: expected at most {train.images.shape[1]}, got {recipe.window}")
    masks = relabelled(train, recipe.minimum_boulder_pixels)
    validation_masks = relabelled(validation, recipe.minimum_boulder_pixels)
    size = train.images.shape[1]
    unet = build_unet(len(CLASS_NAMES), UNetDropout(recipe.dropout_blocks, recipe.dropout_head), size=size)
    if encoder is not None:
        cnn = build_encoder_cnn(len(set(train.bodies)), size=size)
        cnn.load_weights(encoder)
        take_encoder(unet, cnn, freeze=recipe.freeze_encoder)
    else:
        unet.load_weights(start_from)
        take_encoder(unet, unet, freeze=recipe.freeze_encoder)
    model = windowed(unet, recipe.window)
    batches = WindowBatches(train.images, masks, recipe, first_epoch=done)
    model.compile(
        optimizer=keras.optimizers.Adam(_schedule(recipe, len(batches)), global_clipnorm=1.0),
        # The class weight enters per pixel, as sample weight; the mean is over all pixels.
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    path = out / "unet.weights.h5"
    keep = KeepBestIoU(unet, validation, validation_masks, path)
    model.fit(batches, epochs=recipe.epochs, callbacks=[keep, *_callbacks(recipe, out)], verbose=0)
    best = json.loads(path.with_suffix(".best.json").read_text())
    images = {"train": len(train), "validation": len(validation)}
    measured = {"images": images, "validation": best, "began_from": _origin(encoder or start_from)}
    _write_record(recipe, dataset, out, path, measured)
    return path


def _origin(weights: Path | None) -> dict[str, Any]:
    """What is known of the weights that a training began from."""
    assert weights is not None
    origin: dict[str, Any] = {"weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}
    best = weights.with_suffix(".best.json")
    if best.is_file():
        origin["validation"] = json.loads(best.read_text())
    record = weights.with_name("training.json")
    if record.is_file():
        origin["training"] = json.loads(record.read_text())
    return origin


def _write_record(recipe: Recipe, dataset: Path, out: Path, weights: Path, measured: dict[str, Any]) -> None:
    """training.json: what was trained on what, where and how long, for the bundle's provenance."""
    rows = _log(out)
    record = {
        "recipe": {**_recipe_record(recipe), "epochs": len(rows)},
        "dataset": {"name": read_description(dataset)["name"], "sha256": digest(dataset)},
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "minutes": round(sum(float(row["seconds"]) for row in rows) / 60.0, 1),
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        **measured,
    }
    (out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
