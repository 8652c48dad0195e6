"""The operator's side: commands and their replies."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import zmq

from flight.client.connection import Connection
from flight.icd.control import decode_message, encode_message
from flight.icd.limits import COMMAND_BYTES, DEFAULT_ENDPOINTS


class CommandFailed(RuntimeError):
    """The service refused a command or failed to carry it out. code: of the ICD's catalogue."""

    def __init__(self, name: str, code: str, message: str) -> None:
        self.code = code
        super().__init__(f"{name}: {code}: {message}")


class Commander(Connection):
    """Sends commands to the service, one at a time.

    timeout_s: for a reply; commands that take time (load_bundle, validate_bundle, activate_bundle, self_test) need
    more. keys: see Connection.
    """

    def __init__(
        self, endpoint: str = DEFAULT_ENDPOINTS["commands"], timeout_s: float = 5.0, keys: Path | None = None
    ) -> None:
        self._timeout_s = timeout_s
        self._identifiers = itertools.count(time.time_ns() & 0xFFFF_FFFF_FFFF)
        # DEALER, not REQ: after a time-out the next command can still be sent. IMMEDIATE: a command does not wait for a
        # service to come. One that was sent before the heartbeats noticed a silence may still be carried out after it.
        options: dict[int, int] = {zmq.LINGER: 0, zmq.IMMEDIATE: 1, zmq.MAXMSGSIZE: COMMAND_BYTES}
        super().__init__(zmq.DEALER, endpoint, options, keys)

    def send(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        """Send a command and return the reply's result.

        Raises CommandFailed when it was refused, TimeoutError when no reply came.
        """
        identifier = next(self._identifiers)
        message = encode_message("command", {"id": identifier, "name": name, "arguments": arguments})
        deadline = time.monotonic() + self._timeout_s
        if not self._hand_over([b"", message], self._timeout_s):
            raise TimeoutError(f"command {name}: no service within {self._timeout_s:g} s")
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not self._socket.poll(int(left * 1000) + 1):
                raise TimeoutError(f"command {name}: no reply within {self._timeout_s:g} s")
            reply = decode_message("reply", self._socket.recv_multipart()[-1])
            malformed = reply["id"] == 0 and reply["code"] == "malformed"
            if reply["id"] != identifier and not malformed:
                continue  # of an earlier command that timed out
            if reply["status"] != "completed":
                raise CommandFailed(name, reply["code"], reply["message"])
            result: dict[str, Any] = reply["result"]
            return result
