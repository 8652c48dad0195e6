"""Bits flipped in another process's memory, as radiation does."""

from __future__ import annotations

import ctypes
import os
import random
import struct
from pathlib import Path
from typing import Any

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PRESENT_BIT = 63


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_LIBC = ctypes.CDLL(None, use_errno=True)


def _transfer(call: Any, pid: int, address: int, buffer: Any) -> None:
    local = _Vector(ctypes.addressof(buffer), ctypes.sizeof(buffer))
    remote = _Vector(address, ctypes.sizeof(buffer))
    done = call(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
    if done != ctypes.sizeof(buffer):
        raise OSError(ctypes.get_errno(), f"process memory at {address:#x}")


def flip_bit(pid: int, address: int, bit: int) -> None:
    """Flip one bit of another process's memory. Raises OSError."""
    byte = (ctypes.c_ubyte * 1)()
    _transfer(_LIBC.process_vm_readv, pid, address, byte)
    byte[0] ^= 1 << bit
    _transfer(_LIBC.process_vm_writev, pid, address, byte)


def writable_pages(pid: int) -> list[tuple[int, str]]:
    """The resident pages of all writable mappings: address, and what is mapped there.

    Not the pages that the guard finds for itself: those that it leaves out must be hit, too.
    """
    pages = []
    with Path(f"/proc/{pid}/pagemap").open("rb", buffering=0) as pagemap:
        for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            span, permissions, _, _, _, *named = line.split(maxsplit=5)
            what = Path(named[0]).name if named else "anonymous"
            if not permissions.startswith("rw"):
                continue
            start, end = (int(side, 16) for side in span.split("-"))
            count = (end - start) // PAGE_BYTES
            pagemap.seek(8 * (start // PAGE_BYTES))
            entries = pagemap.read(8 * count)
            for index, (entry,) in enumerate(struct.iter_unpack("<Q", entries)):
                if entry >> _PRESENT_BIT:
                    pages.append((start + index * PAGE_BYTES, what))
    return pages


def flip_random_bits(pid: int, count: int, seed: int) -> int:
    """Flip bits, each in a random resident page; returns how many could be.

    Raises:
        OSError: none could be: the process is gone, or not ours to write.
    """
    generator = random.Random(seed)
    pages = writable_pages(pid)
    flipped, failure = 0, OSError(f"process {pid}: expected resident pages, got none")
    for _ in range(count if pages else 0):
        page, _ = generator.choice(pages)
        try:
            flip_bit(pid, page + generator.randrange(PAGE_BYTES), generator.randrange(8))
            flipped += 1
        except OSError as error:  # a mapping may have gone since
            failure = error
    if not flipped:
        raise failure
    return flipped
