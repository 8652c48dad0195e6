"""Sockets for whoever takes all that goes over the wire: what consumers get, and relays before the service's frames and
commands sockets.
"""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import zmq

from flight.client.connection import Connection
from flight.endpoints import EndpointError, check_endpoint
from flight.icd.limits import COMMAND_BYTES, MESSAGE_BYTES

_TICK_MS = 200
# As many as the service's own socket holds. What waits here, too, is not on its way for longer than at the service.
_FRAME_QUEUE = 2
_COMMAND_QUEUE = 100
_TELEMETRY_QUEUE = 1000
_PRODUCT_QUEUE = 256
# A service that takes nothing for so long is not there: its loop turns many times a second.
_ABSENT_S = 1.0
# How long an address may be in use that was this relay's a moment ago.
_REFUSED_S = 5.0
# Of one socket, before it is the others' turn.
_MOST_PER_TURN = 64


class Sink(Protocol):
    """Takes messages of the wire, at once: hil.recording.recorder.Recorder, say."""

    def add(self, kind: str, parts: Sequence[bytes]) -> None:
        """Take a message that has just come. kind: one of hil.recording.channels.KINDS."""


class WireConnection(Connection):
    """A connection to the service whose messages are handed on as they are. See Connection."""

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """For one thread, the one that closes it."""
        return self._socket

    def send(self, parts: Sequence[bytes], timeout_s: float) -> None:
        """Send a message.

        Args:
            parts: one or two.
            timeout_s: how long to wait until the service takes it.

        Raises:
            TimeoutError: it did not.
            ConnectionClosed, ForkError: see Connection.
        """
        with self._using():
            if not self._send_in_time(parts, timeout_s):
                raise TimeoutError(f"no service took the message within {timeout_s:g} s at {self.endpoint}")


def check_loopback(endpoint: str) -> str:
    """Check an endpoint to bind to: ipc://, or tcp:// on the loopback interface. Raises EndpointError."""
    check_endpoint(endpoint, to_bind=True)
    host = endpoint.partition("://")[2].rpartition(":")[0].strip("[]")
    local = endpoint.startswith("ipc://") or host == "localhost"
    with contextlib.suppress(ValueError):
        local = local or ipaddress.ip_address(host).is_loopback
    if not local:
        # A relay has the keys, and would lend them to whoever reaches it.
        raise EndpointError(f"expected ipc:// or a loopback address, got {endpoint}")
    return endpoint


class _Listener:
    """What the service publishes on a socket."""

    def __init__(self, kind: str, endpoint: str, queue: int, keys: Path | None) -> None:
        self._kind = kind
        self.connection = WireConnection(
            zmq.SUB, endpoint, {zmq.RCVHWM: queue, zmq.LINGER: 0, zmq.RECONNECT_IVL_MAX: 1000}, MESSAGE_BYTES, keys
        )
        self.connection.socket.setsockopt(zmq.SUBSCRIBE, b"")

    def register(self, poller: zmq.Poller) -> None:
        poller.register(self.connection.socket, zmq.POLLIN)

    def advance(self, sink: Sink) -> None:
        with contextlib.suppress(zmq.Again):
            for _ in range(_MOST_PER_TURN):
                sink.add(self._kind, self.connection.socket.recv_multipart(zmq.NOBLOCK))

    def close(self) -> None:
        self.connection.close()


class _Relay:
    """Stands before a socket of the service. It takes a message when the service takes one, and without a service it is
    not there: whoever sends waits as long as without it, and nothing arrives late.
    """

    def __init__(self, kind: str, bound: str, endpoint: str, keys: Path | None) -> None:
        self._kind = kind
        self._bound = bound
        self._held: list[bytes] = []  # taken from a client, when the service then did not take it after all
        commands = kind == "command"
        queue = _COMMAND_QUEUE if commands else _FRAME_QUEUE
        largest = COMMAND_BYTES if commands else MESSAGE_BYTES
        options: dict[int, int] = {zmq.IMMEDIATE: 1, zmq.LINGER: 1000, zmq.SNDHWM: queue, zmq.RCVHWM: queue}
        self._service = WireConnection(zmq.DEALER if commands else zmq.PUSH, endpoint, options, largest, keys)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._options = {zmq.LINGER: 500, zmq.RCVHWM: queue, zmq.MAXMSGSIZE: largest, zmq.IPV6: int("[" in bound)}
        self._clients: zmq.Socket[bytes] | None = None
        self._last_taken, self._refused_since = time.monotonic(), 0.0
        try:
            self._open()
        except OSError:
            self.close()
            raise

    def _open(self) -> None:
        """Bind the socket that clients connect to. Raises OSError."""
        socket = self._context.socket(zmq.ROUTER if self._kind == "command" else zmq.PULL)
        try:
            for option, value in self._options.items():
                socket.setsockopt(option, value)
            socket.bind(self._bound)
        except zmq.ZMQError as error:
            socket.close()
            raise OSError(f"cannot bind {self._bound}: {error.strerror}") from error
        self._clients = socket

    def _open_again(self, now: float) -> None:
        """Bind, if that is not done: the address is free a moment after the socket was closed. Raises OSError."""
        if self._clients is None:
            self._refused_since = self._refused_since or now
            try:
                self._open()
            except OSError:
                if now - self._refused_since > _REFUSED_S:
                    raise
            else:
                self._refused_since = 0.0

    def register(self, poller: zmq.Poller) -> None:
        taken, now = bool(self._service.socket.poll(0, zmq.POLLOUT)), time.monotonic()
        if not taken and self._clients is not None and now - self._last_taken > _ABSENT_S:
            poller.register(self._clients, 0)
            self._clients.close(0)
            self._clients = None
            self._held = []
        if taken:
            self._last_taken = now
            self._open_again(now)
        if self._clients is not None:
            poller.register(self._clients, zmq.POLLIN if taken else 0)
        replies = zmq.POLLIN if self._kind == "command" else 0
        poller.register(self._service.socket, replies if taken else replies | zmq.POLLOUT)

    def advance(self, sink: Sink) -> None:
        service, clients = self._service.socket, self._clients
        if clients is None:
            return
        with contextlib.suppress(zmq.Again):
            for _ in range(_MOST_PER_TURN):
                if not service.poll(0, zmq.POLLOUT):
                    break
                self._held = self._held or clients.recv_multipart(zmq.NOBLOCK)
                service.send_multipart(self._held, zmq.NOBLOCK)
                parts, self._held = self._held, []
                sink.add(self._kind, parts[-1:] if self._kind == "command" else parts)
        if self._kind == "command":
            with contextlib.suppress(zmq.Again):
                for _ in range(_MOST_PER_TURN):
                    parts = service.recv_multipart(zmq.NOBLOCK)
                    sink.add("reply", parts[-1:])
                    clients.send_multipart(parts, zmq.NOBLOCK)

    def close(self) -> None:
        if self._clients is not None:
            self._clients.close()
        self._service.close()
        self._context.term()


class WireTap:
    """All that goes over the wire. For one thread at a time.

    Args:
        products: the service's products socket.
        telemetry: its telemetry socket.
        frames: where cameras connect to in place of the service, and the service's frames socket; None for no frames.
        commands: the same for commanders.
        keys: see Connection; with the client roles of all these sockets.

    Raises:
        EndpointError: a relay beyond loopback, or no endpoint at all.
        KeyFileError: see Connection.
        OSError: a relay's endpoint is in use.
    """

    def __init__(
        self,
        products: str,
        telemetry: str,
        frames: tuple[str, str] | None = None,
        commands: tuple[str, str] | None = None,
        keys: Path | None = None,
    ) -> None:
        self._members: list[_Listener | _Relay] = []
        with ExitStack() as opened:
            opened.callback(self.close)
            self._members.append(_Listener("product", products, _PRODUCT_QUEUE, keys))
            self._members.append(_Listener("telemetry", telemetry, _TELEMETRY_QUEUE, keys))
            for kind, relay in (("frame", frames), ("command", commands)):
                if relay is not None:
                    self._members.append(_Relay(kind, check_loopback(relay[0]), relay[1], keys))
            opened.pop_all()

    def run(self, sink: Sink, ended: Callable[[], bool]) -> None:
        """Hand what comes to a sink until `ended` says so; it is asked several times a second."""
        poller = zmq.Poller()
        while not ended():
            for member in self._members:
                member.register(poller)
            poller.poll(_TICK_MS)
            for member in self._members:
                member.advance(sink)
        for member in self._members:  # what relays were given meanwhile
            member.advance(sink)

    def run_until(self, sink: Sink, ended: Callable[[], bool]) -> None:
        """As `run`, in a thread, where no Ctrl-C comes between taking a message and handing it on.

        Raises:
            KeyboardInterrupt: after Ctrl-C, when the thread has ended.
            Exception: that ended the thread.
        """
        stopped = threading.Event()
        with ThreadPoolExecutor(1, thread_name_prefix="rubblemap-tap") as threads:
            done = threads.submit(self.run, sink, stopped.is_set)
            try:
                while not done.done() and not ended():
                    time.sleep(_TICK_MS / 1000.0)
            finally:
                stopped.set()
            done.result()

    def close(self) -> None:
        """Close all sockets; what relays have taken is handed on first, for at most a second."""
        for member in self._members:
            member.close()
        self._members.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
