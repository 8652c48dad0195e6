"""Evaluation of networks of other missions: bundles as they fly, and trained networks before export."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from flight.bundle import load_bundle
from flight.inference.engine import Engine
from flight.settings import default_settings
from ground_tools.datasets.noise import network_inputs
from ground_tools.datasets.store import LoadedSet, load, read_description
from ground_tools.evaluation.passes import camera_frames
from ground_tools.foundation.json_records import read_json
from ground_tools.foundation.progress import progress
from ground_tools.foundation.sampling import even_share
from ground_tools.labels.class_table import IGNORED, ClassTable, table_of
from ground_tools.metrics.calibration import (
    calibration_counts,
    expected_calibration_error,
    labelled,
    negative_log_likelihood,
)
from ground_tools.metrics.error_detection import area_under_roc, score_histogram
from ground_tools.metrics.iou import confusion_matrix
from ground_tools.metrics.scores import score
from ground_tools.missions.catalogue import mission_of
from ground_tools.missions.figures import MissionFigures, Values

_DRAWS, _SEED = 1000, 1


@dataclass(frozen=True)
class Evaluated:
    """A network that gives maps.

    Attributes:
        name: in results.
        mission: that it belongs to.
        kind: see MissionFigures.
        classes: its names.
        shape: height, width and channels of its images.
        predict: (H, W) or (H, W, 3) uint8 and a seed to probabilities (K, H, W) float32.
    """

    name: str
    mission: str
    kind: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    predict: Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class SetResult:
    """What came of a network on a set. maps: class maps (N, H, W) uint8 of the loaded images."""

    set_name: str
    figures: MissionFigures
    loaded: LoadedSet
    table: ClassTable
    maps: np.ndarray


def is_of_a_mission(folder: Path) -> bool:
    """Whether a bundle or a training's folder has the classes of another mission than small bodies."""
    try:
        mission_of(_classes_in(folder))
    except ValueError:
        return False
    return True


def _classes_in(folder: Path) -> list[str]:
    manifest = folder / "manifest.json"
    if manifest.is_file():
        return [entry["name"] for entry in read_json(manifest).get("classes", ())]
    return list(read_json(folder / "training.json").get("classes", ()))


@contextmanager
def open_evaluated(folder: Path, passes: int, threads: int = 2) -> Iterator[Evaluated]:
    """A network to evaluate.

    Args:
        folder: a bundle, or a finished training.
        passes: of dropout, of a bundle without a closed form.
        threads: of a bundle's engine.

    Raises:
        ValueError: the folder is neither, or of no mission.
    """
    classes = tuple(_classes_in(folder))
    mission = mission_of(classes)
    if not (folder / "manifest.json").is_file():
        yield _open_training(folder, mission, classes)
        return
    bundle = load_bundle(folder)
    settings = replace(default_settings(bundle), passes=passes)
    engine = Engine(bundle, threads)

    def predict(frame: np.ndarray, seed: int) -> np.ndarray:
        maps = engine.segment(frame, bit_depth=8, centered=True, seed=seed, settings=settings)
        return maps.mean_probability

    try:
        yield Evaluated(bundle.name, mission, "int8", classes, (bundle.height, bundle.width, bundle.channels), predict)
    finally:
        engine.close()


def _open_training(folder: Path, mission: str, classes: tuple[str, ...]) -> Evaluated:
    from ground_tools.export.segmenter_graph import read_segmenter

    record = read_json(folder / "training.json")
    segmenter = read_segmenter(record, folder)
    height, width, channels = record["input"]
    ones = [np.ones((1, *shape), dtype=np.float32) for shape in segmenter.shapes]

    def predict(frame: np.ndarray, seed: int) -> np.ndarray:
        inputs = network_inputs(frame[None], None)
        scores = np.asarray(segmenter.network.predict_on_batch([inputs, *ones]))[0].transpose(2, 0, 1)
        power = np.exp(scores - scores.max(axis=0))
        return np.asarray(power / power.sum(axis=0), dtype=np.float32)

    return Evaluated(folder.resolve().name, mission, "float32", classes, (height, width, channels), predict)


def evaluate_on(evaluated: Evaluated, dataset: Path, split: str, count: int) -> SetResult:
    """Figures of a network on a set.

    Args:
        evaluated: the network.
        dataset: a set of the network's classes and image size.
        split: of the set.
        count: images, an even share of each domain; 0 for all.

    Raises:
        ValueError: the set has other classes or images, or no such split.
    """
    description = read_description(dataset)
    table = table_of(description)
    if table.names != evaluated.classes:
        raise ValueError(
            f"dataset {dataset}: classes: expected {', '.join(evaluated.classes)}, as {evaluated.name} has, "
            f"got {', '.join(table.names)}"
        )
    loaded = load(dataset, split)
    if loaded.masks.shape[1:] != evaluated.shape[:2]:
        height, width = loaded.masks.shape[1:]
        expected = " x ".join(map(str, evaluated.shape[:2]))
        raise ValueError(f"dataset {dataset}: images: expected {expected} px, got {height} x {width}")
    loaded = loaded.chosen(even_share(loaded.bodies, count))
    frames = camera_frames(loaded.images, description["noise"])
    maps, confusions, seconds, likelihoods = [], [], [], []
    calibration, histogram, pixels = np.zeros(()), np.zeros(()), 0
    bar = progress(frames, unit="image", label=f"{evaluated.name} on {description['name']}")
    for seed, (frame, truth) in enumerate(zip(bar, loaded.masks, strict=True)):
        began = time.perf_counter()
        probability = evaluated.predict(frame, seed)
        seconds.append(time.perf_counter() - began)
        maps.append(probability.argmax(axis=0).astype(np.uint8))
        confusions.append(confusion_matrix(truth, maps[-1], len(table)))
        known, classes = labelled(probability, truth)
        if not classes.size:
            continue
        right = known.argmax(axis=0) == classes
        likelihoods.append(negative_log_likelihood(known, classes) * classes.size)
        calibration = calibration + calibration_counts(known.max(axis=0), right)
        entropy = -(probability * np.log(np.maximum(probability, 1e-12))).sum(axis=0)[truth != IGNORED]
        histogram = histogram + score_histogram(entropy.reshape(right.shape), right)
        pixels += classes.size
    if not pixels:
        raise ValueError(f"dataset {dataset}: expected pixels with labels in split {split}, got none")
    figures = _figures(evaluated.kind, np.stack(confusions), table, pixels / loaded.masks.size)
    figures = replace(
        figures,
        nll=round(sum(likelihoods) / pixels, 5),
        ece=round(expected_calibration_error(np.asarray(calibration)), 5),
        auroc=round(area_under_roc(np.asarray(histogram)), 5),
        frame_ms=round(1e3 * statistics.median(seconds), 1),
    )
    return SetResult(description["name"], figures, loaded, table, np.stack(maps))


def _figures(kind: str, confusions: np.ndarray, table: ClassTable, share: float) -> MissionFigures:
    """What follows from the confusion matrices of the images, (N, K, K); the rest is 0."""
    total = confusions.sum(axis=0)
    scores = score(total)

    def by_class(values: np.ndarray) -> Values:
        return {
            name: None if np.isnan(value) else round(float(value), 5)
            for name, value in zip(table.names, values, strict=True)
        }

    return MissionFigures(
        kind=kind,
        images=len(confusions),
        labelled=round(share, 5),
        accuracy=round(scores.accuracy, 5),
        macro_f1=round(scores.macro_f1, 5),
        miou=round(scores.miou, 5),
        miou_interval=draw_interval(confusions),
        iou=by_class(scores.iou),
        recall=by_class(scores.recall),
        f1=by_class(scores.f1),
        confusion=total.tolist(),
        nll=0.0,
        ece=0.0,
        auroc=0.0,
        frame_ms=0.0,
    )


def draw_interval(confusions: np.ndarray) -> tuple[float, float]:
    """Where the mIoU of the summed confusion matrix lies when images are drawn anew, 2.5 to 97.5 % (Efron 1979).

    confusions: (N, K, K).
    """
    generator = np.random.default_rng(_SEED)
    count = len(confusions)
    drawn = []
    for _ in range(_DRAWS):
        weights = np.bincount(generator.integers(count, size=count), minlength=count)
        total = np.tensordot(weights, confusions, axes=1)
        if total.sum():
            drawn.append(score(total).miou)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return round(float(low), 5), round(float(high), 5)
