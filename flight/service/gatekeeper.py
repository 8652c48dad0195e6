"""Decides who may connect: CURVE and an allow-list per client role on the public sockets (ZAP, ZeroMQ RFC 27).

libzmq asks the handler about every handshake, over an inproc socket that the service's loop reads; a CURVE socket
without a handler would admit any key.
"""

from __future__ import annotations

import struct
from collections import Counter

import zmq
from zmq.utils import z85

from flight.keys import SOCKET_ROLES, ServiceKeys
from flight.service.events import Event, EventSink
from flight.service.statistics import Counters

_ZAP_ENDPOINT = "inproc://zeromq.zap.01"
_FAILURES: dict[int, str] = {
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "the connection ended during the handshake",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "no valid handshake: no key, another security mechanism, or no ZeroMQ peer",
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "the key was rejected",
}
# A peer that has not shown its key holds a file handle and the memory of one part; so it is dropped soon.
_HANDSHAKE_MS = 5000
_REQUESTS_PER_TURN = 32
# libzmq's thread, through which every frame and product goes, waits when a monitor's queue is full. So the queue is
# long, and a turn takes more out of it than strangers can put in meanwhile.
_MONITOR_QUEUE = 100_000
_FAILURES_PER_TURN = 1000
# What a monitor's message begins with: the event's number, and a value.
_MONITOR_EVENT = struct.Struct("=HI")


class Gatekeeper:
    """Answers handshakes by the allow-lists; counts and reports those that fail.

    Attributes:
        socket: on which libzmq asks, to be polled; None without keys.
        behind: whether failed handshakes are left for the next turn, which then should not wait.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        keys: ServiceKeys | None,
        events: EventSink,
        counters: Counters,
    ) -> None:
        """Start the handler, if there are keys.

        Args:
            keys: None leaves the sockets without CURVE; failed handshakes are reported all the same.
        """
        self._keys = keys
        self._events = events
        self._counters = counters
        self._context = context
        self._monitors: dict[str, zmq.Socket[bytes]] = {}
        self.behind = False
        self.socket: zmq.Socket[bytes] | None = None
        if keys is not None:
            self.socket = context.socket(zmq.REP)
            self.socket.setsockopt(zmq.LINGER, 0)
            self.socket.bind(_ZAP_ENDPOINT)

    def guard(self, name: str, socket: zmq.Socket[bytes]) -> None:
        """Set up a public socket before it is bound."""
        socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        if self._keys is not None:
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt(zmq.CURVE_SECRETKEY, self._keys.secret)
            socket.setsockopt(zmq.ZAP_DOMAIN, name.encode("ascii"))
        events = 0
        for failure in _FAILURES:
            events |= failure
        address = f"inproc://monitor.{name}"
        socket.monitor(address, events)
        monitor = self._context.socket(zmq.PAIR)
        monitor.setsockopt(zmq.LINGER, 0)
        monitor.setsockopt(zmq.RCVHWM, _MONITOR_QUEUE)
        monitor.connect(address)
        self._monitors[name] = monitor

    def answer(self) -> None:
        """Answer the handshakes that wait, and report those that failed: at most so many as one turn may take."""
        if self.socket is not None:
            self._answer_requests(self.socket)
        self.behind = False
        for name, monitor in self._monitors.items():
            failures: Counter[int] = Counter()
            for _ in range(_FAILURES_PER_TURN):
                try:
                    parts = monitor.recv_multipart(flags=zmq.NOBLOCK)
                except zmq.Again:
                    break
                # See zmq_socket_monitor(3). PyZMQ's own function comes with asyncio, which takes 4 MB.
                if len(parts[0]) == _MONITOR_EVENT.size:
                    failures[_MONITOR_EVENT.unpack(parts[0])[0]] += 1
            else:
                self.behind = True
            for number, times in failures.items():
                # A key that is not allowed was reported by _answer_requests, with more detail.
                if number in _FAILURES and number != zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                    failure = Event("handshake_failed", socket=name, problem=_FAILURES[number])
                    self._report_failure(failure, times)

    def _report_failure(self, failure: Event, times: int = 1) -> None:
        self._counters.count("handshakes_failed", number=times)
        self._events.send_event(failure, times)

    def _answer_requests(self, socket: zmq.Socket[bytes]) -> None:
        for _ in range(_REQUESTS_PER_TURN):
            try:
                parts = socket.recv_multipart(flags=zmq.NOBLOCK)
            except zmq.Again:
                break
            failure, user = self._authorize(parts)
            request = parts[1] if len(parts) > 1 else b""
            status, text = (b"400", b"refused") if failure else (b"200", b"OK")
            socket.send_multipart([b"1.0", request, status, text, user, b""])
            if failure is not None:
                self._report_failure(failure)

    def _authorize(self, parts: list[bytes]) -> tuple[Event | None, bytes]:
        """Check a ZAP request. Returns why it is rejected, None if it is not; and the client's name."""
        assert self._keys is not None
        if len(parts) != 7 or parts[0] != b"1.0" or parts[5] != b"CURVE" or len(parts[6]) != 32:
            return Event("handshake_failed", problem="a handshake without a CURVE key"), b""
        domain, address = parts[2].decode("ascii", "replace"), parts[3].decode("ascii", "replace")
        key = z85.encode(parts[6])
        role = SOCKET_ROLES.get(domain, "")
        name = self._keys.allowed.get(role, {}).get(key)
        if name is None:
            text = key.decode("ascii")
            return Event("handshake_failed", socket=domain, key=text, address=address or None, role=role), b""
        return None, name.encode("utf-8")

    def close(self) -> None:
        """Close the handler's and the monitors' sockets; the sockets that they watch must not be used after that."""
        for socket in (self.socket, *self._monitors.values()):
            if socket is not None:
                socket.close()
