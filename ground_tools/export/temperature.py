"""Scores that are as sure as they should be: temperature scaling, put into the last layer.

A network that has seen its few training images often is surer than it is right. One factor on all scores mends that
(Guo et al. 2017) and changes no pixel's class in a single pass. It is fitted where it is used, on the mean of the
dropout passes' probabilities, by the negative log-likelihood. The graph and its cost stay as they are.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from scipy.optimize import minimize_scalar

from flight.inference.uncertainty import Accumulator
from ground_tools.export.figures import Calibration, TemperatureFigures
from ground_tools.export.graph import random_masks
from ground_tools.foundation.progress import progress
from ground_tools.labels.class_table import IGNORED
from ground_tools.metrics.calibration import calibration_counts, expected_calibration_error, negative_log_likelihood

# One number needs few pixels; neighbours tell the same.
_PIXEL_STRIDE = 4
# Of the factor's logarithm.
_BOUNDS = (-2.0, 2.0)


def sampled_scores(
    module: tf.Module, images: np.ndarray, shapes: list[tuple[int, int, int]], keep: list[float], passes: int
) -> np.ndarray:
    """Scores of a flight graph on every fourth pixel of every fourth row, with fresh dropout masks in each pass.

    images: (N, H, W, C) float32. Returns (passes, K, N, ceil(H / 4), ceil(W / 4)) float32.
    """
    generator = np.random.default_rng(0)

    def one(image: np.ndarray) -> np.ndarray:
        scores = module.forward(image[None], *random_masks(shapes, keep, generator).values())["scores"]
        return np.asarray(scores[0, ::_PIXEL_STRIDE, ::_PIXEL_STRIDE])

    shown = progress(images, unit="image", label="temperature")
    sampled = np.stack([np.stack([one(image) for _ in range(passes)]) for image in shown])
    return np.ascontiguousarray(sampled.transpose(1, 4, 0, 2, 3))


def sampled_truth(masks: np.ndarray) -> np.ndarray:
    """The classes of the pixels that `sampled_scores` takes; masks (N, H, W)."""
    return masks[:, ::_PIXEL_STRIDE, ::_PIXEL_STRIDE]


def labelled_scores(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and classes of the pixels that have a label.

    scores: (P, K, N, H, W). truth: (N, H, W). Returns both as they are where all pixels have one, else (P, K, M) and
    (M,).
    """
    known = truth != IGNORED
    return (scores, truth) if known.all() else (np.ascontiguousarray(scores[:, :, known]), truth[known])


def score_factor(scores: np.ndarray, truth: np.ndarray) -> float:
    """The factor on the scores, 1 / temperature, of least negative log-likelihood.

    scores: (P, K, ...) of P passes. truth: (...), classes 0..K-1.
    """
    found = minimize_scalar(
        lambda logarithm: negative_log_likelihood(_mean_probability(np.float32(np.exp(logarithm)) * scores), truth),
        bounds=_BOUNDS,
        method="bounded",
        options={"xatol": 1e-3},
    )
    return float(np.exp(found.x))


def report(scores: np.ndarray, truth: np.ndarray, factor: float, images: int) -> TemperatureFigures:
    """For the manifest: the factor, and what it changes on the images, so many, on which it was fitted."""
    before, after = (_figures(_mean_probability(np.float32(f) * scores), truth) for f in (1.0, factor))
    return TemperatureFigures(round(factor, 4), images, before, after)


def _mean_probability(scores: np.ndarray) -> np.ndarray:
    """(P, K, ...) float32 scores, overwritten -> (K, ...) mean of the passes' softmax, as flight computes it."""
    accumulator = Accumulator(scores.shape[1:])
    for scores_of_pass in scores:
        accumulator.add(scores_of_pass)
    return accumulator.result()[0]


def _figures(probability: np.ndarray, truth: np.ndarray) -> Calibration:
    counts = calibration_counts(probability.max(axis=0), probability.argmax(axis=0) == truth)
    return Calibration(
        nll=round(negative_log_likelihood(probability, truth), 4), ece=round(expected_calibration_error(counts), 4)
    )
