"""What is kept of each image: counts and sums from which every figure follows, never raw scores.

A job takes a bundle's networks and one image, and returns statistics: one row per image for what is averaged over
images, sums for what is counted over all pixels. All modes of a bundle come from the same passes.

Of N images, M modes, K classes: arrays begin with N, but for sums; see `gather`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

import numpy as np

from flight.bundle import Bundle
from flight.inference.enhanced_map import enhance_class_map
from flight.inference.hazard import find_dark
from flight.inference.uncertainty import mark_uncertain
from flight.settings import default_settings
from ground_tools.evaluation.choices import GAMMA_SWEEP, THRESHOLD_SWEEP
from ground_tools.evaluation.claims import CLAIMS, count_claims
from ground_tools.evaluation.hazards import KINDS, LEAST_RADIUS_PX, MOST_CIRCLES, OBJECT_SIZES, judge_hazards
from ground_tools.evaluation.passes import ImageScores, Networks, image_scores, mode_moments, scores_without_dropout
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
from ground_tools.metrics.risk import THRESHOLDS

# Changed when the meaning of what is kept changes, so that nothing older is used.
VERSION = 5
# Visible pixels of a rock: least of each size; by the label rule of rendered sets, the first are no boulders.
ROCK_SIZES = (3, 5, 16, 50, 150)
# What all statistics depend on beside the bundle and the images.
SETTINGS: dict[str, Any] = {
    "version": VERSION,
    "rock_sizes": ROCK_SIZES,
    "hazards": [KINDS, OBJECT_SIZES, MOST_CIRCLES, LEAST_RADIUS_PX],
    "thresholds": THRESHOLD_SWEEP,
    "gammas": GAMMA_SWEEP,
    "bins": BINS,
    "score_bins": [SCORE_BINS, LEAST_SCORE],
    "calibration_bins": CALIBRATION_BINS,
    "least_probability": LEAST_PROBABILITY,
    "boundary_tolerance": TOLERANCE,
    "claims": [CLAIMS, THRESHOLDS],
}


# Of a field that is counted over all pixels; every other one has a row per image.
_SUMMED = {"summed": True}


@dataclass(frozen=True)
class ImageStatistics:
    """Everything that tells how good each mode is on images: float64, but for what says something else.

    confusion, confusion_deterministic: (N, M, K, K) int64 pixels, a row per true class, of the passes and of one pass
    without dropout. confusion_enhanced: (N, M, K, K + 1), with a column of those marked by the relative rule.
    boundary: (N, M, K) F-scores, NaN for a class that is not there. nll, nll_deterministic, brier, brier_deterministic,
    entropy, mutual: (N, M) means over the pixels, nats but for the Brier score. objects, circles, ground: of the
    default mode, see evaluation.hazards, an array a row. claims: (N, M, 5, T + 1) int32, dark_ground: (N, M, 2) int64
    pixels, see evaluation.claims.

    Sums: calibration, calibration_deterministic: (M, 3, bins), see metrics.calibration. entropy_histogram,
    mutual_histogram, scaled_histogram: (M, 2, bins) int64, see metrics.error_detection. hazard_calibration: (3, bins).

    For pictures, of the default mode: class_map, marked: (N, H, W) uint8. entropy_map: (N, H, W) uint8, 255 being ln K.
    """

    confusion: np.ndarray
    confusion_deterministic: np.ndarray
    confusion_enhanced: np.ndarray
    boundary: np.ndarray
    nll: np.ndarray
    nll_deterministic: np.ndarray
    brier: np.ndarray
    brier_deterministic: np.ndarray
    entropy: np.ndarray
    mutual: np.ndarray
    claims: np.ndarray
    dark_ground: np.ndarray
    objects: np.ndarray
    circles: np.ndarray
    ground: np.ndarray
    class_map: np.ndarray
    marked: np.ndarray
    entropy_map: np.ndarray
    calibration: np.ndarray = field(metadata=_SUMMED)
    calibration_deterministic: np.ndarray = field(metadata=_SUMMED)
    entropy_histogram: np.ndarray = field(metadata=_SUMMED)
    mutual_histogram: np.ndarray = field(metadata=_SUMMED)
    scaled_histogram: np.ndarray = field(metadata=_SUMMED)
    hazard_calibration: np.ndarray = field(metadata=_SUMMED)


@dataclass(frozen=True)
class SweepStatistics:
    """What the choices on validation sets look like: T thresholds in every mode, G gammas of the fusion, if any.

    threshold_confusion: (N, M, T, K, K + 1) pixels. gamma_confusion: (N, G, K, K) pixels. gamma_rocks: (N, G, S, 2)
    pixels of rocks by size (see ROCK_SIZES) that the map calls boulders, and all of them.
    """

    threshold_confusion: np.ndarray
    gamma_confusion: np.ndarray | None = None
    gamma_rocks: np.ndarray | None = None


@dataclass(frozen=True)
class EntropyStatistics:
    """How uncertain each mode is about images, whatever they show. entropy, mutual: (N, M) means, nats."""

    entropy: np.ndarray
    mutual: np.ndarray

    def rows(self, chosen: slice) -> EntropyStatistics:
        """Those of some of the images."""
        return EntropyStatistics(self.entropy[chosen], self.mutual[chosen])


@dataclass(frozen=True)
class RiskStatistics:
    """What thresholds with a promise are chosen from. claims, dark_ground: as of ImageStatistics."""

    claims: np.ndarray
    dark_ground: np.ndarray


Statistics = ImageStatistics | SweepStatistics | EntropyStatistics | RiskStatistics
S = TypeVar("S", ImageStatistics, SweepStatistics, EntropyStatistics, RiskStatistics)


@dataclass(frozen=True)
class Image:
    """One image to evaluate. frame, truth: (H, W) uint8. identifiers: (H, W) uint16, or empty. seed: of the masks."""

    frame: np.ndarray
    truth: np.ndarray
    identifiers: np.ndarray
    seed: int


def evaluate_image(bundle: Bundle, networks: Networks, image: Image, passes: int) -> ImageStatistics:
    """Everything that tells how good each mode is on an image."""
    scores = image_scores(bundle, networks, image.frame, image.seed, passes)
    without = scores_without_dropout(networks)
    of_modes = [_evaluate_mode(bundle, scores, without, mode, image) for mode in bundle.modes]
    arrays = {name: np.stack([values[name] for values in of_modes]) for name in of_modes[0]}
    summed = summed_fields(ImageStatistics)
    rows = {name: values if name in summed else values[None] for name, values in arrays.items()}
    moments = mode_moments(bundle, scores, bundle.modes[0], bundle.gamma)
    judged = judge_hazards(bundle, moments, image.frame, image.truth, image.identifiers)
    judged = {name: values if name in summed else values[None] for name, values in judged.items()}
    return ImageStatistics(**rows, **judged, **_maps(bundle, *moments[:2], image.frame))


def _maps(bundle: Bundle, mean: np.ndarray, entropy: np.ndarray, frame: np.ndarray) -> dict[str, np.ndarray]:
    """The default mode's maps of an image, for pictures: the last fields of the rows of ImageStatistics."""
    classes = len(bundle.classes)
    class_map = mean.argmax(axis=0).astype(np.uint8)
    dark = find_dark(frame / np.float32(255.0))
    marked = enhance_class_map(bundle, default_settings(bundle), class_map, entropy, dark)
    shades = np.rint(np.clip(entropy / math.log(classes), 0.0, 1.0) * 255.0).astype(np.uint8)
    return {"class_map": class_map[None], "marked": marked[None], "entropy_map": shades[None]}


def _evaluate_mode(
    bundle: Bundle, scores: ImageScores, without: ImageScores, mode: str, image: Image
) -> dict[str, np.ndarray]:
    """The fields of ImageStatistics of one image in one mode, without the axes of images and modes."""
    classes, truth = len(bundle.classes), image.truth
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
        **count_claims(bundle, class_map, entropy, image.frame, truth),
        "calibration": calibration_counts(mean.max(axis=0), right),
        "calibration_deterministic": calibration_counts(single.max(axis=0), single_map == truth),
        "entropy_histogram": score_histogram(entropy, right),
        "mutual_histogram": score_histogram(mutual, right),
        "scaled_histogram": scaled_histogram(entropy, right),
    }


def sweep_image(bundle: Bundle, networks: Networks, image: Image, passes: int) -> SweepStatistics:
    """What the choices on validation sets look like on an image."""
    scores = image_scores(bundle, networks, image.frame, image.seed, passes)
    classes = len(bundle.classes)
    by_threshold = []
    for mode in bundle.modes:
        mean, entropy, _ = mode_moments(bundle, scores, mode, bundle.gamma)
        class_map = mean.argmax(axis=0).astype(np.uint8)
        maps = (mark_uncertain(class_map, entropy, threshold, classes) for threshold in THRESHOLD_SWEEP)
        by_threshold.append(np.stack([confusion_matrix(image.truth, marked, classes, classes + 1) for marked in maps]))
    thresholds = np.stack(by_threshold)[None]
    if bundle.fusion is None:
        return SweepStatistics(thresholds)
    sizes = rock_sizes(image.identifiers)
    boulders = [definition.index for definition in bundle.classes if definition.name == "boulders"]
    confusions, rocks = [], []
    for gamma in GAMMA_SWEEP:
        mean, _, _ = mode_moments(bundle, scores, bundle.fusion.mode, gamma)
        class_map = mean.argmax(axis=0).astype(np.uint8)
        confusions.append(confusion_matrix(image.truth, class_map, classes))
        found = np.isin(class_map, boulders)
        rocks.append([[np.count_nonzero(found & (sizes == s)), np.count_nonzero(sizes == s)] for s in ROCK_SIZES])
    return SweepStatistics(thresholds, np.stack(confusions)[None], np.array(rocks, dtype=np.int64)[None])


def measure_entropy(bundle: Bundle, networks: Networks, image: Image, passes: int) -> EntropyStatistics:
    """How uncertain each mode is about an image, whatever it shows."""
    scores = image_scores(bundle, networks, image.frame, image.seed, passes)
    means = []
    for mode in bundle.modes:
        _, entropy, mutual = mode_moments(bundle, scores, mode, bundle.gamma)
        means.append((entropy.mean(dtype=np.float64), mutual.mean(dtype=np.float64)))
    entropies, mutuals = np.array(means).T
    return EntropyStatistics(entropies[None], mutuals[None])


def measure_risk(bundle: Bundle, networks: Networks, image: Image, passes: int) -> RiskStatistics:
    """What thresholds with a promise are chosen from, of an image."""
    scores = image_scores(bundle, networks, image.frame, image.seed, passes)
    of_modes = []
    for mode in bundle.modes:
        mean, entropy, _ = mode_moments(bundle, scores, mode, bundle.gamma)
        class_map = mean.argmax(axis=0).astype(np.uint8)
        of_modes.append(count_claims(bundle, class_map, entropy, image.frame, image.truth))
    return RiskStatistics(
        *(np.stack([counts[name] for counts in of_modes])[None] for name in ("claims", "dark_ground"))
    )


@dataclass(frozen=True)
class Job(Generic[S]):
    """What is computed of each image, and as what it is kept."""

    compute: Callable[[Bundle, Networks, Image, int], S]
    kind: type[S]

    @property
    def name(self) -> str:
        return self.compute.__name__


EVALUATION = Job(evaluate_image, ImageStatistics)
SWEEP = Job(sweep_image, SweepStatistics)
ENTROPY = Job(measure_entropy, EntropyStatistics)
RISK = Job(measure_risk, RiskStatistics)


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


def summed_fields(kind: type[Statistics]) -> set[str]:
    """Names of the fields that are counted over all pixels."""
    return {part.name for part in fields(kind) if part.metadata.get("summed")}


def arrays_of(statistics: Statistics) -> dict[str, np.ndarray]:
    """The fields that are there, by name."""
    values = ((part.name, getattr(statistics, part.name)) for part in fields(statistics))
    return {name: value for name, value in values if value is not None}


def gather(kind: type[S], parts: Iterable[S]) -> S:
    """The statistics of several images or parts as one: rows put together, sums added, one part in memory at a time."""
    summed = summed_fields(kind)
    rows: dict[str, list[np.ndarray]] = {}
    sums: dict[str, np.ndarray] = {}
    for part in parts:
        for name, values in arrays_of(part).items():
            if name in summed:
                sums[name] = sums[name] + values if name in sums else values
            else:
                rows.setdefault(name, []).append(values)
    return kind(**{name: np.concatenate(values) for name, values in rows.items()}, **sums)
