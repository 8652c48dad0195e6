"""A token bucket: limits a rate, and allows short bursts."""

from __future__ import annotations

import time

_BURST_S = 0.5


class RateLimit:
    """Limits how much passes per second.

    Attributes:
        per_second: the average rate; what is not used may pass later, up to half a second's worth, at least one.
    """

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._capacity = max(per_second * _BURST_S, 1.0)
        self._tokens = self._capacity
        self._time = time.monotonic()

    @property
    def open(self) -> bool:
        """Whether one more may pass now."""
        now = time.monotonic()
        self._tokens = min(self._tokens + (now - self._time) * self.per_second, self._capacity)
        self._time = now
        return self._tokens >= 1.0

    def take(self) -> bool:
        """Count one more if it may pass now. Returns whether it may."""
        if not self.open:
            return False
        self._tokens -= 1.0
        return True
