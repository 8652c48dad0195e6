"""Error detection: every measure against a plain count of pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.inference.uncertainty import mark_uncertain
from ground_tools.metrics.error_detection import (
    BINS,
    area_of_pairs,
    area_under_risk_coverage,
    area_under_roc,
    area_under_roc_error,
    average_precision,
    certainty,
    certainty_of_marks,
    risk_at,
    risk_coverage,
    roc,
    scaled_histogram,
    score_histogram,
)
from ground_tools.metrics.iou import (
    confusion_matrix,
)
from tests.ground_tools.metrics.plain_counts import plain_auroc

pixels = st.lists(st.tuples(st.floats(0.0, 1.5, width=32), st.booleans()), min_size=2, max_size=60)


@settings(max_examples=80)
@given(pixels)
def test_auroc_is_the_count_of_pairs_within_the_stated_bound(drawn: list[tuple[float, bool]]) -> None:
    scores = np.array([s for s, _ in drawn], dtype=np.float32)
    right = np.array([r for _, r in drawn])
    histogram = score_histogram(scores, right)
    assert histogram.sum(axis=1).tolist() == [right.sum(), (~right).sum()]
    area = area_under_roc(histogram)
    if right.all() or not right.any():
        assert math.isnan(area)
        return
    pairs = [(1.0 if w > r else 0.5 if w == r else 0.0) for w in scores[~right] for r in scores[right]]
    bound = area_under_roc_error(histogram)
    assert abs(area - np.mean(pairs)) <= bound + 1e-9
    false, true = roc(histogram)
    # Of the curve's trapezoids, by hand: NumPy 1 and 2 have them under different names.
    assert (np.diff(false) * (true[1:] + true[:-1]) / 2.0).sum() == pytest.approx(area)


@pytest.mark.parametrize(("least", "most"), [(1e-9, 3e-7), (1e-5, 1e-2), (0.1, 1.6)])
def test_auroc_of_small_scores_is_that_of_the_pixels(least: float, most: float) -> None:
    """Mutual information is often a difference of a few millionths of a nat."""
    generator = np.random.default_rng(1)
    scores = np.exp(generator.uniform(math.log(least), math.log(most), 4000)).astype(np.float32)
    high = (np.log(scores) - math.log(least)) / math.log(most / least)
    right = generator.random(4000) > high**2
    histogram = score_histogram(scores, right)
    bound = area_under_roc_error(histogram)
    assert bound < 0.001
    assert area_under_roc(histogram) == pytest.approx(plain_auroc(scores, right), abs=bound + 1e-9)


def test_scores_beyond_the_bins_are_in_the_outer_ones() -> None:
    scores = np.array([-1.0, -0.0, 0.0, 1e-40, 1e-13, 2.0**-40, 3.999, 4.0, 50.0], dtype=np.float32)
    histogram = score_histogram(scores, np.ones(9, dtype=bool))
    assert histogram[0, [0, 1, -1]].tolist() == [5, 1, 3]
    assert histogram.sum() == 9


def test_auroc_aupr_and_risk_of_pixels_that_bins_keep_apart() -> None:
    generator = np.random.default_rng(3)
    scores = (generator.permutation(400) + 0.5) ** 2 / 400**2
    right = generator.random(400) > scores
    histogram = score_histogram(scores.astype(np.float32), right)
    assert histogram.max() == 1
    assert area_under_roc_error(histogram) == 0.0
    pairs = scores[~right][:, None] > scores[right][None]
    assert area_under_roc(histogram) == pytest.approx(pairs.mean())
    order = np.argsort(-scores)
    hits = np.cumsum(~right[order])
    expected = (hits / np.arange(1, 401))[~right[order]].mean()
    assert average_precision(histogram) == pytest.approx(expected)
    coverage, risk = risk_coverage(histogram)
    kept = np.argsort(scores)
    assert coverage == pytest.approx(np.arange(1, 401) / 400)
    assert risk == pytest.approx(np.cumsum(~right[kept]) / np.arange(1, 401))
    assert area_under_risk_coverage(histogram) == pytest.approx(risk.mean())
    assert risk_at(histogram, 0.8) == pytest.approx(risk[319])
    assert risk_at(histogram, 1.0) == pytest.approx((~right).mean())


def test_certainty_comes_exactly_from_the_counts_of_marked_maps() -> None:
    generator = np.random.default_rng(7)
    truth, predicted = generator.integers(0, 3, (2, 9, 9)).astype(np.uint8)
    uncertain = generator.random((9, 9)) > 0.7
    marked = np.where(uncertain, np.uint8(3), predicted)
    accurate, raised = certainty_of_marks(confusion_matrix(truth, predicted, 3), confusion_matrix(truth, marked, 3, 4))
    assert accurate == pytest.approx((predicted == truth)[~uncertain].mean())
    assert raised == pytest.approx(uncertain[predicted != truth].mean())
    right = np.diag([4, 5])
    assert certainty_of_marks(right, np.pad(right, ((0, 0), (0, 1)))) == pytest.approx((1.0, math.nan), nan_ok=True)


def test_pairs_of_images_told_apart() -> None:
    assert area_of_pairs(np.array([1.0, 2.0]), np.array([2.0, 3.0, 0.0])) == pytest.approx(3.5 / 6)


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.sampled_from([0.001, 0.05, 0.5, 0.91, 0.95]))
def test_certainty_is_that_of_the_pixels_which_the_flight_code_marks(seed: int, threshold: float) -> None:
    generator = np.random.default_rng(seed)
    entropy = np.round(generator.random((8, 9)), 2).astype(np.float32)
    right = generator.random((8, 9)) > 0.4
    marked = mark_uncertain(np.zeros((8, 9), dtype=np.uint8), entropy, threshold, 1) == 1
    accurate, uncertain = certainty(scaled_histogram(entropy, right))
    place = round(threshold * BINS)
    assert accurate[place] == pytest.approx(right[~marked].mean())
    assert uncertain[place] == pytest.approx(marked[~right].mean())


def test_an_image_of_one_entropy_has_no_uncertain_pixel() -> None:
    histogram = scaled_histogram(np.full((4, 4), 0.7, np.float32), np.ones((4, 4), dtype=bool))
    assert histogram[0, 0] == 16
