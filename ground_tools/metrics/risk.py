"""Thresholds on the entropy with a promise: of what an image's map leaves unmarked, a stated share at most is wrong.

Learn then test (Angelopoulos, Bates, Candes, Jordan & Lei 2021): every threshold is a hypothesis, "its risk is above
alpha", and those may be used that validation images reject. Images are the units that are drawn, never pixels: those of
one image are wrong together.

The risk of image i at a threshold is r_i, the share of its unmarked pixels that are wrong, and 0 where none is left;
what is promised is E[r] <= alpha, images counting alike. (Shares of the image instead, E[wrong] <= alpha E[unmarked],
would promise of all pixels together, and could not be shown with a thousand images: where a map leaves a third unmarked
and alpha is 0.02, one image in 150 that is wrong everywhere breaks it, and so rare a one need not be among them.)

The p-value is a bet's (Waudby-Smith & Ramdas 2024): if E[r] > alpha, the wealth prod_i (1 - b (r_i - alpha)), with any
b of 0 to 1 / (1 - alpha) that was fixed before, is 1 or less on average, and so 1 / p or more with a probability of p
at most (Markov). This holds for units that are drawn independently, each from a population of its own, too, such as so
many of each body, where E is the mean over them (by the inequality of the means); it does not depend on their order. A
bound that knows the mean alone (Hoeffding, Bentkus) needs more images, for it cannot use how rarely one is bad.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

# Nats: 16 from each power of 2 to the next, of four digits, so that a manifest states them exactly; from what marks
# nearly everything to what no entropy of up to 54 classes exceeds.
THRESHOLDS = tuple(float(f"{2.0 ** (step / 16):.4g}") for step in range(-14 * 16, 2 * 16 + 1))
# Bets, as parts of the largest one, and what part of the stake is on each: one image in many is bad, so that the
# boldest mostly wins.
_BETS = np.array([1.0, 0.5, 0.25, 0.125])
_STAKES = np.array([0.5, 0.25, 0.125, 0.125])
# Where sequences of tests begin, nats, each with its part of what may go wrong. At stricter thresholds few pixels of an
# image are left, and a handful of wrong ones is a large share of them.
_STARTS = (0.0625, 0.125, 0.25, 0.5)
# Of the bootstrap.
_DRAWS, _DRAWN_AT_ONCE, _SEED = 2000, 100, 0


def place_of(threshold: float) -> int:
    """Place of a threshold in THRESHOLDS. Raises ValueError for one that was not chosen from them."""
    if threshold not in THRESHOLDS:
        raise ValueError(f"risk_thresholds: expected a threshold of ground-tools fit-risk, got {threshold:g} nats")
    return THRESHOLDS.index(threshold)


def entropy_histogram(entropy: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """Counts of pixels by group and entropy: bin b has those above THRESHOLDS[b - 1] and not above THRESHOLDS[b].

    So the pixels that a threshold of THRESHOLDS[b] leaves unmarked are those of bins 0 to b. entropy: float32, nats.
    groups: of the same shape, 0..count-1; others are left out. Returns (count, len(THRESHOLDS) + 1) int32.
    """
    edges = np.array(THRESHOLDS, dtype=np.float32)
    bins = np.searchsorted(edges, entropy.ravel().astype(np.float32), side="left")
    chosen = (groups.ravel() >= 0) & (groups.ravel() < count)
    places = groups.ravel()[chosen].astype(np.int64) * (len(edges) + 1) + bins[chosen]
    counts = np.bincount(places, minlength=count * (len(edges) + 1))
    return counts.reshape(count, -1).astype(np.int32)


def unmarked(histogram: np.ndarray) -> np.ndarray:
    """Pixels that each of THRESHOLDS leaves unmarked. histogram: (..., T + 1) counts. Returns (..., T) int64."""
    return np.cumsum(histogram[..., :-1], axis=-1, dtype=np.int64)


def image_risks(wrong: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """r of each image: the share of its unmarked pixels that are wrong; 0 where none is left.

    wrong, kept: (..., T) unmarked pixels, the wrong ones and all. Returns the same shape, float64.
    """
    return wrong / np.maximum(kept, 1)


def mean_of_views(values: np.ndarray, views: np.ndarray) -> np.ndarray:
    """Values of units: the mean over images of one view, which are no independent draws. values: (N, ...); views: (N,).

    Returns (units, ...) float64.
    """
    _, which, copies = np.unique(views, return_inverse=True, return_counts=True)
    total = np.zeros((len(copies), *values.shape[1:]))
    np.add.at(total, which, values)
    result: np.ndarray = total / copies.reshape(-1, *[1] * (values.ndim - 1))
    return result


def mean_interval(values: np.ndarray) -> tuple[float, float] | None:
    """Where the mean of as many such units would lie, from the 2.5th to the 97.5th percentile; None of fewer than five.

    A percentile bootstrap over units (Efron & Tibshirani 1993). values: (units,).
    """
    if len(values) < 5:
        return None
    generator, means = np.random.default_rng(_SEED), []
    for _ in range(_DRAWS // _DRAWN_AT_ONCE):
        drawn = generator.integers(len(values), size=(_DRAWN_AT_ONCE, len(values)))
        means.append(values[drawn].mean(axis=1))
    low, high = np.percentile(np.concatenate(means), (2.5, 97.5))
    return float(low), float(high)


def log_wealth(risks: np.ndarray, promised: float) -> np.ndarray:
    """Logarithm of what betting against "the mean is above the promised one" makes of a stake of 1.

    risks: (units, T), 0..1. Returns (T,).
    """
    gains = promised - risks
    with np.errstate(divide="ignore"):
        logarithms = np.stack([np.log1p(bet / (1.0 - promised) * gains).sum(axis=0) for bet in _BETS])
        result: np.ndarray = np.logaddexp.reduce(logarithms + np.log(_STAKES)[:, None], axis=0)
    return result


def find_promises(sets: Sequence[np.ndarray], promised: float, delta: float) -> np.ndarray:
    """Which of THRESHOLDS keep a promise on every one of the sets, all of them except with probability delta.

    Fixed sequences of tests, from each of a few thresholds to the more lenient ones until the first that is not
    rejected, each with its part of delta (LTT, section 3.2). A threshold is rejected where every set rejects it, so
    that a set more costs no more than its own thresholds (intersection-union test).

    sets: risks of the units of each, (units, T). promised: alpha. Returns (T,) bool.
    """
    starts = [THRESHOLDS.index(start) for start in _STARTS]
    wealth = np.min([log_wealth(risks[:, starts[0] :], promised) for risks in sets], axis=0)
    enough = np.concatenate([np.zeros(starts[0], dtype=bool), wealth >= math.log(len(starts) / delta)])
    found = np.zeros(len(THRESHOLDS), dtype=bool)
    for first in starts:
        failing = np.flatnonzero(~enough[first:])
        found[first : first + int(failing[0]) if len(failing) else None] = True
    return found


def fewest_units(promised: float, delta: float) -> int:
    """The least number of units from which a risk can be promised at all: if none of them has an error."""
    enough, count = math.log(len(_STARTS) / delta), 1
    while log_wealth(np.zeros((count, 1)), promised)[0] < enough:
        count += 1
    return count
