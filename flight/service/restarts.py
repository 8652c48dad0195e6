"""Decides when the next worker starts after one was lost, and when to stop trying."""

from __future__ import annotations

from collections import deque

# After a loss the next worker starts at once; further losses without an answer between them wait longer.
_FIRST_WAIT_S = 0.5
_MAX_WAIT_S = 10.0
# The window holds at least so many times what the allowed restarts take: on a board that needs minutes for a start,
# workers that never last would otherwise be started for ever.
_STARTS_IN_WINDOW = 3.0


class Restarts:
    """Counts lost workers.

    Either of two limits leads to the safe state: too many restarts within a window of time, or too many workers in a
    row that never became ready, however long each of them took.

    Attributes:
        unready_workers: how many lost workers in a row never became ready, where that alone led to the safe state; else
            None.
    """

    def __init__(self, limit: int, window_s: float) -> None:
        """Start without a loss.

        Args:
            limit: restarts that are allowed within the window, and workers in a row that may fail to become ready.
            window_s: length of the window, seconds, unless starts are slow.
        """
        self._limit = limit
        self._shortest_window_s = self._window_s = window_s
        self._times: deque[float] = deque(maxlen=limit)
        self._failures = 0
        self._never_ready = 0
        self.unready_workers: int | None = None

    @property
    def window_s(self) -> float:
        """Length of the window, seconds."""
        return self._window_s

    def plan_start(self, now: float) -> float | None:
        """Count a lost worker.

        Args:
            now: monotonic clock, s.

        Returns:
            When the next worker may start, monotonic clock, s; None for the safe state.
        """
        self._never_ready += 1
        if len(self._times) == self._limit and now - self._times[0] <= self._window_s:
            return None
        if self._never_ready > self._limit:
            self.unready_workers = self._never_ready
            return None
        wait = min(_FIRST_WAIT_S * 2.0 ** (self._failures - 1), _MAX_WAIT_S) if self._failures else 0.0
        self._failures = min(self._failures + 1, 16)
        self._times.append(now + wait)
        return now + wait

    def note_ready(self, start_s: float = 0.0) -> None:
        """Count a worker that became ready. start_s: that its start took, by which the window may grow."""
        self._never_ready = 0
        self._window_s = max(self._shortest_window_s, _STARTS_IN_WINDOW * self._limit * start_s)

    def note_answer(self) -> None:
        """Count a frame that was answered: after the next loss a worker starts at once again."""
        self._failures = 0

    def reset(self) -> None:
        """Forget all losses, as after a recover command."""
        self._times.clear()
        self._failures = self._never_ready = 0
        self.unready_workers = None
