"""What a process gives back after its start, in a process of its own: it must go on unharmed."""

from __future__ import annotations

import subprocess
import sys

MEASURE = """
from pathlib import Path
from flight.service.resident_memory import limit_allocator, release_unused
# Counted page by page: the counter in /proc/self/status lags behind, by as much as each core has not yet reported.
def resident_mb():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) / 1000
"""


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", MEASURE + program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_only_the_start_has_used_is_given_back() -> None:
    program = """
import numpy as np
limit_allocator()
blocks = [bytearray(200_000) for _ in range(200)]
last = bytearray(200_000)
before = resident_mb()
del blocks
freed = resident_mb()
release_unused()
after = resident_mb()
print(before, after)
assert after < before - 40, (before, freed, after)
# The libraries are read again where they are needed.
assert np.linalg.norm(np.arange(100.0)) > 0 and last[5] == 0
"""
    assert run(program)


def test_large_blocks_go_back_when_they_are_freed() -> None:
    program = """
limit_allocator()
# Without the limit the first one that is freed raises the size from which blocks have pages of their own.
for _ in range(3):
    block = bytearray(30_000_000)
    block[:] = b"x" * 30_000_000
    del block
kept = bytearray(8_000_000), bytearray(100)
before = resident_mb()
del kept
assert resident_mb() < before - 7
print("done")
"""
    assert run(program) == "done\n"


def test_pages_that_the_linker_has_written_are_kept() -> None:
    program = """
import ctypes, mmap, tempfile
library = ctypes.CDLL(None, use_errno=True)
library.mmap.restype = ctypes.c_void_p
library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
with tempfile.NamedTemporaryFile() as file:
    file.write(b"as in the file".ljust(mmap.PAGESIZE))
    file.flush()
    places = []
    for changed in (True, False):
        place = library.mmap(None, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE, file.fileno(), 0)
        if changed:
            ctypes.memmove(place, b"relocated     ", 14)
        assert library.mprotect(ctypes.c_void_p(place), mmap.PAGESIZE, mmap.PROT_READ) == 0
        places.append(place)
    release_unused()
    print(*(ctypes.string_at(place, 14).decode().strip() for place in places), sep=",")
"""
    assert run(program) == "relocated,as in the file\n"
