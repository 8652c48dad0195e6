"""Thresholds with a promise: what they count, and that a promise is broken as seldom as it says."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ground_tools.metrics.risk import (
    THRESHOLDS,
    entropy_histogram,
    fewest_units,
    find_promises,
    image_risks,
    log_wealth,
    mean_interval,
    mean_of_views,
    place_of,
    unmarked,
)

RISK, DELTA = 0.05, 0.1


def test_a_histogram_tells_what_every_threshold_leaves_unmarked() -> None:
    generator = np.random.default_rng(0)
    entropy = np.float32(2.0) ** generator.uniform(-18, 1, (60, 70)).astype(np.float32)
    entropy[0, :5] = [0.0, *THRESHOLDS[:3], THRESHOLDS[-1]]
    groups = generator.integers(-1, 4, entropy.shape)
    counts = entropy_histogram(entropy, groups, 3)
    assert counts.shape == (3, len(THRESHOLDS) + 1)
    left = unmarked(counts)
    for place in range(0, len(THRESHOLDS), 7):
        certain = entropy <= np.float32(THRESHOLDS[place])
        assert left[:, place].tolist() == [np.count_nonzero(certain & (groups == group)) for group in range(3)]
    assert counts.sum() == np.count_nonzero((groups >= 0) & (groups < 3))


def test_thresholds_rise_and_are_told_exactly_by_four_digits() -> None:
    assert all(less < more for less, more in pairwise(THRESHOLDS))
    assert all(float(f"{threshold:.4g}") == threshold for threshold in THRESHOLDS)
    assert THRESHOLDS[-1] == 4.0


def test_an_image_without_unmarked_pixels_has_no_error_and_copies_are_one_unit() -> None:
    risks = image_risks(np.array([[0, 1], [0, 3], [2, 2]]), np.array([[0, 4], [2, 4], [2, 8]]))
    assert risks.tolist() == [[0.0, 0.25], [0.0, 0.75], [1.0, 0.25]]
    assert mean_of_views(risks, np.array([7, 7, 3])).tolist() == [[1.0, 0.25], [0.0, 0.5]]


def test_fewest_units_are_those_from_which_no_error_is_enough() -> None:
    for risk in (0.01, 0.1):
        count = fewest_units(risk, DELTA)
        assert find_promises([np.zeros((count, len(THRESHOLDS)))], risk, DELTA).sum() > 90
        assert not find_promises([np.zeros((count - 1, len(THRESHOLDS)))], risk, DELTA).any()
        # No bound that holds for every distribution does with less than (1 - risk)^n <= delta.
        assert np.log(DELTA) / np.log1p(-risk) < count < 3 * np.log(DELTA) / np.log1p(-risk)


def test_every_set_has_to_keep_a_promise() -> None:
    good, bad = (np.full((200, len(THRESHOLDS)), risk) for risk in (0.01, 0.08))
    assert find_promises([good], RISK, DELTA).any()
    assert not find_promises([bad], RISK, DELTA).any()
    assert not find_promises([good, bad], RISK, DELTA).any()
    assert np.array_equal(find_promises([good, good], RISK, DELTA), find_promises([good], RISK, DELTA))


def test_a_lenient_threshold_is_not_reached_over_one_that_fails() -> None:
    risks = np.full((300, len(THRESHOLDS)), 0.01)
    first, second = THRESHOLDS.index(0.5) + 5, THRESHOLDS.index(0.5) + 9
    risks[:, first:second] = 0.2
    found = find_promises([risks], RISK, DELTA)
    assert found[THRESHOLDS.index(0.0625) : first].all()
    assert not found[first:].any()


def draw_images(generator: np.random.Generator, count: int) -> np.ndarray:
    """(count, T) risks of images that rise with the threshold, a few of them bad everywhere; their mean is known."""
    quality = np.where(generator.random(count) < 0.02, 0.6, generator.beta(1.0, 9.0, count))
    return quality[:, None] * shape_over_thresholds()


def shape_over_thresholds() -> np.ndarray:
    return np.clip(np.log2(np.array(THRESHOLDS)) / 8.0 + 0.75, 0.0, 1.0)


def true_risks() -> np.ndarray:
    return (0.02 * 0.6 + 0.98 * 0.1) * shape_over_thresholds()


@pytest.mark.parametrize("count", [60, 300])
def test_a_promise_is_broken_as_seldom_as_it_says(count: int) -> None:
    """In 200 draws of validation images, chosen again in each: the true risk of the chosen threshold is known."""
    broken = promised = 0
    for seed in range(200):
        found = np.flatnonzero(find_promises([draw_images(np.random.default_rng(seed), count)], RISK, DELTA))
        if len(found):
            promised += 1
            broken += bool(true_risks()[found[-1]] > RISK)
    # Three standard deviations of a share of DELTA over 200 draws.
    assert broken / 200 <= DELTA + 3 * np.sqrt(DELTA * (1 - DELTA) / 200)
    if count == 300:
        assert promised > 195
        used = np.flatnonzero(find_promises([draw_images(np.random.default_rng(0), 300)], RISK, DELTA))[-1]
        assert true_risks()[used] > 0.5 * RISK, "a promise that leaves so much unused is of no use"


def test_a_mean_at_the_promise_is_taken_for_a_smaller_one_as_seldom_as_it_says() -> None:
    """The worst case for the bet: rare images that are wrong everywhere, from populations that differ."""
    generator, wins = np.random.default_rng(1), 0
    shares = np.linspace(0.0, 2.0 * RISK, 150)
    for _ in range(1000):
        risks = (generator.random(150) < shares).astype(np.float64)
        wins += bool(log_wealth(risks[:, None], RISK)[0] >= np.log(1.0 / DELTA))
    assert wins / 1000 <= DELTA
    assert log_wealth(np.ones((1, 1)), RISK)[0] < 0.0


def test_the_interval_of_a_mean_is_that_of_units_drawn_anew() -> None:
    values = np.random.default_rng(3).exponential(0.02, 200)
    interval = mean_interval(values)
    assert interval is not None
    low, high = interval
    error = 1.96 * values.std() / np.sqrt(200)
    assert low == pytest.approx(values.mean() - error, abs=0.2 * error)
    assert high == pytest.approx(values.mean() + error, abs=0.2 * error)
    assert mean_interval(values[:4]) is None


def test_a_threshold_that_was_not_chosen_here_is_named() -> None:
    assert THRESHOLDS[place_of(0.25)] == 0.25
    with pytest.raises(ValueError, match=r"expected a threshold of ground-tools fit-risk, got 0.2 nats"):
        place_of(0.2)
