"""The connection that the clients share: one ZeroMQ socket with its own context."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import zmq

from flight.endpoints import EndpointError, check_endpoint
from flight.icd.limits import CURVE_BYTES
from flight.keys import load_client_keys

# After three intervals of silence the socket reconnects. Without heartbeats, a listener would never detect that the
# service's machine is gone, and messages would queue up for its return.
_HEARTBEAT_MS = 2000
# libzmq takes 31 bits of milliseconds, threading some centuries; a longer wait is several of these.
LONGEST_WAIT_S = 3600.0


class ConnectionClosed(RuntimeError):
    """The client was closed while it waited, or before it was used."""


class ForkError(RuntimeError):
    """The client was opened before a fork, and used after it in the child, where libzmq's threads are not."""


class Connection:
    """A connected socket; a context manager that closes it.

    For one thread at a time, except for close(), which any thread and a signal handler may call. Of the process that
    opened it alone: a child that was forked opens its own.

    Args:
        kind: ZeroMQ socket type, such as zmq.SUB.
        endpoint: of the service, such as "tcp://127.0.0.1:5602".
        options: ZeroMQ socket options, set before connecting.
        largest_part: bytes of the largest part that may come; at a larger one, announced or sent, the connection is
            closed before memory is taken for it, and opened anew.
        keys: folder made by `flight keys client`, for a service with CURVE keys; None for a service without.

    Raises:
        EndpointError: the endpoint is not of the form tcp://HOST:PORT or ipc://PATH.
        KeyFileError: a key is missing, malformed or readable by others.
        OSError: the computer does not allow another socket.
    """

    def __init__(
        self, kind: int, endpoint: str, options: Mapping[int, int], largest_part: int, keys: Path | None = None
    ) -> None:
        try:
            self.endpoint = check_endpoint(endpoint)
        except EndpointError as error:
            raise EndpointError(f"endpoint: {error}") from None
        pair = None if keys is None else load_client_keys(keys)
        self._process = os.getpid()
        self._closing = threading.Event()
        # Held while the socket is in use; close() waits for it.
        self._in_use = threading.RLock()
        self._user: int | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        # Readable once the client is closing: what a waiting thread is woken by.
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Keeps who wakes from writing to a file that has got the number since.
        self._waking = threading.RLock()
        self._open = True
        try:
            self._socket = self._context.socket(kind)
        except zmq.ZMQError as error:  # too many open files, for one
            os.close(self._wake)
            raise OSError(error.errno, error.strerror) from error
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
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self._close_socket()
            raise EndpointError(f"{endpoint}: expected an endpoint to connect to, got: {error.strerror}") from error

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closing.is_set()

    def close(self) -> None:
        """Close the socket, and wake who waits on it, who gets ConnectionClosed.

        Messages still queued are sent first, for at most the socket's linger time. In a forked child it does nothing:
        the socket is the parent's.
        """
        if os.getpid() != self._process:
            return
        self._closing.set()
        with self._waking:
            if not self._open:
                return
            os.eventfd_write(self._wake, 1)
        if self._user == threading.get_ident():
            return  # called by a signal handler amidst a wait, which closes the socket when it ends
        with self._in_use:
            self._close_socket()

    def _close_socket(self) -> None:
        with self._waking:
            if not self._open:
                return
            self._open = False
            os.close(self._wake)
        self._socket.close()
        self._context.term()

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Use the socket, or what belongs to it, within this context.

        Raises:
            ForkError: in another process than the one that opened it.
            ConnectionClosed: it is closed.
        """
        self._check_usable()
        with self._in_use:
            self._check_usable()
            self._user = threading.get_ident()
            try:
                yield
            finally:
                if self._closing.is_set():
                    self._close_socket()
                self._user = None

    def _check_usable(self) -> None:
        kind, process = type(self).__name__, os.getpid()
        if process != self._process:
            raise ForkError(
                f"{kind}: expected use in process {self._process}, which opened it, got {process}: after a fork, open "
                "another"
            )
        if self._closing.is_set():
            raise ConnectionClosed(f"{kind}: closed")

    def _wait(self, events: int, timeout_s: float | None) -> bool:
        """Wait until the socket is ready for zmq.POLLIN or zmq.POLLOUT. timeout_s: None or infinite for no limit.

        Returns:
            Whether it is.

        Raises:
            ConnectionClosed: close() was called.
        """
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        poller = zmq.Poller()
        poller.register(self._wake, zmq.POLLIN)
        poller.register(self._socket, events)
        while True:
            left = min(max(deadline - time.monotonic(), 0.0), LONGEST_WAIT_S)
            ready = dict(poller.poll(math.ceil(left * 1000.0)))
            if self._closing.is_set():
                raise ConnectionClosed(f"{type(self).__name__}: closed")
            if self._socket in ready:
                return True
            if time.monotonic() >= deadline:
                return False

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
            if not self._wait(zmq.POLLOUT, max(left, 0.0)):
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
