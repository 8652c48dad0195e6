"""The noise that dropout in a network's head adds to its scores: draws of a normal distribution of known covariance.

With several networks the fused score of class k is sum over the networks n of w_kn y_n,k. Their noises are independent,
so that the fused covariance is sum over n of w_kn w_ln Cov_n(k, l), and one draw serves for all networks.

Drawing normal numbers afresh would take as long as the passes. So a pool is drawn once, and a plane of numbers is a
stretch of it at an offset that follows from the frame's seed. The entropy of a pixel needs its own scores' distribution
only: that pixels far apart share numbers in different draws changes nothing.

Draws come in pairs of e and -e, which have the same distribution: what is linear in the noise cancels in their mean
(antithetic variates).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_POOL_SEED = 0x4E4F_4953  # "NOIS"; the same for all bundles: a product depends on the frame's seed only
_OFFSET_SEED = 0x4845_4144  # "HEAD": other offsets than those of the masks
_POOL_LENGTH = 1 << 19


def draw_normals(length: int) -> NDArray[np.float32]:
    """Draw standard normal numbers from PCG64's raw output, which NumPy guarantees not to change.

    By Box and Muller (1958): sqrt(-2 ln u) cos(2 pi v), rounded to steps of 2^-10, so that the last bits of a machine's
    logarithm do not matter.

    Args:
        length: how many.

    Returns:
        (length,) float32, the same at every call.
    """
    raw = np.asarray(np.random.PCG64(_POOL_SEED).random_raw((2, length)), dtype=np.uint64) >> np.uint64(11)
    u, v = (raw.astype(np.float64) + 0.5) * 2.0**-53
    normals = np.sqrt(-2.0 * np.log(u)) * np.cos(2.0 * np.pi * v)
    rounded: NDArray[np.float32] = (np.rint(normals * 1024.0) / 1024.0).astype(np.float32)
    return rounded


def factorize(covariance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cholesky factors of many small matrices at once, L with L L^T the covariance.

    A variance that is left of nothing but rounding, at or below 0, counts as 0.

    Args:
        covariance: (K (K + 1) / 2, h, w) float32, lower triangles row by row.

    Returns:
        Of the same shape.
    """
    # Of K (K + 1) / 2 entries.
    classes = math.isqrt(2 * len(covariance))
    factor = np.zeros_like(covariance)
    for k in range(classes):
        for other in range(k + 1):
            left = covariance[_place(k, other)].copy()
            for m in range(other):
                left -= factor[_place(k, m)] * factor[_place(other, m)]
            if k == other:
                np.sqrt(np.maximum(left, 0.0), out=factor[_place(k, k)])
            else:
                pivot = factor[_place(other, other)]
                np.divide(left, pivot, out=factor[_place(k, other)], where=pivot > 1e-6)
    return factor


def fuse_covariances(covariances: list[NDArray[np.float32]], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The covariance of fused scores.

    Args:
        covariances: one (K (K + 1) / 2, h, w) float32 per network.
        weights: (K, N) float32, see fusion.fusion_weights.

    Returns:
        (K (K + 1) / 2, h, w) float32.
    """
    fused = np.zeros_like(covariances[0])
    for k in range(len(weights)):
        for other in range(k + 1):
            for covariance, of_network in zip(covariances, weights.T, strict=True):
                share = of_network[k] * of_network[other]
                if share != 0.0:
                    fused[_place(k, other)] += share * covariance[_place(k, other)]
    return fused


def enlarge(planes: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Interpolate linearly between pixels that are some rows and columns apart; beyond the last it stays the same.

    Args:
        planes: (T, h, w) float32, of the pixels whose row is a multiple of height / h, and so the columns.
        height: a multiple of h.
        width: a multiple of w.

    Returns:
        (T, height, width) float32.
    """
    for axis, size in ((1, height), (2, width)):
        step = size // planes.shape[axis]
        if step == 1:
            continue
        following = np.concatenate([planes.take(range(1, planes.shape[axis]), axis), planes.take([-1], axis)], axis)
        shape = list(planes.shape)
        shape[axis] = size
        larger = np.empty(shape, dtype=np.float32)
        for phase in range(step):
            share = np.float32(phase / step)
            to = [slice(None)] * 3
            to[axis] = slice(phase, None, step)
            larger[tuple(to)] = (np.float32(1.0) - share) * planes + share * following
        planes = larger
    return planes


class HeadNoise:
    """Draws of the head's noise for the frames of one map size.

    Args:
        shape: (K, H, W) of the scores.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._shape = shape
        self._normals = draw_normals(_POOL_LENGTH + shape[1] * shape[2])
        self._factor: NDArray[np.float32] = np.zeros((0, *shape[1:]), dtype=np.float32)
        self._noise = np.empty(shape, dtype=np.float32)
        self._term = np.empty(shape[1:], dtype=np.float32)
        self._offsets: NDArray[np.int64] = np.zeros((0, 0, shape[0]), dtype=np.int64)

    @property
    def constants(self) -> list[NDArray[Any]]:
        """Arrays that never change."""
        return [self._normals]

    @property
    def frame_arrays(self) -> list[NDArray[Any]]:
        """Arrays that do not change from one `begin` to the next."""
        return [self._factor, self._offsets]

    def begin(
        self,
        covariances: list[NDArray[np.float32]],
        weights: NDArray[np.float32],
        seed: int,
        passes: int,
        samples: int,
    ) -> None:
        """Set the covariance and draw the offsets of a frame.

        Args:
            covariances: of each network, see ClosedFormNetwork.find_covariance.
            weights: (K, N) float32, see fusion.fusion_weights.
            seed: of the frame, 0..2^64-1.
            passes: how many will be run.
            samples: draws per pass.
        """
        classes, height, width = self._shape
        self._factor = enlarge(factorize(fuse_covariances(covariances, weights)), height, width)
        count = (passes, -(-samples // 2), classes)
        raw = np.random.PCG64(np.random.SeedSequence([seed, _OFFSET_SEED])).random_raw(count)
        self._offsets = (np.asarray(raw, dtype=np.uint64) % np.uint64(_POOL_LENGTH + 1)).astype(np.int64)

    def draw(self, number: int, pair: int) -> NDArray[np.float32]:
        """One draw of the noise of one pass; its negative is another.

        Args:
            number: of the pass, 0..passes-1.
            pair: 0..ceil(samples / 2)-1.

        Returns:
            (K, H, W) float32, overwritten by the next draw.
        """
        classes, height, width = self._shape
        starts = self._offsets[number, pair].tolist()
        numbers = [self._normals[s : s + height * width].reshape(height, width) for s in starts]
        noise, term = self._noise, self._term
        for k in range(classes):
            np.multiply(self._factor[_place(k, 0)], numbers[0], out=noise[k])
            for other in range(1, k + 1):
                np.multiply(self._factor[_place(k, other)], numbers[other], out=term)
                noise[k] += term
        return noise


def _place(k: int, other: int) -> int:
    """Where the entry (k, other) of a lower triangle is stored."""
    return k * (k + 1) // 2 + other
