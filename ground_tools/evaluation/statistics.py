"""What is kept of each image: counts and sums from which every figure follows, never raw scores.

A job takes a bundle's networks and one image, and returns named arrays: one row per image for what is averaged over
images, sums for what is counted over all pixels. All modes of a bundle come from the same passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flight.bundle import Bundle
from flight.inference.network import Network
from flight.inference.uncertainty import mark_uncertain
from ground_tools.evaluation.choices import GAMMA_SWEEP, THRESHOLD_SWEEP
from ground_tools.evaluation.passes import begin_image, image_scores, mode_moments
from ground_tools.labels.classes import BOULDER_IDENTIFIERS
from ground_tools.metrics.boundaries import TOLERANCE, boundary_f_scores
from ground_tools.metrics.calibration import (
    CALIBRATION_BINS,
    LEAST_PROBABILITY,
    brier_score,
    calibration_counts,
    negative_log_likelihood,
)
from ground_tools.metrics.error_detection import BINS, LEAST_SCORE, SCORE_BINS, scaled_histogram, score_histogram
from ground_tools.metrics.iou import confusion_matrix

# Changed when the meaning of what is kept changes, so that nothing older is used.
VERSION = 3
# Visible pixels of a rock: least of each size; by the label rule of rendered sets, the first are no boulders.
ROCK_SIZES = (3, 5, 16, 50, 150)
# What all statistics depend on beside the bundle and the images.
SETTINGS: dict[str, Any] = {
    "version": VERSION,
    "rock_sizes": ROCK_SIZES,
    "thresholds": THRESHOLD_SWEEP,
    "gammas": GAMMA_SWEEP,
    "bins": BINS,
    "score_bins": [SCORE_BINS, LEAST_SCORE],
    "calibration_bins": CALIBRATION_BINS,
    "least_probability": LEAST_PROBABILITY,
    "boundary_tolerance": TOLERANCE,
}
# Counted over all pixels; everything else has a row per image.
SUMMED = (
    "calibration",
    "calibration_deterministic",
    "entropy_histogram",
    "mutual_histogram",
    "scaled_histogram",
)

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Image:
    """One image to evaluate. frame, truth: (H, W) uint8. identifiers: (H, W) uint16, or empty. seed: of the masks."""

    frame: np.ndarray
    truth: np.ndarray
    identifiers: np.ndarray
    seed: int


def evaluate_image(bundle: Bundle, networks: list[Network], image: Image, passes: int) -> Arrays:
    """Everything that tells how good each mode is on an image; M modes, K classes.

    Rows (M, ...): confusion and confusion_deterministic (K, K), confusion_enhanced (K, K + 1) at the bundle's
    threshold, boundary (K,), nll, nll_deterministic, brier, brier_deterministic, entropy and mutual (means, nats).
    Sums (M, ...): see SUMMED and `metrics`. For pictures, of the default mode: class_map and marked (H, W) uint8,
    entropy_map (H, W) uint8, 255 being ln K nats.
    """
    begin_image(bundle, networks, image.frame, image.seed, passes)
    scores = image_scores(networks, passes)
    without = np.stack([network.run_without_dropout() for network in networks])[None]
    rows: dict[str, list[Any]] = {}
    for mode in bundle.modes:
        values = _evaluate_mode(bundle, scores, without, mode, image.truth)
        for name, value in values.items():
            rows.setdefault(name, []).append(value)
    result = {name: np.stack(values) if name in SUMMED else np.stack(values)[None] for name, values in rows.items()}
    return {**result, **_maps(bundle, scores)}


def _maps(bundle: Bundle, scores: np.ndarray) -> Arrays:
    """The default mode's maps of an image, for pictures: see `evaluate_image`."""
    classes = len(bundle.classes)
    mean, entropy, _ = mode_moments(bundle, scores, bundle.modes[0], bundle.gamma)
    class_map = mean.argmax(axis=0).astype(np.uint8)
    marked = mark_uncertain(class_map, entropy, bundle.uncertainty_threshold, classes)
    shades = np.rint(np.clip(entropy / math.log(classes), 0.0, 1.0) * 255.0).astype(np.uint8)
    return {"class_map": class_map[None], "marked": marked[None], "entropy_map": shades[None]}


def _evaluate_mode(
    bundle: Bundle, scores: np.ndarray, without: np.ndarray, mode: str, truth: np.ndarray
) -> dict[str, np.ndarray]:
    classes = len(bundle.classes)
    mean, entropy, mutual = mode_moments(bundle, scores, mode, bundle.gamma)
    single, _, _ = mode_moments(bundle, without, mode, bundle.gamma)
    class_map, single_map = (array.argmax(axis=0).astype(np.uint8) for array in (mean, single))
    marked = mark_uncertain(class_map, entropy, bundle.uncertainty_threshold, classes)
    right = class_map == truth
    return {
        "confusion": confusion_matrix(truth, class_map, classes),
        "confusion_deterministic": confusion_matrix(truth, single_map, classes),
        "confusion_enhanced": confusion_matrix(truth, marked, classes, classes + 1),
        "boundary": boundary_f_scores(truth, class_map, classes),
        "nll": np.float64(negative_log_likelihood(mean, truth)),
        "nll_deterministic": np.float64(negative_log_likelihood(single, truth)),
        "brier": np.float64(brier_score(mean, truth)),
        "brier_deterministic": np.float64(brier_score(single, truth)),
        "entropy": entropy.mean(dtype=np.float64),
        "mutual": mutual.mean(dtype=np.float64),
        "calibration": calibration_counts(mean.max(axis=0), right),
        "calibration_deterministic": calibration_counts(single.max(axis=0), single_map == truth),
        "entropy_histogram": score_histogram(entropy, right),
        "mutual_histogram": score_histogram(mutual, right),
        "scaled_histogram": scaled_histogram(entropy, right),
    }


def sweep_image(bundle: Bundle, networks: list[Network], image: Image, passes: int) -> Arrays:
    """What the choices on validation sets look like: every threshold in every mode, and every gamma of the fusion.

    Rows: threshold_confusion (M, T, K, K + 1); with a fusion, gamma_confusion (G, K, K) and gamma_rocks (G, S, 2):
    pixels of rocks by size (see ROCK_SIZES) that the map calls boulders, and all of them.
    """
    begin_image(bundle, networks, image.frame, image.seed, passes)
    scores = image_scores(networks, passes)
    classes = len(bundle.classes)
    by_threshold = []
    for mode in bundle.modes:
        mean, entropy, _ = mode_moments(bundle, scores, mode, bundle.gamma)
        class_map = mean.argmax(axis=0).astype(np.uint8)
        maps = (mark_uncertain(class_map, entropy, threshold, classes) for threshold in THRESHOLD_SWEEP)
        by_threshold.append(np.stack([confusion_matrix(image.truth, marked, classes, classes + 1) for marked in maps]))
    result = {"threshold_confusion": np.stack(by_threshold)[None]}
    if bundle.fusion is not None:
        sizes = rock_sizes(image.identifiers)
        boulders = [definition.index for definition in bundle.classes if definition.name == "boulders"]
        confusions, rocks = [], []
        for gamma in GAMMA_SWEEP:
            mean, _, _ = mode_moments(bundle, scores, bundle.fusion.mode, gamma)
            class_map = mean.argmax(axis=0).astype(np.uint8)
            confusions.append(confusion_matrix(image.truth, class_map, classes))
            found = np.isin(class_map, boulders)
            rocks.append([[np.count_nonzero(found & (sizes == s)), np.count_nonzero(sizes == s)] for s in ROCK_SIZES])
        result["gamma_confusion"] = np.stack(confusions)[None]
        result["gamma_rocks"] = np.array(rocks, dtype=np.int64)[None]
    return result


def measure_entropy(bundle: Bundle, networks: list[Network], image: Image, passes: int) -> Arrays:
    """How uncertain each mode is about an image, whatever it shows: rows entropy and mutual (M,), means in nats."""
    begin_image(bundle, networks, image.frame, image.seed, passes)
    scores = image_scores(networks, passes)
    means = []
    for mode in bundle.modes:
        _, entropy, mutual = mode_moments(bundle, scores, mode, bundle.gamma)
        means.append((entropy.mean(dtype=np.float64), mutual.mean(dtype=np.float64)))
    entropies, mutuals = np.array(means).T
    return {"entropy": entropies[None], "mutual": mutuals[None]}


JOBS: dict[str, Callable[[Bundle, list[Network], Image, int], Arrays]] = {
    job.__name__: job for job in (evaluate_image, sweep_image, measure_entropy)
}


def rock_sizes(identifiers: np.ndarray) -> np.ndarray:
    """For each pixel of a rock, the least visible pixels of its size (see ROCK_SIZES); 0 elsewhere.

    A truth of its own: it counts every rock that has an identifier, below the label rule or not, and what the
    terminator hides. identifiers: (H, W) uint16. Returns the same shape, int64.
    """
    _, which, visible = np.unique(identifiers, return_inverse=True, return_counts=True)
    pixels = visible[which].reshape(identifiers.shape)
    sizes = np.zeros(identifiers.shape, dtype=np.int64)
    for least in ROCK_SIZES:
        sizes[pixels >= least] = least
    sizes[identifiers < BOULDER_IDENTIFIERS[0]] = 0
    return sizes


def rock_range(least: str) -> str:
    """A size of rocks for people: "5" -> "5 to 15"."""
    larger = [size for size in ROCK_SIZES if size > int(least)]
    return f"{least} to {larger[0] - 1}" if larger else f"{least} and more"


def gather(parts: Iterable[Arrays]) -> Arrays:
    """The statistics of several images or parts as one: rows put together, sums added, one part in memory at a time."""
    rows: dict[str, list[np.ndarray]] = {}
    sums: Arrays = {}
    for part in parts:
        for name, values in part.items():
            if name in SUMMED:
                sums[name] = sums[name] + values if name in sums else values
            else:
                rows.setdefault(name, []).append(values)
    return {**{name: np.concatenate(values) for name, values in rows.items()}, **sums}
