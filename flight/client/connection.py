"""What the four clients share: one socket with a context of its own, opened and closed together."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import zmq

from flight.keys import load_client_keys

# A service that is silent for three of these is connected to anew: one that only listens would never learn that the
# other end is gone without a word, and what is sent would wait for its return.
_HEARTBEAT_MS = 2000


class Connection:
    """A connected socket; usable as a context manager.

    options: ZeroMQ socket options, set before connecting. keys: the client's folder as `flight keys client` makes it,
    for a service with CURVE keys. Raises KeyFileError.
    """

    def __init__(self, kind: int, endpoint: str, options: Mapping[int, int], keys: Path | None = None) -> None:
        pair = None if keys is None else load_client_keys(keys)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(kind)
        if "[" in endpoint:
            self._socket.setsockopt(zmq.IPV6, 1)
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * _HEARTBEAT_MS)
        # After so long without a word from here, the service ends the connection.
        self._socket.setsockopt(zmq.HEARTBEAT_TTL, 3 * _HEARTBEAT_MS)
        for option, value in options.items():
            self._socket.setsockopt(option, value)
        if pair is not None:
            self._socket.setsockopt(zmq.CURVE_SERVERKEY, pair.service)
            self._socket.setsockopt(zmq.CURVE_PUBLICKEY, pair.public)
            self._socket.setsockopt(zmq.CURVE_SECRETKEY, pair.secret)
        self._socket.connect(endpoint)

    def close(self) -> None:
        """Close the socket, after handing over what was sent as far as its linger time allows."""
        self._socket.close()
        self._context.term()

    def _hand_over(self, parts: Sequence[bytes | memoryview], timeout_s: float) -> bool:
        """Send a message of one or two parts; False when no service took it in time.

        Never by a send that waits: the service may go away after the poll, and the send would wait for ever. libzmq
        takes back the first part when its connection ends before the second.
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
