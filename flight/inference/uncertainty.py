"""Mean probability and uncertainty from the scores of Monte-Carlo dropout passes; entropies in nats."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from flight.inference.checksums import ArrayChecksum


class Accumulator:
    """Running sums over the passes: memory does not grow with the number of passes.

    Where the scores of a pass are not finite, or too large for a softmax in float32, the network said nothing: there,
    and nowhere else, every class counts as equally probable in that pass.

    Between two passes the sums wait for as long as a pass takes: that they are not changed meanwhile is checked.

    Args:
        shape: (K, H, W) of the scores.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._probability = np.zeros(shape, dtype=np.float32)
        self._entropy = np.zeros(shape[1:], dtype=np.float32)
        self._known = np.ones(shape[1:], dtype=np.bool_)
        # Memory that is new for every pass would have to be fetched from the system each time.
        self._scratch = np.empty(shape, dtype=np.float32)
        self.passes = 0
        self._checksum = self._compute_checksum()

    @property
    def known(self) -> NDArray[np.bool_]:
        """(H, W) bool, False where the scores of a pass were not finite."""
        return self._known

    def add(self, scores: NDArray[np.float32]) -> None:
        """Add one pass.

        Args:
            scores: (K, H, W) float32 raw scores (logits); overwritten.

        Raises:
            UpsetError: the sums changed after the last pass.
        """
        self._checksum.check()
        with np.errstate(invalid="ignore", over="ignore"):
            scores -= scores.max(axis=0)
            probability = np.exp(scores, out=self._scratch)
            total = probability.sum(axis=0)
            probability /= total
            # H(p) = log sum exp(s) - sum p s, with s shifted to a maximum of 0.
            scores *= probability
            logarithm, mean_score = np.log(total), scores.sum(axis=0)
            # One score that is not finite makes the entropy so, whichever class it belongs to.
            known = np.isfinite(logarithm - mean_score)
        if not known.all():
            classes = len(scores)
            probability[:, ~known] = 1.0 / classes
            logarithm[~known], mean_score[~known] = math.log(classes), 0.0
            self._known &= known
        self._probability += probability
        self._entropy += logarithm
        self._entropy -= mean_score
        self.passes += 1
        self._checksum = self._compute_checksum()

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Maps of the passes added so far, at least one.

        With p_n the softmax of pass n of N, and pbar = (1/N) sum_n p_n (Pugliatti & Maestrini):
        predictive entropy H(pbar) = - sum_i pbar_i ln pbar_i; mutual information H(pbar) - (1/N) sum_n H(p_n)
        (Gal, Islam & Ghahramani 2017), at least 0.

        Returns:
            Mean probability (K, H, W), predictive entropy (H, W) and mutual information (H, W); float32.

        Raises:
            UpsetError: the sums changed after the last pass.
        """
        self._checksum.check()
        mean = self._probability / np.float32(self.passes)
        predictive = predictive_entropy(mean)
        mutual = np.maximum(predictive - self._entropy / np.float32(self.passes), np.float32(0.0))
        return mean, predictive, mutual

    def _compute_checksum(self) -> ArrayChecksum:
        return ArrayChecksum([self._probability, self._entropy, self._known], "sums over the passes")


def predictive_entropy(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Entropy of each pixel, H = - sum_i p_i ln p_i, nats.

    Args:
        probability: (K, H, W) float32, sums to 1 over the first axis.

    Returns:
        (H, W) float32, 0..ln K.
    """
    logarithms = np.log(np.maximum(probability, np.float32(1e-12)))
    entropy: NDArray[np.float32] = -(probability * logarithms).sum(axis=0)
    return np.maximum(entropy, np.float32(0.0))


def mark_above(
    class_map: NDArray[np.uint8],
    entropy: NDArray[np.float32],
    threshold: float,
    uncertain: int,
    known: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Replace the class of pixels whose entropy lies above a threshold, is not known or not finite.

    Args:
        class_map: (H, W) uint8, 0..K-1.
        entropy: (H, W) float32, nats.
        threshold: nats.
        uncertain: value of uncertain pixels, K.
        known: see mark_uncertain.

    Returns:
        (H, W) uint8, a new array.
    """
    # Written so that what is no number is uncertain.
    certain = entropy <= np.float32(threshold)
    return np.where(certain if known is None else certain & known, class_map, np.uint8(uncertain))


def mark_uncertain(
    class_map: NDArray[np.uint8],
    entropy: NDArray[np.float32],
    threshold: float,
    uncertain: int,
    known: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Replace the class of uncertain pixels (the enhanced mask of Pugliatti & Maestrini).

    A pixel is uncertain if (h - h_min) / (h_max - h_min) > threshold, with h its entropy and h_min, h_max the smallest
    and largest of the known pixels of the same map. If all are equal, none of them is uncertain. A pixel that is not
    known, or whose entropy is not finite, is uncertain, and changes no other.

    Args:
        class_map: (H, W) uint8, 0..K-1.
        entropy: (H, W) float32.
        threshold: in [0, 1].
        uncertain: value of uncertain pixels, K.
        known: (H, W) bool, False where there was nothing to take the entropy of; None if it is known everywhere.

    Returns:
        (H, W) uint8, a new array.
    """
    finite = np.isfinite(entropy)
    known = finite if known is None else finite & known
    values = entropy if known.all() else entropy[known]
    if not values.size or not values.max() > values.min():
        return np.where(known, class_map, np.uint8(uncertain))
    low, high = values.min(), values.max()
    certain = known & ~((entropy - low) / (high - low) > np.float32(threshold))
    return np.where(certain, class_map, np.uint8(uncertain))
