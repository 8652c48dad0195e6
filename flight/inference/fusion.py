"""Fusion of the networks' scores: the UNetH rule of Pugliatti & Maestrini, as a table of weights."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from flight.bundle import FusionRule


def fusion_weights(rule: FusionRule, names: list[str], gamma: float) -> NDArray[np.float32]:
    """Weight of each network's raw score in each class's fused score.

    A class is taken from one network, or mixed from two (UNetH in Pugliatti & Maestrini):
    l = log10(gamma) l_first + (1 - log10(gamma)) l_second. gamma = 10 is the first network alone, gamma = 1 the second.

    Args:
        rule: the bundle's fusion rule for K classes.
        names: names of the N networks, in the order of their scores.
        gamma: in [1, 10].

    Returns:
        (K, N) float32; each row sums to 1.
    """
    weights = np.zeros((len(rule.classes), len(names)), dtype=np.float32)
    share = math.log10(gamma)
    for index, (first, second) in enumerate(rule.classes):
        if second is None:
            weights[index, names.index(first)] = 1.0
        else:
            weights[index, names.index(first)] += share
            weights[index, names.index(second)] += 1.0 - share
    return weights


def fuse(scores: list[NDArray[np.float32]], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fuse the networks' raw scores: sum over the networks n of weights[k, n] scores[n][k], for each class k.

    Args:
        scores: one (K, H, W) float32 array per network.
        weights: (K, N) float32, see fusion_weights.

    Returns:
        (K, H, W) float32; with one network, its own array.
    """
    if len(scores) == 1:
        return scores[0]
    fused = np.empty_like(scores[0])
    for index, row in enumerate(weights):
        used = np.flatnonzero(row)
        if len(used) == 1 and row[used[0]] == 1.0:
            fused[index] = scores[used[0]][index]
        else:
            fused[index] = sum(row[n] * scores[n][index] for n in used)
    return fused
