"""A token bucket: so many a second on average, with short bursts."""

from __future__ import annotations

import time

_BURST_S = 0.5


class RateLimit:
    """per_second: the rate; what was not used may be made up for during half a second, and at least once."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._most = max(per_second * _BURST_S, 1.0)
        self._left = self._most
        self._time = time.monotonic()

    @property
    def open(self) -> bool:
        """Whether one more may pass now."""
        now = time.monotonic()
        self._left = min(self._left + (now - self._time) * self.per_second, self._most)
        self._time = now
        return self._left >= 1.0

    def take(self) -> bool:
        """Whether one more may pass now; it is then counted."""
        if not self.open:
            return False
        self._left -= 1.0
        return True
