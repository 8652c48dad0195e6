"""Clients of the service for tests of its security: raw sockets with and without keys."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import zmq

from flight.icd.control import encode_message
from flight.icd.frames import encode_frame
from flight.keys import ROLES, ClientKeys
from tests.flight.service_process import SOCKETS, RunningService
from tests.tiny_bundle import body_frame

FRAME = body_frame(40, 60, 14)
CLIENTS = {"frames": zmq.PUSH, "products": zmq.SUB, "telemetry": zmq.SUB, "commands": zmq.DEALER}


def flight(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process."""
    command = [sys.executable, "-m", "flight.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@dataclass
class Keys:
    """The service's folder, and the clients' by role; `unknown` is a client whose key no allow-list has."""

    service: Path
    clients: dict[str, Path]

    @property
    def settings(self) -> str:
        return f"[security]\nkeys = '{self.service}'\n"


def make_keys(folder: Path) -> Keys:
    keys = Keys(folder / "service", {name: folder / name for name in (*ROLES, "unknown")})
    assert flight("keys", "service", keys.service).returncode == 0
    for name, out in keys.clients.items():
        role = name if name in ROLES else "camera"
        assert flight("keys", "client", keys.service, name, "--role", role, "--out", out).returncode == 0
    (keys.service / "cameras" / "unknown.key").unlink()
    return keys


def free_endpoints(host: str) -> dict[str, str]:
    """A free TCP port for each of the sockets."""
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        ports = []
        for _ in SOCKETS:
            ports.append(socket.bind_to_random_port("tcp://127.0.0.1"))
        return {name: f"tcp://{host}:{port}" for name, port in zip(SOCKETS, ports, strict=True)}


@contextmanager
def peer(service: RunningService, name: str, keys: ClientKeys | None = None) -> Iterator[zmq.Socket[bytes]]:
    """A socket of the fitting kind that tries to connect once."""
    with zmq.Context() as context, context.socket(CLIENTS[name]) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, -1)
        if keys is not None:
            socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
            socket.setsockopt(zmq.CURVE_SERVERKEY, keys.service)
        if socket.type == zmq.SUB:
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(service.endpoints[name])
        yield socket


def frame_parts(source: str) -> list[bytes]:
    return encode_frame(FRAME, source=source, epoch=1, frame_id=1, capture_time_ns=0, centered=True)


def command(identifier: int, name: str = "no_op", **arguments: object) -> bytes:
    return encode_message("command", {"id": identifier, "name": name, "arguments": arguments})


def every_role_works(service: RunningService, source: str) -> None:
    """A camera's frame becomes a consumer's product, telemetry comes, and a command is answered."""
    with (
        service.subscriber("map.navigation") as products,
        service.telemetry("telemetry.housekeeping") as telemetry,
        service.camera(source=source) as camera,
    ):
        camera.send(FRAME, centered=True)
        product = products.receive(20)
        assert product is not None
        assert product.status != "invalid"
        assert product.header["source"] == source
        assert telemetry.receive(30) is not None
    assert service.command("no_op") == {}
