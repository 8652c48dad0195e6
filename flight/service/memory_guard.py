"""Checks after every frame that the worker's memory has not changed: finds an upset before the answer is handed over.

Most of a worker's writable memory does not change any more once it is warm: weights, as in the files and as packed for
the kernels, banks of dropout masks, the interpreters' structures, what libraries have set up. Which pages these are is
declared nowhere, but can be observed: they stay the same over a few frames. The guard keeps two checksums of each: the
exclusive or of its words, in which a flipped bit anywhere in the page flips one bit, and their sum.

A page may still change for a good reason, and after a thousand frames. Whoever writes a page leaves a difference of
many bits, or one that the sum does not confirm; an upset flips one bit, or two. Where the two cannot be told apart the
caller has to find out: it may have been a counter. Pages of Python objects are not guarded: each has such a counter.
"""

from __future__ import annotations

import builtins
import ctypes
import os
import time
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PAGE = os.sysconf("SC_PAGE_SIZE")
_WORDS = _PAGE // 8
# Read at a time: as much as stays in a core's own cache until its words are combined.
_BLOCK_PAGES = max((256 << 10) // _PAGE, 1)
# A particle flips one bit, or two neighbours.
_UPSET_BITS = 2
# Python's allocator keeps small objects in pools of so many bytes (POOL_SIZE of Objects/obmalloc.c).
_POOL = np.uint64(max(16 << 10, _PAGE))
# Every object holds the address of its type, after its reference count. Built-in types are near each other.
_TYPES = np.sort(
    np.array(
        [id(each) for module in (builtins, types) for each in vars(module).values() if isinstance(each, type)],
        dtype=np.uint64,
    )
)
_ALL_BITS = np.iinfo(np.uint64).max
_PRESENT = np.uint64(1 << 63)  # of an entry of /proc/PID/pagemap


class _Stretch(ctypes.Structure):
    """struct iovec of the C library."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


@dataclass(frozen=True)
class _Block:
    """Pages that are read together. pages: where they are among all pages. stretches: array of _Stretch."""

    pages: slice
    stretches: Any


@dataclass(frozen=True)
class Findings:
    """What one check found.

    Attributes:
        upsets: pages of constants that differ.
        doubtful: other pages in which one bit or two have flipped, by an upset or for a good reason.
    """

    upsets: int
    doubtful: int


class MemoryGuard:
    """Guards the pages of this process that stay the same.

    Construct it when all is loaded and warm, call `learn` after each of a few frames, then `check` after every frame.

    Args:
        constants: arrays that never change, in which every difference is an upset.

    Raises:
        OSError: the system does not let the process look at its own pages.
    """

    def __init__(self, constants: Sequence[NDArray[Any]] = ()) -> None:
        self._read_process = _find_read_process()
        self._pid = os.getpid()
        self._constants = [(array.ctypes.data, array.ctypes.data + array.nbytes) for array in constants]
        self._buffer: NDArray[np.uint64] = np.zeros((_BLOCK_PAGES, _WORDS), dtype=np.uint64)
        self._addresses: NDArray[np.uint64]
        self._checksums: NDArray[np.uint64]
        self._sums: NDArray[np.uint64]
        # All bits of a page that is guarded, none of another.
        self._guarded: NDArray[np.uint64]
        self._constant: NDArray[np.bool_]
        self._next: int
        self._watch(find_writable_pages())
        with_objects = np.concatenate([_find_object_pages(self._read(block)) for block in self._blocks])
        pools = self._addresses // _POOL
        self._watch(self._addresses[~np.isin(pools, pools[with_objects])])
        self._checksums = np.concatenate([self._checksum(block) for block in self._blocks])
        self._sums = np.concatenate([self._read(block).sum(axis=1) for block in self._blocks])

    @property
    def guarded_bytes(self) -> int:
        """Memory that is guarded, bytes."""
        return int(np.count_nonzero(self._guarded)) * _PAGE

    def learn(self) -> None:
        """Stop guarding the pages that have changed since construction."""
        same = np.concatenate([self._find_differences(block) == 0 for block in self._blocks]) & (self._guarded != 0)
        self._checksums, self._sums = self._checksums[same], self._sums[same]
        self._watch(self._addresses[same])

    def check(self, limit_s: float) -> Findings:
        """Compare the pages with what they were, and stop guarding those that differ.

        A check that the limit ends goes on there the next time.

        Args:
            limit_s: time after which to end, seconds.
        """
        began = time.perf_counter()
        upsets, doubtful = 0, 0
        for _ in range(len(self._blocks)):
            block = self._blocks[self._next]
            self._next = (self._next + 1) % len(self._blocks)
            differences = self._find_differences(block)
            for place in np.flatnonzero(differences):
                page = block.pages.start + int(place)
                self._guarded[page] = 0
                if self._constant[page]:
                    upsets += 1
                elif self._looks_flipped(page, int(differences[place])):
                    doubtful += 1
            if time.perf_counter() - began >= limit_s:
                break
        return Findings(upsets, doubtful)

    def _watch(self, addresses: NDArray[np.uint64]) -> None:
        self._addresses = addresses
        self._blocks = _make_blocks(addresses, _BLOCK_PAGES)
        self._next = 0
        self._guarded = np.full(len(addresses), _ALL_BITS, dtype=np.uint64)
        self._constant = np.zeros(len(addresses), dtype=np.bool_)
        for begin, end in self._constants:
            self._constant |= (addresses >= begin) & (addresses + np.uint64(_PAGE) <= end)

    def _find_differences(self, block: _Block) -> NDArray[np.uint64]:
        """The bits of a block's checksums that are not what they were, of pages that are guarded."""
        changed = self._checksum(block) ^ self._checksums[block.pages]
        return np.bitwise_and(changed, self._guarded[block.pages])

    def _looks_flipped(self, page: int, difference: int) -> bool:
        """Whether a page differs by as few bits as an upset flips, by nothing else, and has no reference counts.

        A bit that flips adds its value to the sum of the page's words, or takes it away. Whoever writes the page leaves
        another sum, even where the exclusive or happens to differ in few bits.

        Args:
            page: which of the pages.
            difference: of its exclusive or.
        """
        if difference.bit_count() > _UPSET_BITS:
            return False
        changes = {0}
        for value in (1 << bit for bit in range(64) if difference >> bit & 1):
            changes = {change + sign * value for change in changes for sign in (-1, 1)}
        content = self._read(_make_blocks(self._addresses[page : page + 1], 1, page)[0])
        if _find_object_pages(content)[0]:
            return False
        return (int(content.sum()) - int(self._sums[page])) % 2**64 in {change % 2**64 for change in changes}

    def _checksum(self, block: _Block) -> NDArray[np.uint64]:
        """The exclusive or of the words of each page of a block."""
        checksums: NDArray[np.uint64] = np.bitwise_xor.reduce(self._read(block), axis=1)
        return checksums

    def _read(self, block: _Block) -> NDArray[np.uint64]:
        """Read the pages of a block.

        The system copies them: where a library has given memory back that is an error, not a crash.

        Returns:
            (pages, words) uint64, valid until the next call; a page that is gone has all bits of its first word set.
        """
        addresses = self._addresses[block.pages]
        content = self._buffer[: len(addresses)]
        if not self._copy(block.stretches, content):
            for page, alone in enumerate(_make_blocks(addresses, 1)):
                if not self._copy(alone.stretches, content[page]):
                    content[page] = 0
                    content[page, 0] = _ALL_BITS
        return content

    def _copy(self, stretches: Any, content: NDArray[np.uint64]) -> bool:
        """Copy stretches of memory into an array. Returns whether all could be read."""
        local = _Stretch(content.ctypes.data, content.nbytes)
        count = self._read_process(self._pid, ctypes.byref(local), 1, ctypes.byref(stretches), len(stretches), 0)
        return bool(count == content.nbytes)


def find_writable_pages() -> NDArray[np.uint64]:
    """Find this process's own writable pages that are in memory; not those that are shared, such as a device's.

    Returns:
        (N,) uint64 addresses, ascending.

    Raises:
        OSError: the system does not tell.
    """
    found = []
    with Path("/proc/self/pagemap").open("rb", buffering=0) as pagemap:
        for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            span, permissions = line.split(maxsplit=2)[:2]
            if not (permissions.startswith("rw") and permissions.endswith("p")):
                continue
            begin, end = (int(side, 16) for side in span.split("-"))
            pagemap.seek(8 * (begin // _PAGE))
            entries = np.frombuffer(pagemap.read(8 * ((end - begin) // _PAGE)), dtype=np.uint64)
            present = np.flatnonzero(entries & _PRESENT).astype(np.uint64)
            found.append(np.uint64(begin) + present * np.uint64(_PAGE))
    return np.concatenate(found)


def _find_read_process() -> Any:
    """The C library's process_vm_readv. Raises OSError."""
    stretches = (ctypes.c_void_p, ctypes.c_ulong)
    kind = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_int, *stretches, *stretches, ctypes.c_ulong)
    try:
        read_process = kind(("process_vm_readv", ctypes.CDLL(None)))
    except AttributeError as error:
        raise OSError("process_vm_readv: not in this C library") from error
    byte = (ctypes.c_ubyte * 1)()
    own = ctypes.byref(_Stretch(ctypes.addressof(byte), 1))
    if read_process(os.getpid(), own, 1, own, 1, 0) != 1:
        raise OSError("process_vm_readv: not allowed")
    return read_process


def _find_object_pages(content: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which pages, one a row, hold Python objects of built-in types."""
    near = (content - _TYPES[0]) <= _TYPES[-1] - _TYPES[0]
    values = content[near]
    pages = np.nonzero(near)[0][_TYPES[np.searchsorted(_TYPES, values)] == values]
    found = np.zeros(len(content), dtype=np.bool_)
    found[pages] = True
    return found


def _make_blocks(addresses: NDArray[np.uint64], size: int, first_page: int = 0) -> list[_Block]:
    """Group pages by so many, and each group into stretches of neighbouring pages. first_page: number of the first."""
    blocks = []
    for first in range(0, len(addresses), size):
        group = addresses[first : first + size]
        pages = slice(first_page + first, first_page + first + len(group))
        runs = np.split(group, np.flatnonzero(np.diff(group) != _PAGE) + 1)
        stretches = (_Stretch * len(runs))(*(_Stretch(int(run[0]), len(run) * _PAGE) for run in runs))
        blocks.append(_Block(pages, stretches))
    return blocks
