"""Campaign: peers without a key, whose handshakes fail hundreds of times a second."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.flight.service.peers import free_endpoints, make_keys
from tests.flight.service_process import RunningService, running_service
from tests.reliability.common import percentile
from tests.tiny_bundle import body_frame

RATE_HZ = 1000.0
_FRAMES_PER_SECOND = 10.0
_FRAME = body_frame(40, 60, 14)
# A peer that offers no key: the greeting of a ZeroMQ socket with the NULL mechanism.
_GREETING = b"\xff" + bytes(7) + b"\x01\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
# Closing at once, so that no port stays taken for a minute.
_AT_ONCE = struct.pack("ii", 1, 0)


def run(folder: Path, bundle: Path, seconds: float) -> dict[str, Any]:
    """Latency of frames one at a time, from sending to the product: without such peers, and with them."""
    keys = make_keys(folder / "keys")
    settings = keys.settings + "[parameters]\nself_test_interval = 0\n"
    endpoints = free_endpoints("127.0.0.1")
    with running_service(folder, bundle, settings, endpoints=endpoints, keys=keys.clients) as service:
        quiet = measure_latencies(service, "quiet", seconds)
        before = service.command("get_status")["counters"]["handshakes_failed"]
        with unauthenticated_peers(service):
            began = time.monotonic()
            attacked = measure_latencies(service, "attacked", seconds)
            lasted = time.monotonic() - began
            failed = service.command("get_status")["counters"]["handshakes_failed"] - before
    return {
        "handshakes": {
            "failed_per_second": round(failed / lasted),
            "quiet_p50_ms": round(percentile(quiet, 0.5), 1),
            "quiet_p99_ms": round(percentile(quiet, 0.99), 1),
            "attacked_p50_ms": round(percentile(attacked, 0.5), 1),
            "attacked_p99_ms": round(percentile(attacked, 0.99), 1),
        },
        "handshakes_latency_ratio": round(percentile(attacked, 0.5) / percentile(quiet, 0.5), 2),
    }


def measure_latencies(service: RunningService, source: str, seconds: float) -> list[float]:
    """Latencies of frames one at a time, ms."""
    latencies = []
    with service.camera(source=source) as camera, service.subscriber("map.navigation") as products:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            began = time.monotonic()
            camera.send(_FRAME, centered=True)
            product = products.receive(30)
            assert product is not None
            assert product.status != "invalid"
            latencies.append(1e3 * (time.monotonic() - began))
            time.sleep(1.0 / _FRAMES_PER_SECOND)
    return latencies


@contextlib.contextmanager
def unauthenticated_peers(service: RunningService) -> Any:
    """A process that fails handshakes on the socket of the products, RATE_HZ of them, while the block lasts."""
    # It yields to everyone: its own computing is not what is measured.
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.reliability.handshakes", service.endpoints["products"]],
        preexec_fn=lambda: os.nice(5),
    )
    try:
        time.sleep(2.0)
        yield
        assert process.poll() is None, "the peers ended"
    finally:
        process.kill()
        process.wait()


def main(endpoints: list[str]) -> None:
    """The peers, until they are killed. endpoints: tcp ones, taken in turn."""
    addresses = [endpoint.removeprefix("tcp://").rpartition(":") for endpoint in endpoints]
    began, count = time.monotonic(), 0
    while True:
        host, _, port = addresses[count % len(addresses)]
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=2) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            raw.sendall(_GREETING)
            # Until the service has read it, and hung up.
            while raw.recv(256):
                pass
        count += 1
        time.sleep(max(began + count / RATE_HZ - time.monotonic(), 0.0))


if __name__ == "__main__":
    main(sys.argv[1:])
