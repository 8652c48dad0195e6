"""The sink for events: throttled by the catalogue, published, and written to standard error for the operator."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

import zmq

from flight.icd.catalogue import EVENTS
from flight.icd.control import encode_message, event_values
from flight.icd.limits import TOPIC_EVENT
from flight.service.statistics import Counters


def publish(telemetry: zmq.Socket[bytes], topic: str, data: bytes) -> None:
    """Send a map on the telemetry socket; never waits."""
    telemetry.send_multipart([topic.encode("ascii"), data], flags=zmq.NOBLOCK)


class EventSink:
    """Takes the service's events: everything that a part of it has to tell goes in here.

    Until it is opened, events wait: parts have things to tell before there are sockets. What the throttle of the
    catalogue holds back is counted.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._socket: zmq.Socket[bytes] | None = None
        self._waiting: list[tuple[str, str, dict[str, Any]]] = []
        self._windows: dict[str, tuple[float, int]] = {}
        self._held: dict[str, int] = {}

    def open(self, telemetry: zmq.Socket[bytes]) -> None:
        """Publish from now on."""
        self._socket = telemetry

    def send_waiting(self) -> None:
        """Send what waited for the opening."""
        waiting, self._waiting = self._waiting, []
        for name, message, arguments in waiting:
            self.send(name, message, **arguments)

    def send(self, name: str, message: str, /, **arguments: Any) -> None:
        """Send an event of the catalogue, unless its throttle says otherwise."""
        if self._socket is None:
            self._waiting.append((name, message, arguments))
            return
        definition = EVENTS[name]
        now = time.monotonic()
        began, sent = self._windows.get(name, (now, 0))
        if now - began >= 60.0:
            began, sent = now, 0
        if sent >= definition.throttle_per_minute:
            self._held[name] = self._held.get(name, 0) + 1
            self._counters.count("events_suppressed")
            return
        self._windows[name] = (began, sent + 1)
        held = self._held.pop(name, 0)
        values = event_values(name, message, arguments, time.time_ns(), held)
        publish(self._socket, TOPIC_EVENT, encode_message("event", values))
        more = f" ({held} more held back)" if held else ""
        # A log that nobody reads any more, or a full disk, must not end the service.
        with contextlib.suppress(OSError, ValueError):
            # One event is one line, whatever names a peer chose.
            line = " ".join(message.splitlines())
            print(f"{definition.severity:12} {name}: {line}{more}", file=sys.stderr, flush=True)
