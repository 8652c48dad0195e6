"""What the four clients share: one socket with a context of its own, opened and closed together."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

import zmq


class Connection:
    """A connected socket; usable as a context manager. options: ZeroMQ socket options, set before connecting."""

    def __init__(self, kind: int, endpoint: str, options: Mapping[int, int]) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(kind)
        if "[::1]" in endpoint:
            self._socket.setsockopt(zmq.IPV6, 1)
        for option, value in options.items():
            self._socket.setsockopt(option, value)
        self._socket.connect(endpoint)

    def close(self) -> None:
        """Close the socket, after handing over what was sent as far as its linger time allows."""
        self._socket.close()
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
