"""The client for telemetry: receives housekeeping and events."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zmq

from flight.client.connection import Connection
from flight.icd.control import MessageError, decode_message
from flight.icd.limits import DEFAULT_ENDPOINTS, TELEMETRY_BYTES, TOPIC_EVENT, TOPIC_HOUSEKEEPING
from flight.schema import format_value

# Topic and map.
_PARTS = 2
_KINDS = {TOPIC_EVENT: "event", TOPIC_HOUSEKEEPING: "housekeeping"}


class TelemetryListener(Connection):
    """Receives housekeeping and events in the order of arrival.

    Args:
        endpoint: the service's telemetry socket.
        topics: any of telemetry.housekeeping and event.
        keys: see Connection.

    Attributes:
        malformed: number of messages that failed a check; they are never returned.

    Raises:
        EndpointError, KeyFileError, OSError: see Connection.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINTS["telemetry"],
        topics: Sequence[str] = (TOPIC_HOUSEKEEPING, TOPIC_EVENT),
        keys: Path | None = None,
    ) -> None:
        super().__init__(zmq.SUB, endpoint, {zmq.LINGER: 0}, TELEMETRY_BYTES, keys)
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode("ascii"))
        self.malformed = 0

    def receive(self, timeout_s: float | None) -> tuple[str, dict[str, Any]] | None:
        """Wait for the next message.

        Args:
            timeout_s: in all, however many malformed messages come meanwhile; None waits without end.

        Returns:
            (topic, fields), or None if none came in time.

        Raises:
            ConnectionClosed: close() was called, before or meanwhile.
            ForkError: in a child that was forked after opening.
        """
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        with self._using():
            while self._wait(zmq.POLLIN, deadline - time.monotonic()):
                try:
                    return self._receive_one()
                except zmq.Again:
                    pass
                except (MessageError, MemoryError):
                    self.malformed += 1
                if time.monotonic() >= deadline:
                    break
        return None

    def _receive_one(self) -> tuple[str, dict[str, Any]]:
        """The message that waits. Raises MessageError if it breaks the contract."""
        parts = self._receive_parts(_PARTS)
        if len(parts) != _PARTS:
            raise MessageError(f"telemetry: expected {_PARTS} message parts, got {len(parts)}")
        for topic, kind in _KINDS.items():
            if parts[0] == topic.encode("ascii"):
                return topic, decode_message(kind, parts[1])
        raise MessageError(f"telemetry: expected topic {' or '.join(_KINDS)}, got {format_value(parts[0])}")
