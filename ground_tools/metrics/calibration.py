"""Whether probabilities are what they say: calibration, and proper scores of them."""

from __future__ import annotations

import numpy as np

from ground_tools.labels.class_table import IGNORED

CALIBRATION_BINS = 15
# A probability below this counts as this in the negative log-likelihood: at most 27.6 nats a pixel.
LEAST_PROBABILITY = 1e-12


def calibration_counts(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Per bin of confidence, CALIBRATION_BINS equal ones of (0, 1]: pixels, right pixels, sum of the confidence.

    confidence: float32, the mean probability of the predicted class. right: bool, of the same shape. Returns
    (3, CALIBRATION_BINS) float64.
    """
    bins = np.clip(np.ceil(confidence.ravel() * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    weights = (None, right.ravel(), confidence.ravel())
    return np.stack([np.bincount(bins, weight, CALIBRATION_BINS).astype(np.float64) for weight in weights])


def expected_calibration_error(counts: np.ndarray) -> float:
    """ECE (Guo et al. 2017): mean over the pixels of |accuracy - confidence| of their bin. counts: (3, B)."""
    pixels, right, confidence = counts
    return float(np.abs(right - confidence).sum() / pixels.sum())


def labelled(probability: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and classes of the pixels that have a label, for scores of them.

    probability: (K, ...). truth: (...), integers. Returns both as they are where all pixels have one, else (K, M) and
    (M,).
    """
    known = truth != IGNORED
    return (probability, truth) if known.all() else (probability[:, known], truth[known])


def negative_log_likelihood(probability: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the pixels of - log p(true class), nats. probability: (K, H, W). truth: (H, W) integers."""
    true = np.take_along_axis(probability, truth[None].astype(np.int64), axis=0)
    return float(-np.log(np.maximum(true, LEAST_PROBABILITY), dtype=np.float64).mean())


def brier_score(probability: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the pixels of sum_k (p_k - [k is true])^2, 0..2 (Brier 1950). probability: (K, H, W)."""
    true = np.take_along_axis(probability, truth[None].astype(np.int64), axis=0)[0].astype(np.float64)
    squares = np.square(probability, dtype=np.float64).sum(axis=0)
    return float((squares - 2.0 * true + 1.0).mean())
