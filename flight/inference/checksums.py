"""Checksums over what a frame's passes use, so that an upset in it is found before the frame is answered."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


class UpsetError(RuntimeError):
    """Memory changed unexpectedly; the answer must not be used."""


class ArrayChecksum:
    """The checksum of arrays that are not to change.

    Args:
        arrays: contiguous arrays. Any one flipped bit in them is found.
        what: they are, for the error.
    """

    def __init__(self, arrays: list[NDArray[Any]], what: str) -> None:
        self._arrays = arrays
        self._what = what
        self._checksums = [_checksum(array) for array in arrays]

    def check(self) -> None:
        """Check that the arrays have not changed. Raises UpsetError."""
        for array, expected in zip(self._arrays, self._checksums, strict=True):
            if (found := _checksum(array)) != expected:
                raise UpsetError(f"{self._what}: expected checksum {expected:#x}, got {found:#x}")


def _checksum(array: NDArray[Any]) -> int:
    """The exclusive or of the words, which NumPy computes at the speed of memory; CRC-32 of what is left over."""
    content = array.reshape(-1).view(np.uint8)
    words = content[: len(content) // 8 * 8].view(np.uint64)
    return int(np.bitwise_xor.reduce(words)) ^ zlib.crc32(content[8 * len(words) :].data)
