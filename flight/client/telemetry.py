"""The client for telemetry: receives housekeeping and events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zmq

from flight.client.connection import Connection
from flight.icd.control import MessageError, decode_message
from flight.icd.limits import DEFAULT_ENDPOINTS, TOPIC_EVENT, TOPIC_HOUSEKEEPING

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
        KeyFileError: see Connection.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINTS["telemetry"],
        topics: Sequence[str] = (TOPIC_HOUSEKEEPING, TOPIC_EVENT),
        keys: Path | None = None,
    ) -> None:
        super().__init__(zmq.SUB, endpoint, {zmq.LINGER: 0}, keys)
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode("ascii"))
        self.malformed = 0

    def receive(self, timeout_s: float) -> tuple[str, dict[str, Any]] | None:
        """Wait for the next message.

        Args:
            timeout_s: starts again after a malformed message.

        Returns:
            (topic, fields), or None if none came in time.
        """
        while self._socket.poll(int(timeout_s * 1000)):
            parts = self._socket.recv_multipart()
            try:
                topic = parts[0].decode("ascii")
                return topic, decode_message(_KINDS[topic], parts[-1])
            except (UnicodeDecodeError, KeyError, MessageError):
                self.malformed += 1
        return None
