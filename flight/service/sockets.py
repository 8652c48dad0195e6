"""Binds the four public sockets, with their limits and allow-lists."""

from __future__ import annotations

import socket as socketlib
from pathlib import Path

import zmq

from flight.icd.limits import COMMAND_BYTES, CURVE_BYTES, MESSAGE_BYTES
from flight.service.gatekeeper import Gatekeeper

# Frames queue in the service's own slot, not in the socket: a full socket would keep the oldest ones.
_FRAME_QUEUE = 4
# A subscriber that does not read loses products beyond these; it never holds up the others.
_PRODUCT_QUEUE = 16
_TELEMETRY_QUEUE = 1000
_COMMAND_QUEUE = 100
# name: (pattern, option for the queue's length, length, greatest incoming part in bytes)
_SOCKETS = {
    "frames": (zmq.PULL, zmq.RCVHWM, _FRAME_QUEUE, MESSAGE_BYTES),
    "products": (zmq.PUB, zmq.SNDHWM, _PRODUCT_QUEUE, 1024),
    "telemetry": (zmq.PUB, zmq.SNDHWM, _TELEMETRY_QUEUE, 1024),
    "commands": (zmq.ROUTER, zmq.RCVHWM, _COMMAND_QUEUE, COMMAND_BYTES),
}


class ServiceError(RuntimeError):
    """The service cannot start; the message says what and why."""


def bind_sockets(
    context: zmq.Context[zmq.Socket[bytes]], endpoints: dict[str, str], gatekeeper: Gatekeeper
) -> dict[str, zmq.Socket[bytes]]:
    """Bind all four sockets, or none. Raises ServiceError naming the endpoint."""
    sockets: dict[str, zmq.Socket[bytes]] = {}
    try:
        for name in _SOCKETS:
            sockets[name] = _bind(context, name, endpoints[name], gatekeeper)
    except ServiceError:
        for socket in sockets.values():
            socket.disable_monitor()
            socket.close()
        raise
    return sockets


def _bind(
    context: zmq.Context[zmq.Socket[bytes]], name: str, endpoint: str, gatekeeper: Gatekeeper
) -> zmq.Socket[bytes]:
    if _is_ipc_in_use(endpoint):
        raise ServiceError(f"endpoints.{name}: cannot bind {endpoint}: Address already in use")
    kind, option, queue, limit = _SOCKETS[name]
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 500)
    socket.setsockopt(option, queue)
    socket.setsockopt(zmq.MAXMSGSIZE, limit + (CURVE_BYTES if gatekeeper.socket is not None else 0))
    if "[" in endpoint:
        socket.setsockopt(zmq.IPV6, 1)
    gatekeeper.guard(name, socket)
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        socket.disable_monitor()
        socket.close()
        raise ServiceError(f"endpoints.{name}: cannot bind {endpoint}: {error.strerror}") from error
    return socket


def _is_ipc_in_use(endpoint: str) -> bool:
    """Whether a process listens on an ipc endpoint, which ZeroMQ would take over without an error."""
    path = endpoint.removeprefix("ipc://")
    if path == endpoint or not Path(path).is_socket():
        return False
    with socketlib.socket(socketlib.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True
