"""Scores that mean what they say: one factor and an offset per class, fitted on validation, put into the last layer.

A network trained with class weights and a soft Jaccard index is too sure or too timid, and leans to the classes of
large weight. Temperature scaling with bias correction (Guo et al. 2017; Alexandari et al. 2020) mends both by six
numbers: scores' = factor * scores + offsets. They are fitted where they will be used, on the mean of the dropout
passes' probabilities, by the negative log-likelihood. The graph and its cost stay as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from scipy.optimize import minimize

from ground_tools.evaluation.reliability import LEAST_PROBABILITY, calibration_counts, expected_calibration_error
from ground_tools.export.graph import ScoreCalibration, random_masks

# Six numbers need few pixels; neighbours tell the same.
_PIXEL_STRIDE = 4


def sampled_scores(
    module: tf.Module, images: np.ndarray, shapes: list[tuple[int, int, int]], keep: list[float], passes: int
) -> np.ndarray:
    """Scores of a flight graph on every fourth pixel of every fourth row, with fresh dropout masks in each pass.

    images: (N, H, W, C) float32. Returns (N, passes, ceil(H / 4), ceil(W / 4), K) float32.
    """
    generator = np.random.default_rng(0)

    def one(image: np.ndarray) -> np.ndarray:
        scores = module.forward(image[None], *random_masks(shapes, keep, generator).values())["scores"]
        return np.asarray(scores[0, ::_PIXEL_STRIDE, ::_PIXEL_STRIDE])

    return np.stack([np.stack([one(image) for _ in range(passes)]) for image in images])


def sampled_truth(masks: np.ndarray) -> np.ndarray:
    """The classes of the pixels that `sampled_scores` takes; masks (N, H, W)."""
    return masks[:, ::_PIXEL_STRIDE, ::_PIXEL_STRIDE]


def fitted(scores: np.ndarray, truth: np.ndarray) -> ScoreCalibration:
    """The calibration of least negative log-likelihood. scores: (N, P, h, w, K). truth: (N, h, w), classes 0..K-1."""
    classes = scores.shape[-1]
    values, labels = tf.constant(scores), tf.one_hot(truth, classes)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        variables = tf.constant(parameters, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(variables)
            mean = tf.reduce_mean(tf.nn.softmax(tf.exp(variables[0]) * values + variables[1:]), axis=1)
            likelihood = tf.reduce_sum(mean * labels, axis=-1)
            total = -tf.reduce_mean(tf.math.log(likelihood + LEAST_PROBABILITY))
        return float(total), tape.gradient(total, variables).numpy().astype(np.float64)

    found = minimize(loss, np.zeros(1 + classes), jac=True, method="L-BFGS-B")
    # The offsets count up to a constant only.
    offsets = found.x[1:] - found.x[1:].mean()
    return ScoreCalibration(float(np.exp(found.x[0])), offsets.astype(np.float32))


def report(scores: np.ndarray, truth: np.ndarray, calibration: ScoreCalibration) -> dict[str, Any]:
    """For the manifest: the factor and the offsets, and what they change on what they were fitted on."""
    return {
        "factor": round(calibration.factor, 4),
        "offsets": [round(float(offset), 4) for offset in calibration.offsets],
        "images": len(truth),
        "before": _figures(scores, truth),
        "after": _figures(np.float32(calibration.factor) * scores + calibration.offsets, truth),
    }


def _figures(scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    mean = tf.reduce_mean(tf.nn.softmax(scores), axis=1).numpy()
    likelihood = np.take_along_axis(mean, truth[..., None].astype(np.int64), axis=-1)
    counts = calibration_counts(mean.max(axis=-1), mean.argmax(axis=-1) == truth)
    return {
        "nll": round(float(-np.log(likelihood + LEAST_PROBABILITY).mean()), 4),
        "ece": round(float(expected_calibration_error(counts)), 4),
    }
