"""What a training leaves in its folder, whoever trains: the best weights so far, their figures, and the record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from ground_tools.foundation.files import write_whole
from ground_tools.labels.classes import CLASS_NAMES
from ground_tools.training.hardware import devices, hardware
from ground_tools.training.recipes import Recipe

UNET_WEIGHTS = "unet.weights.h5"
ENCODER_WEIGHTS = "encoder.weights.h5"
SEGMENTER_WEIGHTS = "segmenter.weights.h5"
STARTED_FILE = "started.json"
RECORD_FILE = "training.json"


def save_weights(model: keras.Model, path: Path) -> None:
    """Save a model's weights; renamed when whole: a kill while writing must not cost the best weights so far."""
    partial = path.with_name("part.weights.h5")
    model.save_weights(partial)
    partial.replace(path)


def best_file(weights: Path) -> Path:
    """Where the figures of the best weights stand, beside them."""
    return weights.with_suffix(".best.json")


def write_best(
    weights: Path, epoch: int, miou: float, per_class: np.ndarray | list[float], names: Sequence[str] = CLASS_NAMES
) -> dict[str, Any]:
    """Write which epoch the best weights come from, and what they reach.

    epoch: from 1. per_class: (K,) IoU. names: of the classes.
    """
    iou = {name: float(value) for name, value in zip(names, per_class, strict=True)}
    best = {"epoch": epoch, "miou": miou, "iou": iou}
    write_whole(best_file(weights), json.dumps(best).encode())
    return best


def validation_figures(miou: float, per_class: np.ndarray, names: Sequence[str] = CLASS_NAMES) -> dict[str, float]:
    """The columns of the log that a network's validation fills. names: of the classes."""
    return {"val_miou": miou, **{f"val_iou_{names[i]}": float(value) for i, value in enumerate(per_class)}}


def write_record(
    recipe: Recipe,
    dataset: dict[str, Any],
    out: Path,
    weights: Path,
    rows: list[dict[str, str]],
    measured: dict[str, Any],
) -> None:
    """training.json: what was trained on what, where and how long, for the bundle's provenance.

    dataset: as `records.provenance` gives it. rows: of the log, the last one that of the last epoch done. measured:
    what else there is to say.
    """
    record = {
        "recipe": {**recipe.record(), "epochs": int(rows[-1]["epoch"]) + 1},
        "dataset": dataset,
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "precision": keras.config.dtype_policy().name,
        "hardware": hardware(),
        "devices": devices(),
        "minutes": round(sum(float(row["seconds"]) for row in rows) / 60.0, 1),
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        **measured,
    }
    write_whole(out / RECORD_FILE, (json.dumps(record, indent=2) + "\n").encode())


def count_bodies(encoder: Path) -> int:
    """How many bodies an encoder CNN tells apart, from its weights: those of the set to train on may be others."""
    with h5py.File(encoder, "r") as file:
        return int(file["layers/dense_2/vars/1"].shape[0])
