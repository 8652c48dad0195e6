"""Dropout masks from pools that are drawn once.

Drawing the 7.3 million Bernoulli values of one pass afresh would cost more than the pass. A pool of twice the
largest mask is drawn at start; a mask is a stretch of it at an offset that the frame's seed decides. Two
masks of different offsets share bits, but at unrelated places of the network.

Only PCG64's raw output is used, whose stream NumPy guarantees: the same seed gives the same masks on every
version and machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_POOL_SEED = 0x5242_4C4D  # "RBLM"; one constant for all pools: products are reproducible from the frame's seed


def draw_pool(length: int, keep_probability: float, kept: Any, dropped: Any, dtype: Any) -> NDArray[Any]:
    """A pool of `length` values of `dtype`: `kept` with the given probability, else `dropped`."""
    words = np.random.PCG64(_POOL_SEED).random_raw(-(-length // 4))
    draws = np.asarray(words, dtype="<u8").view("<u2")[:length]
    return np.where(draws < round(keep_probability * 65536), dtype.type(kept), dtype.type(dropped)).astype(dtype)


def draw_offsets(seed: int, network: int, passes: int, lengths: list[int], sizes: list[int]) -> NDArray[np.int64]:
    """First element in the pool for every mask of every pass.

    seed: the frame's. network: index of the network, so that networks get different masks. lengths, sizes: of
    each mask's pool and of the mask. Returns (passes, masks) int64.
    """
    raw = np.random.PCG64(np.random.SeedSequence([seed, network])).random_raw((passes, len(sizes)))
    room = np.asarray(lengths, dtype=np.uint64) - np.asarray(sizes, dtype=np.uint64) + np.uint64(1)
    return (np.asarray(raw, dtype=np.uint64) % room).astype(np.int64)
