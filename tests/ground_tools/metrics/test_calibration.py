"""Calibration error, negative log-likelihood and Brier score against plain counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ground_tools.metrics.calibration import (
    CALIBRATION_BINS,
    LEAST_PROBABILITY,
    brier_score,
    calibration_counts,
    expected_calibration_error,
    negative_log_likelihood,
)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 300))
def test_calibration_error_nll_and_brier(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    probability = generator.dirichlet(np.ones(4), count).T.astype(np.float32).reshape(4, count, 1)
    truth = generator.integers(0, 4, (count, 1)).astype(np.uint8)
    confidence, right = probability.max(axis=0), probability.argmax(axis=0) == truth
    table = calibration_counts(confidence, right)
    expected = 0.0
    for index in range(CALIBRATION_BINS):
        low, high = index / CALIBRATION_BINS, (index + 1) / CALIBRATION_BINS
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(table) == pytest.approx(expected, abs=1e-6)
    one_hot = np.eye(4)[truth[:, 0]].T[..., None]
    assert brier_score(probability, truth) == pytest.approx(((probability - one_hot) ** 2).sum(0).mean())
    chosen = probability[truth[:, 0], np.arange(count), 0]
    assert negative_log_likelihood(probability, truth) == pytest.approx(-np.log(chosen).mean(), rel=1e-5)


def test_calibrated_pixels_have_no_calibration_error() -> None:
    confidence = np.repeat(np.array([0.5, 0.75, 1.0], dtype=np.float32), 400)
    right = np.concatenate([np.arange(400) % 2 == 0, np.arange(400) % 4 != 0, np.ones(400, dtype=bool)])
    assert expected_calibration_error(calibration_counts(confidence, right)) < 1e-9
    none = negative_log_likelihood(np.array([[[1.0]], [[0.0]]], np.float32), np.array([[1]]))
    assert none == pytest.approx(-math.log(LEAST_PROBABILITY))
