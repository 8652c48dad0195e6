"""A network's linear end: convolutions with dropout masks between them, folded into one, and the moments of its scores.

With features x, z_1 = C_1 x + b_1, z_(i+1) = C_(i+1) (m_i z_i) + b_(i+1) and scores y the last of them, where the masks
m_i are independent with mean 1 and variance d_i = (1 - q_i) / q_i. See docs/posterior.md for the derivation.

Each convolution sees zeros beyond the border, so that near it the fold is another one than inside: each pixel whose
distance to a border is less than the reach of the convolutions after the first has a kernel of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LinearHead:
    """The convolutions of a network's linear end, first to last.

    kernels: (out, 2 r + 1, 2 r + 1, in) float64 each. biases: (out,). keep: the keep probability of the mask behind
    each convolution but the last.
    """

    kernels: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    keep: tuple[float, ...]

    @property
    def margin(self) -> int:
        """Pixels nearer than this to a border have a fold of their own: the reach of all convolutions but the first."""
        return sum(kernel.shape[1] // 2 for kernel in self.kernels[1:])

    @property
    def radius(self) -> int:
        """The fold of a pixel reaches so far."""
        return sum(kernel.shape[1] // 2 for kernel in self.kernels)


def fold(head: LinearHead, rows: int, columns: int, row: int, column: int) -> tuple[np.ndarray, np.ndarray]:
    """The scores of one pixel as a linear function of an image of features without dropout.

    Args:
        head: the convolutions.
        rows, columns: of the image.
        row, column: of the pixel.

    Returns:
        Weights (K, rows, columns, C) float64 of the features and bias (K,).
    """
    classes = len(head.biases[-1])
    weights = np.zeros((classes, rows, columns, classes))
    weights[:, row, column] = np.eye(classes)
    bias = np.zeros(classes)
    for kernel, constant in zip(reversed(head.kernels), reversed(head.biases), strict=True):
        bias += weights.sum(axis=(1, 2)) @ constant
        weights = _pull_back(weights, kernel)
    return weights, bias


def _pull_back(weights: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Weights of a convolution's output -> weights of its input; beyond the border there is nothing.

    weights: (K, H, W, out). kernel: (out, 2 r + 1, 2 r + 1, in). Returns (K, H, W, in).
    """
    _, rows, columns, _ = weights.shape
    radius = kernel.shape[1] // 2
    result = np.zeros((*weights.shape[:3], kernel.shape[3]))
    for i in range(kernel.shape[1]):
        for j in range(kernel.shape[2]):
            down, right = i - radius, j - radius
            to = (slice(max(down, 0), rows + min(down, 0)), slice(max(right, 0), columns + min(right, 0)))
            of = (slice(max(-down, 0), rows + min(-down, 0)), slice(max(-right, 0), columns + min(-right, 0)))
            result[(slice(None), *to)] += weights[(slice(None), *of)] @ kernel[:, i, j]
    return result


def pairs(classes: int) -> list[tuple[int, int]]:
    """The entries of a covariance's lower triangle, in the order in which they are stored."""
    return [(k, other) for k in range(classes) for other in range(k + 1)]


def covariance_kernels(head: LinearHead) -> list[np.ndarray]:
    """Per mask, the kernel by which the squared means of what it multiplies become the scores' covariance.

    Cov(y_k, y_l) = sum over the masks i of d_i F_ik F_il * E[z_i^2], with F_i the fold of the convolutions behind mask
    i and products of kernels element by element. E[z_i^2] = E[z_i]^2 + Var z_i, and Var z_i = sum over the masks j
    before of d_j F_(j to i)^2 * E[z_j^2] is linear in squares, too. Put in from the last mask to the first, that leaves
    Cov(y_k, y_l) = sum over i of A_i,kl * E[z_i]^2.

    Returns:
        The A_i, (K (K + 1) / 2, rows, columns, C) float64, exact but for borders.
    """
    noise = [(1.0 - keep) / keep for keep in head.keep]
    kernels = []
    for mask in range(len(noise)):
        after = _compose(head.kernels[mask + 1 :])
        kernels.append(noise[mask] * np.stack([after[k] * after[other] for k, other in pairs(len(after))]))
    for mask in reversed(range(len(noise))):
        for before in range(mask):
            passed_on = noise[before] * _compose(head.kernels[before + 1 : mask + 1]) ** 2
            # Both reach as far as all convolutions behind the earlier mask.
            kernels[before] += _convolve(kernels[mask], passed_on)
    return kernels


def _compose(kernels: Sequence[np.ndarray]) -> np.ndarray:
    """One kernel (out, rows, columns, in) for convolutions one after the other, inside."""
    result = kernels[-1]
    for kernel in list(kernels)[-2::-1]:
        result = _convolve(result, kernel)
    return result


def _convolve(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The kernel of `inner` followed by `outer`."""
    size = outer.shape[1] + inner.shape[1] - 1
    result = np.zeros((len(outer), size, size, inner.shape[3]))
    for i in range(outer.shape[1]):
        for j in range(outer.shape[2]):
            part = np.tensordot(outer[:, i, j], inner, axes=1)
            result[:, i : i + inner.shape[1], j : j + inner.shape[2]] += part
    return result
