"""The connection that the four clients share: one ZeroMQ socket with its own context."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import zmq

from flight.icd.limits import CURVE_BYTES
from flight.keys import load_client_keys

# After three intervals of silence the socket reconnects. Without heartbeats, a listener would never detect that the
# service's machine is gone, and messages would queue up for its return.
_HEARTBEAT_MS = 2000


class Connection:
    """A connected socket; a context manager that closes it.

    Args:
        kind: ZeroMQ socket type, such as zmq.SUB.
        endpoint: of the service, such as "tcp://127.0.0.1:5602".
        options: ZeroMQ socket options, set before connecting.
        largest_part: bytes of the largest part that may come; at a larger one, announced or sent, the connection is
            closed before memory is taken for it, and opened anew.
        keys: folder made by `flight keys client`, for a service with CURVE keys; None for a service without.

    Raises:
        KeyFileError: a key is missing, malformed or readable by others.
    """

    def __init__(
        self, kind: int, endpoint: str, options: Mapping[int, int], largest_part: int, keys: Path | None = None
    ) -> None:
        pair = None if keys is None else load_client_keys(keys)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(kind)
        if "[" in endpoint:
            self._socket.setsockopt(zmq.IPV6, 1)
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * _HEARTBEAT_MS)
        # The service closes the connection if it hears nothing from this side for so long.
        self._socket.setsockopt(zmq.HEARTBEAT_TTL, 3 * _HEARTBEAT_MS)
        self._socket.setsockopt(zmq.MAXMSGSIZE, largest_part + CURVE_BYTES)
        for option, value in options.items():
            self._socket.setsockopt(option, value)
        if pair is not None:
            self._socket.setsockopt(zmq.CURVE_SERVERKEY, pair.service)
            self._socket.setsockopt(zmq.CURVE_PUBLICKEY, pair.public)
            self._socket.setsockopt(zmq.CURVE_SECRETKEY, pair.secret)
        self._socket.connect(endpoint)

    def close(self) -> None:
        """Close the socket. Messages still queued are sent first, for at most the socket's linger time."""
        self._socket.close()
        self._context.term()

    def _receive_parts(self, most: int) -> list[bytes]:
        """Receive a message without waiting: at most one part more than `most`; what is behind that is dropped.

        Raises:
            zmq.Again: there is none.
        """
        parts = [self._socket.recv(zmq.NOBLOCK)]
        while self._socket.getsockopt(zmq.RCVMORE):
            if len(parts) <= most:
                parts.append(self._socket.recv(zmq.NOBLOCK))
            else:
                self._socket.recv(zmq.NOBLOCK, copy=False)
        return parts

    def _send_in_time(self, parts: Sequence[bytes | memoryview], timeout_s: float) -> bool:
        """Send a message of one or two parts; False if no service took it in time.

        The send itself does not block: the service may go away after the poll, and a blocking send would wait forever.
        libzmq discards the first part if the connection ends before the second.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left = deadline - time.monotonic()
            if not self._socket.poll(max(0, int(left * 1000)), zmq.POLLOUT):
                return False
            try:
                self._socket.send_multipart(parts, flags=zmq.NOBLOCK)
            except zmq.Again:
                if left <= 0:
                    return False
            else:
                return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
