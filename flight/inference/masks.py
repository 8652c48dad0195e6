"""Dropout masks, cut from pools that are drawn once.

Drawing the 7.3 million Bernoulli values of one pass would take longer than the pass. So a pool of twice the size of
the largest mask is drawn when a network is loaded, and a mask is a slice of the pool at an offset that follows from
the frame's seed. Two masks with different offsets share values, but at unrelated places of the network.

Only the raw output of PCG64 is used, which NumPy guarantees not to change: the same seed gives the same masks with
every NumPy version and on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_POOL_SEED = 0x5242_4C4D  # "RBLM"; the same for all pools: a product depends on the frame's seed only


def draw_pool(length: int, keep_probability: float, kept: Any, dropped: Any, dtype: Any) -> NDArray[Any]:
    """Draw a pool of independent Bernoulli values.

    Args:
        length: number of values.
        keep_probability: probability of `kept`, in steps of 2^-16.
        kept: value of a unit that is kept.
        dropped: value of a unit that is dropped.
        dtype: NumPy dtype of the pool.

    Returns:
        (length,) array of `dtype`, the same at every call.
    """
    words = np.random.PCG64(_POOL_SEED).random_raw(-(-length // 4))
    draws = np.asarray(words, dtype="<u8").view("<u2")[:length]
    return np.where(draws < round(keep_probability * 65536), dtype.type(kept), dtype.type(dropped)).astype(dtype)


def draw_offsets(seed: int, network: int, passes: int, lengths: list[int], sizes: list[int]) -> NDArray[np.int64]:
    """Draw where in its pool each mask of each pass starts.

    Args:
        seed: of the frame, 0..2^64-1.
        network: index of the network, so that networks get different masks.
        passes: number of passes.
        lengths: values in the pool, per mask.
        sizes: values in the mask, per mask.

    Returns:
        (passes, masks) int64 offsets.
    """
    raw = np.random.PCG64(np.random.SeedSequence([seed, network])).random_raw((passes, len(sizes)))
    positions = np.asarray(lengths, dtype=np.uint64) - np.asarray(sizes, dtype=np.uint64) + np.uint64(1)
    return (np.asarray(raw, dtype=np.uint64) % positions).astype(np.int64)
