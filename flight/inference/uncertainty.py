"""Mean probability and uncertainty from the scores of Monte-Carlo dropout passes; entropies in nats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flight.inference.seal import Seal


class Accumulator:
    """Running sums over the passes: memory does not grow with the number of passes.

    Between two passes the sums wait for as long as a pass takes: that they are not changed meanwhile is checked.

    Args:
        shape: (K, H, W) of the scores.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._probability = np.zeros(shape, dtype=np.float32)
        self._entropy = np.zeros(shape[1:], dtype=np.float32)
        self.passes = 0
        self._seal = self._make_seal()

    def add(self, scores: NDArray[np.float32]) -> None:
        """Add one pass.

        Args:
            scores: (K, H, W) float32 raw scores (logits); overwritten.

        Raises:
            UpsetError: the sums are not what they were after the last pass.
        """
        self._seal.check()
        scores -= scores.max(axis=0)
        exponentials = np.exp(scores)
        total = exponentials.sum(axis=0)
        exponentials /= total
        self._probability += exponentials
        # H(p) = log sum exp(s) - sum p s, with s shifted to a maximum of 0.
        exponentials *= scores
        self._entropy += np.log(total)
        self._entropy -= exponentials.sum(axis=0)
        self.passes += 1
        self._seal = self._make_seal()

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Maps of the passes added so far, at least one.

        With p_n the softmax of pass n of N, and pbar = (1/N) sum_n p_n (Pugliatti & Maestrini):
        predictive entropy H(pbar) = - sum_i pbar_i ln pbar_i; mutual information H(pbar) - (1/N) sum_n H(p_n)
        (Gal, Islam & Ghahramani 2017), at least 0.

        Returns:
            Mean probability (K, H, W), predictive entropy (H, W) and mutual information (H, W); float32.

        Raises:
            UpsetError: the sums are not what they were after the last pass.
        """
        self._seal.check()
        mean = self._probability / np.float32(self.passes)
        predictive = predictive_entropy(mean)
        mutual = np.maximum(predictive - self._entropy / np.float32(self.passes), np.float32(0.0))
        return mean, predictive, mutual

    def _make_seal(self) -> Seal:
        return Seal([self._probability, self._entropy], "sums over the passes")


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


def mark_uncertain(
    class_map: NDArray[np.uint8], entropy: NDArray[np.float32], threshold: float, uncertain: int
) -> NDArray[np.uint8]:
    """Replace the class of uncertain pixels (the enhanced mask of Pugliatti & Maestrini).

    A pixel is uncertain if (h - h_min) / (h_max - h_min) > threshold, with h its entropy and h_min, h_max the smallest
    and largest of the same map. If all are equal, no pixel is uncertain.

    Args:
        class_map: (H, W) uint8, 0..K-1.
        entropy: (H, W) float32.
        threshold: in [0, 1].
        uncertain: value of uncertain pixels, K.

    Returns:
        (H, W) uint8, a new array.
    """
    low, high = entropy.min(), entropy.max()
    if not high > low:
        return class_map.copy()
    scaled = (entropy - low) / (high - low)
    return np.where(scaled > np.float32(threshold), np.uint8(uncertain), class_map)
