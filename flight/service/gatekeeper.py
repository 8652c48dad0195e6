"""Who may connect: CURVE on the public sockets, each with its role's allow-list (ZAP, ZeroMQ RFC 27).

The handler is asked by libzmq for every handshake, over an inproc socket that the service's loop reads; a CURVE socket
without a handler would admit any key.
"""

from __future__ import annotations

import struct
from typing import Any

import zmq
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from flight.keys import SOCKET_ROLES, ServiceKeys
from flight.service.events import EventSink
from flight.service.statistics import Counters

_ZAP_ENDPOINT = "inproc://zeromq.zap.01"
_FAILURES: dict[int, str] = {
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "the connection ended during the handshake",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "no valid handshake: no key, another security mechanism, or no ZeroMQ peer",
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "the key was refused",
}
# Until a peer has shown its key it can hold a file handle and the memory of one part: not for long.
_HANDSHAKE_MS = 5000
_MESSAGES_PER_TURN = 32


class Gatekeeper:
    """Answers handshakes by the allow-lists; counts those that fail, and tells of them.

    keys: None leaves the sockets without CURVE: then only handshakes that fail are told of. socket: to be polled, None
    without keys.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        keys: ServiceKeys | None,
        events: EventSink,
        counters: Counters,
    ) -> None:
        self._keys = keys
        self._events = events
        self._counters = counters
        self._monitors: dict[str, zmq.Socket[bytes]] = {}
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
        monitor: Any = socket.get_monitor_socket(events)
        monitor.setsockopt(zmq.LINGER, 0)
        self._monitors[name] = monitor

    def answer(self) -> None:
        """Answer waiting handshakes."""
        if self.socket is not None:
            self._answer_requests(self.socket)
        for name, monitor in self._monitors.items():
            for _ in range(_MESSAGES_PER_TURN):
                try:
                    event = parse_monitor_message(monitor.recv_multipart(flags=zmq.NOBLOCK))
                except zmq.Again:
                    break
                except (struct.error, RuntimeError):
                    continue
                # A key that this side refused was told of by _answer_requests, with more to say.
                if event["event"] in _FAILURES and event["event"] != zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                    self._tell(f"{name}: {_FAILURES[int(event['event'])]}")

    def _tell(self, problem: str) -> None:
        self._counters.count("handshakes_failed")
        self._events.send("handshake_failed", problem)

    def _answer_requests(self, socket: zmq.Socket[bytes]) -> None:
        for _ in range(_MESSAGES_PER_TURN):
            try:
                parts = socket.recv_multipart(flags=zmq.NOBLOCK)
            except zmq.Again:
                break
            problem, user = self._judge(parts)
            request = parts[1] if len(parts) > 1 else b""
            status, text = (b"400", b"refused") if problem else (b"200", b"OK")
            socket.send_multipart([b"1.0", request, status, text, user, b""])
            if problem:
                self._tell(problem)

    def _judge(self, parts: list[bytes]) -> tuple[str, bytes]:
        """Why a handshake is refused, or "" and the client's name."""
        assert self._keys is not None
        if len(parts) != 7 or parts[0] != b"1.0" or parts[5] != b"CURVE" or len(parts[6]) != 32:
            return "a handshake without a CURVE key", b""
        domain, address = parts[2].decode("ascii", "replace"), parts[3].decode("ascii", "replace")
        key = z85.encode(parts[6])
        role = SOCKET_ROLES.get(domain, "")
        name = self._keys.allowed.get(role, {}).get(key)
        if name is None:
            where = f" from {address}" if address else ""
            return f"{domain}: key {key.decode('ascii')}{where} is not allowed as {role}", b""
        return "", name.encode("utf-8")

    def close(self) -> None:
        """Close the handler's and the monitors' sockets; what they watch must not be used after that."""
        for socket in (self.socket, *self._monitors.values()):
            if socket is not None:
                socket.close()
