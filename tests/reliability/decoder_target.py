"""The fuzzing target for atheris: every decoder of flight; anything but its own error is a crash.

usage: python -m tests.reliability.decoder_target PROGRESS_FILE -atheris_runs=N CORPUS_DIR
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["flight"]):
    from flight.bundle import SUMS, BundleError, parse_bundle
    from flight.icd.control import MessageError, decode_message
    from flight.icd.frames import FrameError, decode_frame
    from flight.icd.products import ProductError, decode_product
    from flight.service.record import RecordError, decode_copy

_PROGRESS_EVERY = 5000


def _parts(data: bytes) -> list[bytes]:
    """Cut the input into message parts: a count byte, then length-prefixed parts; what is left is the last."""
    parts, position = [], 1
    for _ in range(data[0] % 8 if data else 0):
        length = int.from_bytes(data[position : position + 2], "little")
        parts.append(data[position + 2 : position + 2 + length])
        position += 2 + length
    return [*parts, data[position:]]


def _manifest(data: bytes) -> None:
    line = f"{hashlib.sha256(data).hexdigest()}  manifest.json\n".encode("ascii")
    parse_bundle(Path("bundle"), {SUMS: line, "manifest.json": data})


def _sums(data: bytes) -> None:
    from flight.bundle import _read_sums

    _read_sums(Path("bundle"), data)


TARGETS: list[Callable[[bytes], object]] = [
    lambda data: decode_frame(_parts(data)),
    lambda data: decode_product(_parts(data)),
    lambda data: decode_message("command", data),
    lambda data: decode_message("reply", data),
    lambda data: decode_message("event", data),
    lambda data: decode_message("housekeeping", data),
    _manifest,
    _sums,
    lambda data: decode_copy(data, "record"),
]
EXPECTED = (FrameError, ProductError, MessageError, BundleError, RecordError)


def main() -> None:
    """Run libFuzzer; it ends the process itself."""
    progress, count = Path(sys.argv.pop(1)), 0

    def one_input(data: bytes) -> None:
        nonlocal count
        count += 1
        if count % _PROGRESS_EVERY == 0:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            with progress.open("a", encoding="ascii") as file:
                file.write(f"{count} {pages * 4096}\n")
        if not data:
            return
        with contextlib.suppress(EXPECTED):
            TARGETS[data[0] % len(TARGETS)](data[1:])

    # Its timer goes on while Python ends, and the signal's handler does not: a good run would die of it.
    atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
