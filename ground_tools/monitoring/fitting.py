"""Fits the input monitor of a bundle: figures of many frames, a small network, limits from validation images."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.bundle import Bundle, load_bundle, write_sums
from flight.inference.centering import center
from flight.inference.frame_features import FRAME_FEATURES, describe_frame
from flight.inference.input_monitor import InputMonitor, read_monitor
from ground_tools.evaluation.worker_pool import call_on_all_cores
from ground_tools.foundation.files import write_whole
from ground_tools.monitoring.nonsense import FITTING_SEED, JUDGING_SEED, KINDS, make_frame
from ground_tools.monitoring.spoiling import can_be_spoiled
from ground_tools.monitoring.views import make_views, read_split

MONITOR_FILE = "input_monitor.json"
# Shares of the validation frames that each of the two judgements may refuse.
REFUSED_BY_NETWORK = 0.002
REFUSED_BY_DISTANCE = 0.00025
# Networks fitted from different starts, whose log-odds are averaged: they err on different frames.
_NETWORKS = 4
_HIDDEN_UNITS = 32
_EPOCHS = 60
_BATCH = 256
_WEIGHT_DECAY = 1e-4
# Added to the covariance of the scaled figures: some hardly vary over bodies.
_RIDGE = 0.02
# Copies of a set's images, so that a small set of real images weighs as much as a large one of renderings.
_LEAST_VIEWS = 3000

Frame = tuple[NDArray[Any], int, bool]


@dataclass(frozen=True)
class MonitorFigures:
    """What a monitor was fitted on, as plain values.

    Attributes:
        bodies: number of frames of bodies.
        nonsense: number of frames without.
        validation: number of frames of bodies that the limits were chosen on.
        refused: share of these that the monitor refuses.
        sets: names of the sets.
    """

    bodies: int
    nonsense: int
    validation: int
    refused: float
    sets: list[str]


def figures_of_frame(frame: Frame, shape: tuple[int, int, int]) -> list[float]:
    """The figures of a frame. frame: pixels, bit depth, whether the body is in its middle; shape: of the input."""
    pixels, bit_depth, centered = frame
    image = center(pixels, bit_depth, *shape, not centered)
    return describe_frame(image.grey, image.search, image.view, image.seen)


@dataclass(frozen=True)
class _Figures:
    """figures_of_frame of one shape, as what a process can be sent."""

    shape: tuple[int, int, int]

    def __call__(self, frame: Frame) -> list[float]:
        return figures_of_frame(frame, self.shape)


@dataclass(frozen=True)
class _NonsenseFigures:
    """Figures of a suite's frame, which is made where it is looked at."""

    shape: tuple[int, int, int]
    good: list[NDArray[np.uint8]]
    seed: int

    def __call__(self, which: tuple[str, int]) -> list[float]:
        frame = make_frame(*which, self.good, self.seed)
        return figures_of_frame((frame.pixels, frame.bit_depth, False), self.shape)


def figures_of_nonsense(
    good: list[NDArray[np.uint8]], count: int, seed: int, shape: tuple[int, int, int]
) -> NDArray[np.float64]:
    """(N, F) figures of a suite with `count` frames of each kind."""
    which = [(kind, number) for kind in KINDS for number in range(count)]
    rows = call_on_all_cores(_NonsenseFigures(shape, good, seed), which, label="nonsense", total=len(which))
    return np.array(rows, dtype=np.float64)


def fit_monitor(bundle: Bundle, sets: list[Path], images: int, nonsense: int) -> tuple[InputMonitor, MonitorFigures]:
    """Fit a monitor on the training splits of sets, and choose its limits on their validation splits.

    Args:
        bundle: whose input the frames are centered for.
        sets: of images of bodies.
        images: of each set and split, at most.
        nonsense: frames of each kind without a body.
    """
    shape = (bundle.height, bundle.width, bundle.channels)
    bodies = [_figures_of_set(path, "train", images, shape) for path in sets]
    validation = [_figures_of_set(path, "validation", images, shape) for path in sets]
    views = (view for path in sets for view, _ in make_views(read_split(path, "train"), 150, 1, FITTING_SEED))
    good = [view for view in views if can_be_spoiled(view)]
    without = figures_of_nonsense(good, nonsense, FITTING_SEED, shape)
    fitted = fit_figures(bodies, validation, without)
    refused = float(np.mean([refused_share(fitted, figures) for figures in validation]))
    count, held = sum(map(len, bodies)), sum(map(len, validation))
    return fitted, MonitorFigures(count, len(without), held, refused, [path.name for path in sets])


def _figures_of_set(path: Path, split: str, images: int, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """(N, F) figures of the frames that are made of a set's split."""
    part = read_split(path, split)
    found = min(images, len(part.loaded))
    copies = max(1, -(-(_LEAST_VIEWS if split == "train" else _LEAST_VIEWS // 4) // found) - 1)
    seed = FITTING_SEED if split == "train" else JUDGING_SEED
    views = ((pixels, 8, centered) for pixels, centered in make_views(part, images, copies, seed))
    label, total = f"{path.name} {split}", found * (1 + copies)
    return np.array(call_on_all_cores(_Figures(shape), views, label=label, total=total), dtype=np.float64)


def refused_share(monitor: InputMonitor, figures: NDArray[np.float64]) -> float:
    """Share of frames that a monitor refuses."""
    doubted = monitor.log_odds(figures) < monitor.least_log_odds
    return float((doubted | (monitor.distance(figures) > monitor.largest_distance)).mean())


def fit_figures(
    bodies: list[NDArray[np.float64]], validation: list[NDArray[np.float64]], without: NDArray[np.float64]
) -> InputMonitor:
    """Fit a monitor on figures.

    Args:
        bodies: (N, F) for each set, of its training frames.
        validation: (N, F) for each set, of its validation frames: the limits are chosen on them, sets weighing alike.
        without: (N, F) of frames without a body.
    """
    known = np.concatenate(bodies)
    mean, deviation = known.mean(axis=0), np.maximum(known.std(axis=0), 1e-3)
    scaled = (known - mean) / deviation
    precision = np.linalg.inv(np.cov(scaled.T) + _RIDGE * np.eye(len(mean)))
    hidden, output = _train_networks(scaled, (without - mean) / deviation)
    open_monitor = InputMonitor(mean, deviation, hidden, output, precision, -1000.0, 1e6)
    log_odds = np.mean([np.quantile(open_monitor.log_odds(figures), REFUSED_BY_NETWORK) for figures in validation])
    distance = np.mean(
        [np.quantile(open_monitor.distance(figures), 1.0 - REFUSED_BY_DISTANCE) for figures in validation]
    )
    return InputMonitor(mean, deviation, hidden, output, precision, float(log_odds), float(distance))


def _train_networks(
    bodies: NDArray[np.float64], without: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of the hidden units and of the log-odds, each with its biases as the last row.

    The mean of several networks' log-odds is that of one network with all their units.
    """
    figures = np.concatenate([bodies, without]).astype(np.float32)
    truth = np.concatenate([np.ones(len(bodies)), np.zeros(len(without))]).astype(np.float32)
    # Bodies and the rest weigh alike.
    weight = np.where(truth > 0, 0.5 / len(bodies), 0.5 / len(without)) * len(truth)
    trained = [_train_network(figures, truth, weight, seed) for seed in range(1, _NETWORKS + 1)]
    hidden = np.hstack([hidden for hidden, _, _ in trained])
    output = np.concatenate([weights for _, weights, _ in trained]) / _NETWORKS
    return hidden, np.append(output, np.mean([offset for _, _, offset in trained]))


def _train_network(
    figures: NDArray[np.float32], truth: NDArray[np.float32], weight: NDArray[Any], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """(F + 1, U) weights of the hidden units, the last row their biases; (U,) weights of the log-odds; their bias."""
    import keras

    keras.utils.set_random_seed(seed)
    decay = keras.regularizers.L2(_WEIGHT_DECAY)
    hidden = keras.layers.Dense(_HIDDEN_UNITS, "tanh", kernel_regularizer=decay)
    output = keras.layers.Dense(1, kernel_regularizer=decay)
    network = keras.Sequential([keras.Input((figures.shape[1],)), hidden, output])
    rate = keras.optimizers.schedules.CosineDecay(5e-3, _EPOCHS * -(-len(figures) // _BATCH))
    network.compile(keras.optimizers.Adam(rate), keras.losses.BinaryCrossentropy(from_logits=True))
    network.fit(figures, truth, batch_size=_BATCH, epochs=_EPOCHS, sample_weight=weight, verbose=0)
    (kernel, bias), (weights, offset) = hidden.get_weights(), output.get_weights()
    return np.vstack([kernel, bias]).astype(np.float64), weights[:, 0].astype(np.float64), float(offset[0])


def monitor_json(monitor: InputMonitor, figures: MonitorFigures) -> bytes:
    """The file of a monitor, as a bundle holds it: numbers to seven digits, more than they are worth."""
    content = {
        "schema": 1,
        "figures": list(FRAME_FEATURES),
        "fitted_on": vars(figures),
        "least_log_odds": round(monitor.least_log_odds, 6),
        "largest_distance": round(monitor.largest_distance, 6),
        **{name: _rounded(getattr(monitor, name)) for name in ("mean", "deviation", "hidden", "output", "precision")},
    }
    return (json.dumps(content) + "\n").encode("ascii")


def _rounded(values: NDArray[np.float64]) -> Any:
    return [_rounded(row) for row in values] if values.ndim > 1 else [float(f"{value:.7g}") for value in values]


def add_monitor(folder: Path, content: bytes) -> Bundle:
    """Put a monitor into a bundle: its file, its entry in the manifest, the sums. Returns the bundle, checked."""
    manifest_path = folder / "manifest.json"
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    manifest["input_monitor"] = {"file": MONITOR_FILE, "sha256": hashlib.sha256(content).hexdigest()}
    write_whole(folder / MONITOR_FILE, content)
    write_whole(manifest_path, (json.dumps(manifest, indent=2) + "\n").encode("utf-8"))
    write_sums(folder)
    bundle = load_bundle(folder)
    read_monitor(bundle)
    return bundle
