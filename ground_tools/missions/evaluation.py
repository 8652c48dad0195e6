"""Evaluation of networks of other missions: bundles as they fly, and trained networks before export."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from flight.bundle import Bundle, load_bundle
from flight.inference.engine import Engine
from flight.settings import default_settings
from ground_tools.datasets.noise import network_inputs
from ground_tools.datasets.resolution import coarsen
from ground_tools.datasets.store import LoadedSet, load, read_description
from ground_tools.evaluation.passes import camera_frames
from ground_tools.foundation.json_records import read_json
from ground_tools.foundation.progress import progress
from ground_tools.foundation.sampling import even_share
from ground_tools.labels.class_table import IGNORED, SMALL_BODY_CLASSES, ClassTable, table_of
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
from ground_tools.networks.tiles import Tiling, blend_tiles, softmax
from ground_tools.training.outcome import SEGMENTER_WEIGHTS

_DRAWS, _SEED = 1000, 1


@dataclass(frozen=True)
class Evaluated:
    """A network that gives maps.

    Attributes:
        name: in results.
        mission: that it belongs to.
        kind: see MissionFigures.
        classes: its names.
        shape: height, width and channels of its images, or of its maps where a bundle states tiles.
        predict: (H, W) or (H, W, 3) uint8 and a seed to probabilities (K, H, W) float32.
        tiling: how larger images are cut; None: they are refused.
    """

    name: str
    mission: str
    kind: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    predict: Callable[[np.ndarray, int], np.ndarray]
    tiling: Tiling | None = None


@dataclass(frozen=True)
class SetResult:
    """What came of a network on a set. maps: class maps (N, H, W) uint8 of the loaded images."""

    set_name: str
    figures: MissionFigures
    loaded: LoadedSet
    table: ClassTable
    maps: np.ndarray


def is_of_a_mission(folder: Path) -> bool:
    """Whether a bundle has the classes of another mission than small bodies, or a folder holds a training of any."""
    if not (folder / "manifest.json").is_file():
        return (folder / SEGMENTER_WEIGHTS).is_file()
    try:
        mission_of(_classes_in(folder))
    except ValueError:
        return False
    return True


def _mission_in_results(classes: tuple[str, ...]) -> str:
    """Where results of a network are told; of small bodies those are that are looked at beside their own results."""
    return "multitask" if classes == SMALL_BODY_CLASSES.names else mission_of(classes)


def _classes_in(folder: Path) -> list[str]:
    manifest = folder / "manifest.json"
    if manifest.is_file():
        return [entry["name"] for entry in read_json(manifest).get("classes", ())]
    return list(read_json(folder / "training.json").get("classes", ()))


@contextmanager
def open_evaluated(folder: Path, passes: int, threads: int = 2, overlap: int | None = None) -> Iterator[Evaluated]:
    """A network to evaluate.

    Args:
        folder: a bundle, or a finished training.
        passes: of dropout, of a bundle without a closed form.
        threads: of a bundle's engine.
        overlap: that tiles of larger images have, pixels; None: as bundle or recipe state it, and where they state
            none, larger images are refused.

    Raises:
        ValueError: the folder is neither, or of no mission.
    """
    classes = tuple(_classes_in(folder))
    mission = _mission_in_results(classes)
    if not (folder / "manifest.json").is_file():
        yield _open_training(folder, mission, classes, overlap)
        return
    bundle = load_bundle(folder)
    settings = replace(default_settings(bundle), passes=passes)
    tiling = _tiling_of(bundle, overlap)
    engines: dict[tuple[int, int], Engine] = {}

    def predict(frame: np.ndarray, seed: int) -> np.ndarray:
        height, width = frame.shape[:2]
        if (height, width) not in engines:
            larger = bundle
            if tiling is not None:
                larger = replace(bundle, height=height, width=width, tiles=tiling.lay(height, width))
            engines[height, width] = Engine(larger, threads)
        maps = engines[height, width].segment(frame, bit_depth=8, centered=True, seed=seed, settings=settings)
        return maps.mean_probability

    shape = (bundle.height, bundle.width, bundle.channels)
    try:
        yield Evaluated(bundle.name, mission, "int8", classes, shape, predict, tiling)
    finally:
        for engine in engines.values():
            engine.close()


def _tiling_of(bundle: Bundle, overlap: int | None) -> Tiling | None:
    """How a bundle's networks answer for larger images: by the tiles that it states, or with an overlap."""
    tiles = bundle.tiles
    if tiles is not None:
        return Tiling(tiles.height, tiles.width, overlap or tiles.overlap, tiles.margin, tiles.align)
    return None if overlap is None else Tiling(bundle.height, bundle.width, overlap)


def _open_training(folder: Path, mission: str, classes: tuple[str, ...], overlap: int | None) -> Evaluated:
    from ground_tools.export.segmenter_graph import read_segmenter, read_tiling

    record = read_json(folder / "training.json")
    segmenter = read_segmenter(record, folder)
    height, width, channels = record["input"]
    ones = [np.ones((1, *shape), dtype=np.float32) for shape in segmenter.shapes]
    tiling = read_tiling(record)
    if overlap is not None:
        tiling = Tiling(height, width, overlap, align=segmenter.design.shrinks)

    def predict_tile(tile: np.ndarray) -> np.ndarray:
        return softmax(np.asarray(segmenter.network.predict_on_batch([tile, *ones])))

    def predict(frame: np.ndarray, seed: int) -> np.ndarray:
        layout = None if tiling is None else tiling.lay(*frame.shape[:2])
        return blend_tiles(network_inputs(frame[None], None)[0], layout, predict_tile)

    return Evaluated(folder.resolve().name, mission, "float32", classes, (height, width, channels), predict, tiling)


def evaluate_on(evaluated: Evaluated, dataset: Path, split: str, count: int, coarser: int = 1) -> SetResult:
    """Figures of a network on a set.

    Args:
        evaluated: the network.
        dataset: a set of the network's classes and image size, or of larger images where it has tiles.
        split: of the set.
        count: images, an even share of each domain; 0 for all.
        coarser: factor by which the images' resolution is lowered before the network sees them; masks stay.

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
    _check_size(evaluated, dataset, loaded)
    loaded = loaded.chosen(even_share(loaded.bodies, count))
    frames = np.stack([coarsen(frame, coarser) for frame in camera_frames(loaded.images, description["noise"])])
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
    name = description["name"] if coarser == 1 else f"{description['name']}_coarser_{coarser}"
    return SetResult(name, figures, replace(loaded, images=frames), table, np.stack(maps))


def _check_size(evaluated: Evaluated, dataset: Path, loaded: LoadedSet) -> None:
    """Raise ValueError where a network does not answer for images of a set's size."""
    size, taken = loaded.masks.shape[1:], evaluated.shape[:2]
    if size == taken:
        return
    expected, got = " x ".join(map(str, taken)), " x ".join(map(str, size))
    if evaluated.tiling is None:
        more = "; --overlap answers for larger ones in tiles" if min(np.subtract(size, taken)) >= 0 else ""
        raise ValueError(f"dataset {dataset}: images: expected {expected} px, got {got}{more}")
    try:
        evaluated.tiling.lay(*size)
    except ValueError as error:
        raise ValueError(
            f"dataset {dataset}: images: expected {expected} px or tiles of them, got {got}: {error}"
        ) from error


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
