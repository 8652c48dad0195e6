"""Dropout masks, balanced over the passes and cut from a bank that is drawn once.

Independent masks drop a unit in a random number of P passes, and that number's noise is in the mean over the passes.
Here each unit is dropped in exactly P (1 - q) of them, q being its keep probability: in the integer below or above
where that is none, by chance so that it is right on average. Which passes these are is a random choice for each unit,
so that one pass has the distribution that it always had: independent Bernoulli values. Passes through different
orientations of the image see a unit at different places, where its noise does not cancel; so each orientation's passes
are balanced, too.

Stopping early leaves the mean unbiased, because every single pass has the right distribution, whenever it comes.

Drawing the 7.3 million values of one pass afresh would take longer than the pass. So a bank is drawn when the number
of passes changes: a row per pass, a column per unit, each column balanced by itself. A mask is put together from
blocks. For each block the frame's seed decides which columns it takes, and which row stands for which pass.

Only the raw output of PCG64 and integer arithmetic are used, which NumPy guarantees not to change: the same seed gives
the same masks with every NumPy version and on every machine.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.inference.checksums import ArrayChecksum, UpsetError

_BANK_SEED = 0x5242_4C4D  # "RBLM"; the same for all banks: a product depends on the frame's seed only
# So many values of one row are copied at once. Twice as many columns keep two blocks from being the same.
_LARGEST_BLOCK = 32768
_ONE = np.uint64(1 << 32)


@dataclass(frozen=True)
class MaskTensor:
    """What the masks of one input of a network look like.

    Attributes:
        size: number of units.
        keep_probability: probability that a unit is kept, in steps of 2^-32.
        kept: value of a unit that is kept, of the tensor's dtype.
        dropped: value of a unit that is dropped.
        dtype: NumPy dtype of the tensor.
    """

    size: int
    keep_probability: float
    kept: float
    dropped: float
    dtype: np.dtype[Any]

    @property
    def values(self) -> tuple[float, float, float, np.dtype[Any]]:
        """All but the size: masks that have these in common share a bank."""
        return self.keep_probability, self.kept, self.dropped, self.dtype


def draw_dropped(columns: int, keep_probability: float, passes: int, cycle: int) -> NDArray[np.bool_]:
    """Draw in which passes each of so many units is dropped, balanced over the passes and over each orientation's.

    Orientation o has the passes o, o + cycle, o + 2 cycle, ... With a = 1 - q, a uniform t in [0, 1) and N_o passes of
    the orientations 0 to o, a unit is dropped in floor(a N_o + t) - floor(a N_(o-1) + t) passes of orientation o
    (systematic sampling): the integer below or above a times their number, and so for all P. Which of them these are
    is drawn one by one: with r drops left for m passes, the next is one of them with probability r / m (Knuth, The Art
    of Computer Programming, vol. 2, 3.4.2, algorithm S), so that all choices are equally probable.

    Args:
        columns: number of units.
        keep_probability: q.
        passes: P.
        cycle: number of orientations that the passes take in turn.

    Returns:
        (P, columns) bool, the same at every call.
    """
    share = np.uint64(round((1.0 - keep_probability) * (1 << 32)))
    generator = np.random.PCG64(_BANK_SEED)

    def draw() -> NDArray[np.uint64]:
        words = np.asarray(generator.random_raw(-(-columns // 2)), dtype="<u8")
        return words.view("<u4")[:columns].astype(np.uint64)

    dropped = np.empty((passes, columns), dtype=np.bool_)
    phase, counted = draw(), 0
    for orientation in range(cycle):
        numbers = range(orientation, passes, cycle)
        before = (share * np.uint64(counted) + phase) >> np.uint64(32)
        counted += len(numbers)
        left = ((share * np.uint64(counted) + phase) >> np.uint64(32)) - before
        for place, number in enumerate(numbers):
            dropped[number] = draw() * np.uint64(len(numbers) - place) < left * _ONE
            left -= dropped[number]
    return dropped


class Masks:
    """The masks of one network, for the passes of one frame after the other.

    Args:
        tensors: of the network's mask inputs.
        network: index of the network, so that networks get different masks.
    """

    def __init__(self, tensors: Sequence[MaskTensor], network: int) -> None:
        self._tensors = tuple(tensors)
        self._network = network
        largest = max((tensor.size for tensor in self._tensors), default=0)
        self._block = min(max(largest, 1), _LARGEST_BLOCK)
        self._drawn_for = (0, 0)
        self._banks: dict[Any, NDArray[Any]] = {}
        self._checksum = ArrayChecksum([], "dropout masks")
        # Per tensor: the first column of each block, and the row of each block for each pass.
        self._starts: list[NDArray[np.int64]] = []
        self._rows: list[NDArray[np.int64]] = []

    @property
    def frame_arrays(self) -> list[NDArray[Any]]:
        """Arrays that do not change from one `begin` to the next, besides the banks: see `check`."""
        return [*self._starts, *self._rows]

    @property
    def banks(self) -> list[NDArray[Any]]:
        """The banks of the last `begin`, (passes, columns) each."""
        return list(self._banks.values())

    def begin(self, seed: int, passes: int, cycle: int = 1) -> None:
        """Draw how the masks of a frame are put together.

        Args:
            seed: of the frame, 0..2^64-1.
            passes: how many will be run at most.
            cycle: number of orientations that the passes take in turn.
        """
        if not self._tensors:
            return
        cycle = min(cycle, passes)
        if self._drawn_for != (passes, cycle):
            self._draw_banks(passes, cycle)
        generator = np.random.PCG64(np.random.SeedSequence([seed, self._network]))
        self._starts, self._rows = [], []
        for tensor in self._tensors:
            blocks = -(-tensor.size // self._block)
            raw = np.asarray(generator.random_raw((blocks, passes + 1)), dtype=np.uint64)
            self._starts.append((raw[:, passes] % np.uint64(self._block + 1)).astype(np.int64))
            rows = np.empty((blocks, passes), dtype=np.int64)
            for orientation in range(cycle):
                # A random permutation of the orientation's passes, in each block.
                order = raw[:, orientation:passes:cycle].argsort(axis=1, kind="stable")
                rows[:, orientation::cycle] = orientation + cycle * order
            self._rows.append(rows)

    def fill(self, index: int, number: int, out: NDArray[Any]) -> None:
        """Write one mask of one pass.

        Args:
            index: of the tensor.
            number: of the pass, 0..passes-1.
            out: (size,) array of the tensor's dtype, overwritten.
        """
        tensor = self._tensors[index]
        bank, block = self._banks[tensor.values], self._block
        starts, rows = self._starts[index].tolist(), self._rows[index][:, number].tolist()
        for place, (start, row) in enumerate(zip(starts, rows, strict=True)):
            part = out[place * block : (place + 1) * block]
            part[:] = bank[row, start : start + len(part)]

    def check(self) -> None:
        """Check that the banks are as they were drawn; if not, they are drawn again for the next frame.

        Raises:
            UpsetError: a bank has changed.
        """
        try:
            self._checksum.check()
        except UpsetError:
            self._drawn_for = (0, 0)
            raise

    def checksum(self, checksum: int) -> int:
        """CRC-32 over the banks, of which a frame uses only parts.

        Args:
            checksum: CRC-32 of what comes before them; 0 to start.
        """
        for bank in self._banks.values():
            checksum = zlib.crc32(bank.data, checksum)
        return checksum

    def _draw_banks(self, passes: int, cycle: int) -> None:
        columns = 2 * self._block
        dropped = {
            q: draw_dropped(columns, q, passes, cycle) for q in {tensor.keep_probability for tensor in self._tensors}
        }
        # Not twice what is kept in memory.
        self._banks = {}
        for tensor in self._tensors:
            if tensor.values not in self._banks:
                kept, none = tensor.dtype.type(tensor.kept), tensor.dtype.type(tensor.dropped)
                self._banks[tensor.values] = np.where(dropped[tensor.keep_probability], none, kept)
        self._drawn_for = (passes, cycle)
        self._checksum = ArrayChecksum(self.banks, "dropout masks")
