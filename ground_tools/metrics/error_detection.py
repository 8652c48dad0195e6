"""How far the uncertainty can be trusted: calibration, error detection, and what is left when pixels are left out.

Everything comes from counts in fixed bins, so that a set of any size takes the same memory: of right and of wrong
pixels, by entropy, by mutual information, and by the probability of the predicted class.
"""

from __future__ import annotations

import numpy as np

# Of the scaled entropy; every threshold of whole thousandths is an edge.
BINS = 1000
# Of a score's 32-bit float, so many bits are left off: 10 bits after the point stay.
_SCORE_SHIFT = 13
# Nats: scores below it share the first bin; those of 4 and more, which no entropy of up to 54 classes is, the last.
LEAST_SCORE, _MOST_SCORE = 2.0**-40, 4.0
_FIRST, _LAST = (int(np.float32(score).view(np.uint32)) >> _SCORE_SHIFT for score in (LEAST_SCORE, _MOST_SCORE))
SCORE_BINS = _LAST - _FIRST + 1


def score_histogram(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Counts of right and of wrong pixels by score: 1024 bins from each power of 2 to the next, the least one 2^-40.

    The bits of floats that are not negative, read as integers, are in the floats' order, and so are the first of them;
    bins are a thousandth of the value wide, so that pixels which are nearly certain are told apart, too. scores:
    float32, nats. Returns (2, SCORE_BINS) int64, right pixels first.
    """
    # abs, because a zero may carry a sign.
    bits = np.abs(np.maximum(scores.ravel(), np.float32(0.0)), dtype=np.float32).view(np.uint32)
    bins = np.clip((bits >> _SCORE_SHIFT).astype(np.int64) - (_FIRST - 1), 0, SCORE_BINS - 1)
    return _counted(bins, right, SCORE_BINS)


def scaled_histogram(entropy: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Counts of right and of wrong pixels by the entropy scaled between the image's own minimum and maximum.

    Bin b holds what exceeds b / BINS and does not exceed (b + 1) / BINS, so that the pixels which the flight code
    marks at a threshold of b / BINS, b >= 1, are those of bins b and up. Bin 0 holds 0 itself, too, and all of an image
    of one entropy everywhere.
    Returns (2, BINS) int64, right pixels first.
    """
    low, high = entropy.min(), entropy.max()
    scaled = (entropy - low) / (high - low) if high > low else np.zeros_like(entropy)
    edges = (np.arange(BINS + 1) / BINS).astype(np.float32)
    bins = np.maximum(np.searchsorted(edges, scaled.ravel().astype(np.float32), side="left") - 1, 0)
    return _counted(bins, right, BINS)


def _counted(bins: np.ndarray, right: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(bins + count * ~right.ravel(), minlength=2 * count).reshape(2, count)


def area_under_roc(histogram: np.ndarray) -> float:
    """AUROC of detecting wrong pixels by a high score: P(score of a wrong one > of a right one) + half of P(equal).

    Scores of one bin count as equal; area_under_roc_error bounds what that can change. histogram: (2, B). NaN where
    all pixels are right, or all wrong.
    """
    right, wrong = histogram.astype(np.float64)
    if right.sum() == 0.0 or wrong.sum() == 0.0:
        return float("nan")
    below = np.cumsum(right) - right
    return float((wrong * (below + 0.5 * right)).sum() / (right.sum() * wrong.sum()))


def area_of_pairs(low: np.ndarray, high: np.ndarray) -> float:
    """AUROC of telling two groups of images apart by one value each: P(a high one > a low one) + half of P(equal)."""
    differences = high[:, None] - low[None]
    return float((differences > 0.0).mean() + 0.5 * (differences == 0.0).mean())


def area_under_roc_error(histogram: np.ndarray) -> float:
    """The most by which the bins can change the AUROC: half the share of pairs that lie in one bin."""
    right, wrong = histogram.astype(np.float64)
    pairs = right.sum() * wrong.sum()
    return float(0.5 * (right * wrong).sum() / pairs) if pairs else float("nan")


def roc(histogram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates of detecting wrong pixels, from no alarm to all; (B + 1,) float64 each."""
    right, wrong = (np.concatenate([[0.0], np.cumsum(row[::-1])]) for row in histogram.astype(np.float64))
    return right / max(right[-1], 1.0), wrong / max(wrong[-1], 1.0)


def precision_recall(histogram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall of detecting wrong pixels at falling thresholds; (B,) float64 each, NaN before any alarm."""
    right, wrong = (np.cumsum(row[::-1]) for row in histogram.astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(right + wrong > 0, wrong / (right + wrong), np.nan), wrong / max(wrong[-1], 1.0)


def average_precision(histogram: np.ndarray) -> float:
    """AUPR of detecting wrong pixels, as average precision: sum of precision times the gain of recall.

    NaN where no pixel is wrong.
    """
    precision, recall = precision_recall(histogram)
    if recall[-1] == 0.0:
        return float("nan")
    gains = np.diff(recall, prepend=0.0)
    return float((np.nan_to_num(precision) * gains).sum())


def risk_coverage(histogram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and risk when only the pixels of the lowest scores are kept (El-Yaniv & Wiener 2010).

    Coverage: share of the pixels that are kept; risk: share of those that are wrong. Returns float64 arrays of one
    length, from the least coverage to all; bins without pixels are left out.
    """
    right, wrong = np.cumsum(histogram.astype(np.float64), axis=1)
    kept = right + wrong
    steps = np.diff(kept, prepend=0.0) > 0
    return kept[steps] / kept[-1], wrong[steps] / kept[steps]


def area_under_risk_coverage(histogram: np.ndarray) -> float:
    """AURC: the mean risk over coverages from 0 to 1, each bin's pixels at the risk reached with it."""
    coverage, risk = risk_coverage(histogram)
    return float((np.diff(coverage, prepend=0.0) * risk).sum())


def risk_at(histogram: np.ndarray, coverage: float) -> float:
    """The risk at the least coverage that the bins allow and that is not below the one asked for."""
    coverages, risks = risk_coverage(histogram)
    return float(risks[min(int(np.searchsorted(coverages, coverage - 1e-12)), len(risks) - 1)])


def certainty(histogram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p(accurate | certain) and p(uncertain | inaccurate) when bins b and up are uncertain (Mukhoti & Gal 2018).

    histogram: (2, B). Returns (B,) float64 each, for b = 0..B-1; NaN where no pixel is certain, or none wrong.
    """
    right, wrong = histogram.astype(np.float64)
    certain_right, certain_wrong = np.cumsum(right) - right, np.cumsum(wrong) - wrong
    certain = certain_right + certain_wrong
    with np.errstate(invalid="ignore", divide="ignore"):
        accurate = np.where(certain > 0, certain_right / certain, np.nan)
        uncertain = np.where(wrong.sum() > 0, 1.0 - certain_wrong / wrong.sum(), np.nan)
    return accurate, uncertain


def certainty_of_marks(confusion: np.ndarray, marked: np.ndarray) -> tuple[float, float]:
    """p(accurate | certain) and p(uncertain | inaccurate) of maps with uncertain pixels marked, exactly.

    confusion: (K, K) counts of (true, predicted) before, marked: (K, K + 1) after marking, the last column the marked.
    NaN where no pixel is certain, or none wrong.
    """
    classes = len(confusion)
    certain, right = marked[:, :classes].sum(), np.trace(marked[:, :classes])
    wrong = confusion.sum() - np.trace(confusion)
    accurate = right / certain if certain else float("nan")
    return float(accurate), float(1.0 - (certain - right) / wrong) if wrong else float("nan")
