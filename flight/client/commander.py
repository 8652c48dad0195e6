"""The operator's client: sends commands and waits for their replies."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import zmq

from flight.client.connection import Connection
from flight.icd.control import MessageError, decode_message, encode_message
from flight.icd.limits import COMMAND_BYTES, DEFAULT_ENDPOINTS
from flight.schema import format_text

# Replies that may wait: one is wanted, others came after their command had timed out.
_REPLY_QUEUE = 16
# Of a reply: the empty part that a ROUTER socket sends back, and the map.
_REPLY_PARTS = 2


class CommandFailed(RuntimeError):
    """The service rejected a command, or it failed.

    Attributes:
        code: reply code from the ICD's catalogue.
    """

    def __init__(self, name: str, code: str, message: str) -> None:
        self.code = code
        super().__init__(f"{name}: {format_text(code, 64)}: {format_text(message, 1024)}")


class Commander(Connection):
    """Sends commands to the service, one at a time.

    Args:
        endpoint: the service's commands socket.
        timeout_s: how long to wait for a reply; load_bundle, validate_bundle, activate_bundle and self_test need more
            than the default.
        keys: see Connection.

    Attributes:
        malformed: number of replies that failed a check; they are passed over.

    Raises:
        EndpointError, KeyFileError, OSError: see Connection.
    """

    def __init__(
        self, endpoint: str = DEFAULT_ENDPOINTS["commands"], timeout_s: float = 5.0, keys: Path | None = None
    ) -> None:
        self._timeout_s = timeout_s
        self._identifiers = itertools.count(time.time_ns() & 0xFFFF_FFFF_FFFF)
        # DEALER, not REQ: after a timeout the next command can still be sent. IMMEDIATE: a command does not wait in a
        # queue for a service. One sent before the heartbeats detect a silent link may still be carried out later.
        options: dict[int, int] = {zmq.LINGER: 0, zmq.IMMEDIATE: 1, zmq.RCVHWM: _REPLY_QUEUE}
        super().__init__(zmq.DEALER, endpoint, options, COMMAND_BYTES, keys)
        self.malformed = 0

    def send(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its reply.

        Args:
            name: of the command, see docs/icd.md.
            arguments: of the command.

        Returns:
            The reply's result.

        Raises:
            CommandFailed: the command was rejected or failed.
            TimeoutError: no service, or no reply in time that keeps to the contract; the command may still be carried
                out.
            ConnectionClosed: close() was called, before or meanwhile; the command may still be carried out.
            ForkError: in a child that was forked after opening.
            SchemaError, PackingError: the command is not one that the ICD allows.
        """
        identifier = next(self._identifiers)
        message = encode_message("command", {"id": identifier, "name": name, "arguments": arguments})
        with self._using():
            return self._exchange(name, identifier, message)

    def _exchange(self, name: str, identifier: int, message: bytes) -> dict[str, Any]:
        """Send a command and wait for the reply with its identifier."""
        deadline = time.monotonic() + self._timeout_s
        if not self._send_in_time([b"", message], self._timeout_s):
            raise TimeoutError(f"command {name}: no service within {self._timeout_s:g} s at {self.endpoint}")
        malformed = self.malformed
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not self._wait(zmq.POLLIN, left):
                count = self.malformed - malformed
                passed_over = f", but {count} malformed" if count else ""
                raise TimeoutError(f"command {name}: no reply within {self._timeout_s:g} s{passed_over}")
            reply = self._receive_reply()
            if reply is None:
                continue
            unreadable = reply["id"] == 0 and reply["code"] == "malformed"
            if reply["id"] != identifier and not unreadable:
                continue  # the reply to an earlier command that timed out
            if reply["status"] != "completed":
                raise CommandFailed(name, reply["code"], reply["message"])
            result: dict[str, Any] = reply["result"]
            return result

    def _receive_reply(self) -> dict[str, Any] | None:
        """The reply that waits; None if it breaks the contract, which is no reason to give up waiting."""
        try:
            return decode_message("reply", self._receive_parts(_REPLY_PARTS)[-1])
        except zmq.Again:
            return None
        except (MessageError, MemoryError):
            self.malformed += 1
            return None
