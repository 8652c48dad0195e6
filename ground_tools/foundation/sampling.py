"""Which of many to take: evenly through them, or an even share of each kind."""

from __future__ import annotations

import numpy as np


def evenly(length: int, count: int) -> np.ndarray:
    """`count` indices evenly through `length`, so that each part of a set is seen; all for 0 or too many."""
    if not 0 < count < length:
        return np.arange(length)
    return np.linspace(0, length - 1, count).round().astype(int)


def even_share(bodies: np.ndarray, count: int) -> np.ndarray:
    """Places of `count` samples (0: of all) with an even share of every body, spread evenly over each body's samples.

    Bodies with fewer samples than their share give all they have, and the others more. bodies: N names. Returns sorted
    int64 places.
    """
    if count == 0 or count >= len(bodies):
        return np.arange(len(bodies))
    names, sizes = np.unique(bodies, return_counts=True)
    shares = np.zeros(len(names), dtype=np.int64)
    while (missing := count - int(shares.sum())) > 0:
        open_bodies = np.flatnonzero(shares < sizes)
        each, rest = divmod(missing, len(open_bodies))
        more = np.full(len(open_bodies), each)
        more[:rest] += 1
        shares[open_bodies] = np.minimum(shares[open_bodies] + more, sizes[open_bodies])
    places = [
        np.flatnonzero(bodies == name)[np.linspace(0, size - 1, share).round().astype(int)]
        for name, size, share in zip(names, sizes, shares, strict=True)
        if share
    ]
    return np.sort(np.concatenate(places)).astype(np.int64)


def draw_share(kinds: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A share of the samples of each kind, at least one, drawn at random.

    A larger share by the same seed has the samples of a smaller one among it. kinds: N names. Returns sorted places.
    """
    chosen = []
    for number, name in enumerate(np.unique(kinds)):
        places = np.random.default_rng([seed, number]).permutation(np.flatnonzero(kinds == name))
        chosen.append(places[: max(round(share * len(places)), 1)])
    return np.sort(np.concatenate(chosen))
