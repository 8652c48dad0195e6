"""From the passes' scores to mean probability, entropies and the maps; entropies in nats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Accumulator:
    """Running sums over the passes, so that the number of passes costs no memory."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._probability = np.zeros(shape, dtype=np.float32)
        self._entropy = np.zeros(shape[1:], dtype=np.float32)
        self.passes = 0

    def add(self, scores: NDArray[np.float32]) -> None:
        """Add one pass. scores: raw, (K, H, W) float32; overwritten."""
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

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Mean probability (K, H, W), predictive entropy (H, W), mutual information (H, W); float32.

        Predictive entropy: H = - sum_i pbar_i log pbar_i of the mean probability. Mutual information: H less
        the mean of the passes' entropies (Gal, Islam & Ghahramani 2017), never below 0.
        """
        mean = self._probability / np.float32(self.passes)
        predictive = predictive_entropy(mean)
        mutual = np.maximum(predictive - self._entropy / np.float32(self.passes), np.float32(0.0))
        return mean, predictive, mutual


def predictive_entropy(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """- sum_i p_i log p_i over the first axis, nats. probability: (K, H, W) float32."""
    logarithms = np.log(np.maximum(probability, np.float32(1e-12)))
    entropy: NDArray[np.float32] = -(probability * logarithms).sum(axis=0)
    return np.maximum(entropy, np.float32(0.0))


def mark_uncertain(
    class_map: NDArray[np.uint8], entropy: NDArray[np.float32], threshold: float, uncertain: int
) -> NDArray[np.uint8]:
    """The class map with uncertain pixels marked.

    A pixel is uncertain where the entropy, scaled between the image's own minimum and maximum, exceeds the
    threshold in [0, 1]. uncertain: the index that marks it, one past the last class. An image of one entropy
    everywhere has none.
    """
    low, high = entropy.min(), entropy.max()
    if not high > low:
        return class_map.copy()
    scaled = (entropy - low) / (high - low)
    return np.where(scaled > np.float32(threshold), np.uint8(uncertain), class_map)
