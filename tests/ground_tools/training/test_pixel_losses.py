"""Losses of segmentation networks against their definitions, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops

from ground_tools.training.pixel_losses import class_weights, frequency_weights, missed_shares, pixel_loss
from ground_tools.training.recipe_tables import Loss

GENERATOR = np.random.default_rng(3)
SCORES = GENERATOR.normal(0.0, 2.0, (2, 5, 6, 3)).astype(np.float32)
LABELS = GENERATOR.integers(0, 3, (2, 5, 6)).astype(np.uint8)
LABELS[0, :2] = 255
ONES = np.ones(3, dtype=np.float32)


def softmax(scores: np.ndarray) -> np.ndarray:
    power = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(power / power.sum(axis=-1, keepdims=True))


def value(loss: Loss, weights: np.ndarray = ONES, scores: np.ndarray = SCORES, labels: np.ndarray = LABELS) -> float:
    return float(ops.convert_to_numpy(pixel_loss(labels, scores, ops.convert_to_tensor(weights), loss)))


def known() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (P, 3) and labels (P,) of the pixels with a label."""
    seen = LABELS != 255
    return softmax(SCORES)[seen], LABELS[seen]


def test_cross_entropy_is_the_mean_over_labelled_pixels() -> None:
    p, t = known()
    weights = np.array([0.5, 1.0, 4.0], dtype=np.float32)
    expected = -(weights[t] * np.log(p[np.arange(len(t)), t])).mean()
    assert value(Loss(), weights) == pytest.approx(expected, rel=1e-5)


def test_focal() -> None:
    p, t = known()
    true = p[np.arange(len(t)), t]
    assert value(Loss(focal=2.0)) == pytest.approx(-((1 - true) ** 2 * np.log(true)).mean(), rel=1e-5)


@pytest.mark.parametrize("name", ["dice", "jaccard"])
def test_regions(name: str) -> None:
    p, t = known()
    truth = np.eye(3)[t]
    both, sums = (p * truth).sum(axis=0), (p + truth).sum(axis=0)
    index = 2 * both / sums if name == "dice" else both / (sums - both)
    loss = Loss(cross_entropy=0.0, dice=1.0) if name == "dice" else Loss(cross_entropy=0.0, jaccard=1.0)
    assert value(loss) == pytest.approx(1.0 - index.mean(), rel=1e-4)


@pytest.mark.parametrize(
    "loss", [Loss(), Loss(focal=1.0), Loss(cross_entropy=0.0, dice=1.0), Loss(cross_entropy=0.0, jaccard=1.0)]
)
def test_what_nobody_labelled_counts_nowhere(loss: Loss) -> None:
    changed = SCORES.copy()
    changed[0, :2] = 50.0 * GENERATOR.normal(size=(2, 6, 3))
    assert value(loss, scores=changed) == pytest.approx(value(loss), rel=1e-6)
    empty: Any = np.full_like(LABELS, 255)
    assert np.isfinite(value(loss, labels=empty))


def test_weights_by_frequency_have_a_mean_of_one_and_favour_the_rare() -> None:
    weights = frequency_weights(np.array([900, 90, 10, 0]))
    assert weights.mean() == pytest.approx(1.0)
    assert weights[3] == 0.0
    assert weights[2] / weights[0] == pytest.approx(90.0)


def test_missed_shares_follow_the_false_negative_rate() -> None:
    before = np.array([0.2, 0.2, 0.2], dtype=np.float32)
    labels = np.array([[[0, 0, 0, 1, 255]]])
    scores = np.eye(3, dtype=np.float32)[np.array([[[0, 0, 1, 1, 2]]])]
    after = ops.convert_to_numpy(missed_shares(labels, scores, before, 0.5))
    # A third of the first class is missed, nothing of the second; the third is not shown.
    assert after == pytest.approx([0.1 + 0.5 / 3, 0.1, 0.2], abs=1e-6)
    fixed = np.array([1.0, 2.0, 3.0])
    for weighting, expected in (
        ("none", [1, 1, 1]),
        ("frequency", [1, 2, 3]),
        ("recall", after),
        ("both", after * fixed),
    ):
        assert ops.convert_to_numpy(class_weights(fixed, after, weighting)) == pytest.approx(expected)
