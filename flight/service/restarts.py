"""When to start the next worker after one was lost, and when to stop trying."""

from __future__ import annotations

from collections import deque

# After a loss the next worker starts at once; further losses without an answer between them wait longer.
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 10.0


class Restarts:
    """limit: so many restarts within window_s seconds are allowed; one more leads to the safe state.

    So do more than `limit` workers in a row that never became ready, however long each of them took.
    """

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._times: deque[float] = deque(maxlen=limit)
        self._failures = 0
        self._never_ready = 0

    def next_start(self, now: float) -> float | None:
        """A worker was lost: the time (monotonic, s) at which the next may start, or None for the safe state."""
        self._never_ready += 1
        if self._never_ready > self._limit:
            return None
        if len(self._times) == self._limit and now - self._times[0] <= self._window_s:
            return None
        wait = min(_FIRST_WAIT_S * 2.0 ** (self._failures - 1), _LONGEST_WAIT_S) if self._failures else 0.0
        self._failures = min(self._failures + 1, 16)
        self._times.append(now + wait)
        return now + wait

    def ready(self) -> None:
        """A worker became ready."""
        self._never_ready = 0

    def answered(self) -> None:
        """A frame was answered: the next loss is a first one again."""
        self._failures = 0

    def forget(self) -> None:
        """Begin anew, as after a recover command."""
        self._times.clear()
        self._failures = self._never_ready = 0
