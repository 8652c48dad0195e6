"""Publishes events, at most so many a minute of each, and writes them to standard error for the operator."""

from __future__ import annotations

import contextlib
import select
import sys
import time
from typing import Any

import zmq

from flight.icd.catalogue import EVENTS
from flight.icd.control import describe_event, encode_message, event_values
from flight.icd.limits import TOPIC_EVENT
from flight.service.statistics import Counters


def publish(telemetry: zmq.Socket[bytes], topic: str, data: bytes) -> None:
    """Send a map on the telemetry socket, without waiting."""
    telemetry.send_multipart([topic.encode("ascii"), data], flags=zmq.NOBLOCK)


def _takes_a_line(descriptor: int) -> bool:
    """Whether a line can be written without waiting: a pipe takes at least 4096 bytes then, and lines are shorter."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLOUT)
    return bool(waiting.poll(0))


class Event:
    """An event of the catalogue that has happened.

    Attributes:
        name: key of `flight.icd.catalogue.EVENTS`.
        message: made by the catalogue's format for these arguments.
        arguments: in the catalogue's order, texts cut to 1024 bytes.
    """

    def __init__(self, name: str, /, **arguments: Any) -> None:
        """Make an event.

        Args:
            name: of the catalogue.
            arguments: as the catalogue declares them; None for an optional one leaves it out.

        Raises:
            SchemaError: an argument is missing, unknown, or not of its type or range. The caller is wrong then.
        """
        self.name = name
        self.message, self.arguments = describe_event(name, arguments)


class EventSink:
    """Publishes the service's events and writes them to standard error, at most so many a minute of each.

    Until it is opened, events wait: the record is read before there are sockets. What is beyond the limit of the
    catalogue is counted, and the next event of that name says how many were held back.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._socket: zmq.Socket[bytes] | None = None
        self._waiting: list[Event] = []
        self._windows: dict[str, tuple[float, int]] = {}
        self._held: dict[str, int] = {}

    def open(self, telemetry: zmq.Socket[bytes]) -> None:
        """Publish on this socket from now on."""
        self._socket = telemetry

    def send_waiting(self) -> None:
        """Send the events that came before open()."""
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            self.send_event(event)

    def send(self, name: str, /, **arguments: Any) -> None:
        """Make and send an event; arguments and errors as of Event."""
        self.send_event(Event(name, **arguments))

    def send_event(self, event: Event, times: int = 1) -> None:
        """Send an event that was made before, as often as it happened."""
        if self._socket is None:
            self._waiting += [event] * times
            return
        for done in range(times):
            if not self._take_turn(event.name):
                left = times - done
                self._held[event.name] = self._held.get(event.name, 0) + left
                self._counters.count("events_suppressed", number=left)
                return
            self._publish(self._socket, event)

    def _take_turn(self, name: str) -> bool:
        """Whether one more event of this name may be sent in this minute; counts it then."""
        now = time.monotonic()
        began, sent = self._windows.get(name, (now, 0))
        if now - began >= 60.0:
            began, sent = now, 0
        if sent >= EVENTS[name].throttle_per_minute:
            return False
        self._windows[name] = (began, sent + 1)
        return True

    def _publish(self, telemetry: zmq.Socket[bytes], event: Event) -> None:
        name = event.name
        held = self._held.pop(name, 0)
        values = event_values(name, event.message, event.arguments, time.time_ns(), held)
        publish(telemetry, TOPIC_EVENT, encode_message("event", values))
        more = f" ({held} more held back)" if held else ""
        # A closed log or a full disk must not end the service, nor one that nobody reads hold it up.
        with contextlib.suppress(OSError, ValueError):
            if not _takes_a_line(sys.stderr.fileno()):
                return
            # One event is one line, even if a name from a peer contains line breaks.
            line = " ".join(event.message.splitlines())
            print(f"{EVENTS[name].severity:12} {name}: {line}{more}", file=sys.stderr, flush=True)
