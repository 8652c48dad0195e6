"""Fusion of networks: the UNetH rule of the reference paper, as a table of weights."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from flight.bundle import FusionRule


def fusion_weights(rule: FusionRule, roles: list[str], gamma: float) -> NDArray[np.float32]:
    """Weights (K, N) float32 of each network's raw score in each class's fused score.

    A class is taken from one network, or mixed: l = log10(gamma) l_first + (1 - log10(gamma)) l_second, gamma
    in [1, 10]: gamma = 10 is the first network alone, gamma = 1 the second.
    """
    weights = np.zeros((len(rule.classes), len(roles)), dtype=np.float32)
    share = math.log10(gamma)
    for index, (first, second) in enumerate(rule.classes):
        if second is None:
            weights[index, roles.index(first)] = 1.0
        else:
            weights[index, roles.index(first)] += share
            weights[index, roles.index(second)] += 1.0 - share
    return weights


def fuse(scores: list[NDArray[np.float32]], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fused raw scores. scores: per network (K, H, W) float32. Returns (K, H, W) float32."""
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
