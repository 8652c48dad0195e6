"""Changes the record while the service runs: in a thread, as a storage may take seconds for each write."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from flight.service.events import EventSink
from flight.service.record import COPIES, Record, RecordStore

# The files of the copies are looked at so often; reading them takes longer, and writing them again may fail again.
_LOOK_S = 1.0
_RETRY_S = 30.0


class RecordWriter:
    """Holds the present record, and has it written, one write after another.

    What has happened already is noted: it counts at once, and is written as soon as the thread is free. What must not
    happen without being recorded is changed: it counts once it is written.

    Attributes:
        record: the present one.
    """

    def __init__(self, store: RecordStore, verify_interval_s: float, events: EventSink) -> None:
        """Take over the record that was read at start.

        Args:
            store: of the copies, which nobody else uses from now on.
            verify_interval_s: between two readings of the copies, seconds; 0 for only when their files changed.
            events: gets what could not be written, and copies that are not as they were written.
        """
        self._store = store
        self._verify_interval_s = verify_interval_s
        self._events = events
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="record")
        self._changes: deque[object] = deque()
        self._dirty = False
        self._writing: Future[list[tuple[str, str]]] | None = None
        self._verifying: Future[list[str]] | None = None
        self._next_look = 0.0
        self._verified = time.monotonic()
        self._copies = store.copies
        self._lost = False
        self.record = store.record

    @property
    def persistent(self) -> bool:
        """Whether the record survives a restart."""
        return self._store.persistent

    @property
    def copies(self) -> int:
        """How many copies are whole and up to date, 0..2; while they are being written, how many were before."""
        return self._copies if self._writing is not None or self._changes else self._store.copies

    @property
    def waiting(self) -> int:
        """How many changes wait to be written."""
        return len(self._changes)

    @property
    def settled(self) -> bool:
        """Whether all that was noted is written, or was reported as not written."""
        return not self._dirty and self._writing is None and not self._changes

    def note(self, **values: Any) -> None:
        """Record what has happened already: a storage that fails cannot undo it, and is reported as an event."""
        record = replace(self.record, **values)
        self._dirty = self._dirty or (record != self.record and self.persistent)
        self.record = record

    def change(self, update: Callable[[Record], Record]) -> Generator[None, None, None]:
        """Write a changed record, as a generator that ends when it is written, and counts.

        Args:
            update: makes the changed record of the present one. What is noted while it is written stays noted.

        Raises:
            OSError: no copy could be written; then nothing has changed.
        """
        if not self.persistent:
            self.record = update(self.record)
            return
        turn = object()
        self._changes.append(turn)
        try:
            while self._changes[0] is not turn or self._writing is not None or self._verifying is not None:
                yield
            record, dirty = update(self.record), self._dirty
            self._dirty = False
            future = self._executor.submit(self._store.write, record)
            while not future.done():
                yield
            self._dirty = self._dirty or dirty
            self._report(future.result())
            self._copies = self._store.copies
            self.record = update(self.record)
            self._dirty = self.record != record
        finally:
            self._changes.remove(turn)

    def advance(self) -> None:
        """Take what the thread has done, and give it the next that is due; never waits."""
        if self._writing is not None and self._writing.done():
            future, self._writing = self._writing, None
            try:
                self._report(future.result())
            except OSError as error:
                self._report([(str(error.filename), str(error.strerror))])
            self._copies = self._store.copies
        if self._verifying is not None and self._verifying.done():
            verified, self._verifying = self._verifying, None
            for problem in verified.result():
                self._events.send("record_copy_damaged", problem=problem)
                self._dirty = True
        if self._writing is not None or self._verifying is not None or self._changes:
            return
        if self._dirty:
            self._dirty = False
            self._writing = self._executor.submit(self._store.write, self.record)
        elif self._verification_is_due():
            self._verifying = self._executor.submit(self._store.verify, self.record)

    def close(self) -> None:
        """Wait for the thread, and write what is not written yet."""
        self._executor.shutdown(wait=True)
        if self._dirty:
            try:
                self._report(self._store.write(self.record))
            except OSError as error:
                self._report([(str(error.filename), str(error.strerror))])

    def _verification_is_due(self) -> bool:
        """Whether a copy's file changed, or the last verification was long ago."""
        now = time.monotonic()
        if now < self._next_look or not self.persistent:
            return False
        self._next_look = now + _LOOK_S
        self._copies = self._store.copies
        before, self._lost = self._lost, self._copies < len(COPIES)
        due = self._lost and (not before or now - self._verified >= _RETRY_S)
        due = due or 0.0 < self._verify_interval_s <= now - self._verified
        if due:
            self._verified = now
        return due

    def _report(self, problems: list[tuple[str, str]]) -> None:
        for path, problem in problems:
            self._events.send("record_not_written", path=path, error=problem)
