"""Sending events: throttled by the catalogue, published, and written to standard error for the operator."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

from flight.icd.catalogue import EVENTS
from flight.icd.control import encode_message, event_values
from flight.icd.limits import TOPIC_EVENT


class EventSender:
    """Publishes events of the catalogue; counts what the throttle holds back.

    publish: takes (topic, bytes). suppressed: how many were held back in all.
    """

    def __init__(self, publish: Callable[[str, bytes], None]) -> None:
        self._publish = publish
        self._windows: dict[str, tuple[float, int]] = {}
        self._held: dict[str, int] = {}
        self.suppressed = 0

    def send(self, name: str, message: str, /, **arguments: Any) -> None:
        """Send an event of the catalogue, unless its throttle says otherwise."""
        definition = EVENTS[name]
        now = time.monotonic()
        began, sent = self._windows.get(name, (now, 0))
        if now - began >= 60.0:
            began, sent = now, 0
        if sent >= definition.throttle_per_minute:
            self._held[name] = self._held.get(name, 0) + 1
            self.suppressed += 1
            return
        self._windows[name] = (began, sent + 1)
        held = self._held.pop(name, 0)
        values = event_values(name, message, arguments, time.time_ns(), held)
        self._publish(TOPIC_EVENT, encode_message("event", values))
        more = f" ({held} more held back)" if held else ""
        # A log that nobody reads any more, or a full disk, must not end the service.
        with contextlib.suppress(OSError, ValueError):
            # One event is one line, whatever names a peer chose.
            line = " ".join(message.splitlines())
            print(f"{definition.severity:12} {name}: {line}{more}", file=sys.stderr, flush=True)
