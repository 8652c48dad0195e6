"""Writes in a thread of its own what others hand over, so that neither camera nor consumer waits for the storage."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from hil.recording.writer import RecordingWriter

# What waits for the storage at most; a frame of the largest size has 40 MiB.
MOST_WAITING_BYTES = 256 << 20
# What a recording that is cut off lacks at most of its end.
_FLUSH_S = 0.5


class Recorder:
    """Records messages of the wire without ever holding up who hands them over.

    What the storage does not take in time is left out of the recording, and counted. Once the storage fails nothing
    more is recorded, and the messages go on being counted as left out.

    Args:
        path: of a file that is not there yet.
        pictures: see RecordingWriter.
        most_waiting_bytes: of messages that wait to be written.

    Attributes:
        left_out: messages that were not recorded, by kind.
        failure: why nothing more is recorded; None while all is well.

    Raises:
        OSError: the file is there already, or cannot be made.
    """

    def __init__(self, path: Path, pictures: bool = True, most_waiting_bytes: int = MOST_WAITING_BYTES) -> None:
        self.left_out: Counter[str] = Counter()
        self.failure: Exception | None = None
        self._writer = RecordingWriter(path, pictures)
        self._most = most_waiting_bytes
        self._waiting: deque[tuple[str, tuple[bytes, ...], int]] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._write_all, name="rubblemap-recorder", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> Counter[str]:
        """Messages written so far, by kind."""
        return self._writer.counts

    def add(self, kind: str, parts: Sequence[bytes]) -> None:
        """Record a message that has just come; returns at once. kind: one of hil.recording.channels.KINDS."""
        size = sum(map(len, parts))
        with self._changed:
            if self.failure is not None or self._waiting_bytes + size > self._most:
                self.left_out[kind] += 1
                return
            self._waiting.append((kind, tuple(parts), time.time_ns()))
            self._waiting_bytes += size
            self._changed.notify()

    def close(self) -> None:
        """Write what still waits, and end the file. What went wrong is in `failure`."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _write_all(self) -> None:
        """Body of the thread."""
        try:
            with self._writer:
                self._write_until_closed()
        except Exception as error:
            # Whoever hands messages over must not be stopped by it, whatever it is.
            with self._changed:
                self.failure = error
                for kind, _, _ in self._waiting:
                    self.left_out[kind] += 1
                self._waiting.clear()

    def _write_until_closed(self) -> None:
        flushed, dirty = time.monotonic(), False
        while True:
            with self._changed:
                if not self._waiting and not self._closing:
                    self._changed.wait(_FLUSH_S if dirty else None)
                if not self._waiting and self._closing:
                    return
                message = self._waiting.popleft() if self._waiting else None
            if message is not None:
                self._writer.write(*message)
                dirty = True
                with self._changed:
                    self._waiting_bytes -= sum(map(len, message[1]))
            if dirty and time.monotonic() - flushed >= _FLUSH_S:
                self._writer.flush()
                flushed, dirty = time.monotonic(), False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
