"""Keeps the memory that a process holds small: the allocator's settings, and what is given back after the start."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
from pathlib import Path

# Of glibc's malloc.h: allocations from so many bytes have pages of their own, which go back when they are freed.
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_OWN_PAGES_BYTES = 1 << 20
_MADV_DONTNEED = 4
# The first line of a mapping in /proc/PID/smaps: private, not writable, of a file.
_FILE_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r-[-x]p [0-9a-f]+ \S+ [1-9]\d* +/")


def limit_allocator() -> None:
    """Make the C library give large blocks back at once, and share one heap among the threads.

    Else glibc raises its limit for blocks with pages of their own with the first large one that is freed, and keeps
    what is freed later. Another C library is left as it is.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES_BYTES)
        mallopt(_M_ARENA_MAX, 1)


def release_unused() -> None:
    """Give back what only the start has used: free blocks of the heap, and pages of libraries' files.

    Pages of a file that are needed again come back from the system's cache. Mappings in which a page was written, as
    by the linker, are left as they are: their pages would come back as they are in the file.
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.malloc_trim(0)
        for begin, end in _find_unchanged_mappings():
            library.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _MADV_DONTNEED)


def _find_unchanged_mappings() -> list[tuple[int, int]]:
    """Begin and end of this process's mappings of files that cannot be written, and have not been."""
    found = []
    here: tuple[int, int] | None = None
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if " " in name or "-" in name:
            match = _FILE_MAPPING.match(line)
            here = None if match is None else (int(match[1], 16), int(match[2], 16))
        elif name == "Anonymous" and here is not None and int(value.split()[0]) == 0:
            found.append(here)
    return found
