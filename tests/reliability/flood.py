"""Campaign: a hundred times the frame rate that can be answered."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import zmq

from flight.icd.frames import encode_frame
from hil.sources.folder import open_source
from tests.flight.service_process import RunningService, running_service
from tests.reliability.common import percentile

_PASSES = 2
# For as many seconds of flood, frames one at a time: enough for a p99, at 60 s.
_CALM_FRAMES_PER_SECOND = 2


def run(folder: Path, bundle: Path, seconds: float) -> dict[str, Any]:
    """Latency (received to published) of answered frames: one at a time, then under the flood."""
    settings = f"[parameters]\npasses = {_PASSES}\nself_test_interval = 0\n"
    source = open_source("flyby")
    calm = int(_CALM_FRAMES_PER_SECOND * seconds)
    with running_service(folder, bundle, settings) as service:
        frame = source.frame(28)
        unloaded, began = [], time.monotonic()
        with service.camera(source="calm") as camera, service.subscriber("map.navigation") as products:
            for _ in range(calm):
                camera.send(frame, centered=True)
                unloaded.append(_latency_ms(products.receive(30)))
            sustainable = calm / (time.monotonic() - began)
        flooded, sent = _flood(service, 100.0 * sustainable, seconds)
        counters = service.command("get_status")["counters"]
    calm, loaded = percentile(unloaded, 0.99), percentile(flooded, 0.99)
    return {
        "flood_seconds": seconds,
        "flood_rate_ratio": round(sent / seconds / sustainable, 1),
        "flood_frames_answered": len(flooded),
        "flood_frames_superseded": counters["frames_superseded"],
        "flood_latency_ms": {
            "unloaded_p50": round(percentile(unloaded, 0.5), 1),
            "unloaded_p99": round(calm, 1),
            "flooded_p50": round(percentile(flooded, 0.5), 1),
            "flooded_p99": round(loaded, 1),
        },
        "flood_p99_ratio": round(loaded / calm, 3),
    }


def _flood(service: RunningService, rate_hz: float, seconds: float) -> tuple[list[float], int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.reliability.flood", service.endpoints["frames"], str(rate_hz), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    latencies = []
    with service.subscriber("map.navigation", newest=False) as products:
        while process.poll() is None:
            product = products.receive(1.0)
            if product is not None and product.status != "invalid":
                latencies.append(_latency_ms(product))
    output, _ = process.communicate()
    return latencies, int(output)


def _latency_ms(product: Any) -> float:
    return float(product.header["published_time_ns"] - product.header["received_time_ns"]) * 1e-6


def main(arguments: list[str]) -> None:
    """The flooding camera: endpoint, frames per second, seconds. Prints how many frames the socket took."""
    endpoint, rate_hz, seconds = arguments[0], float(arguments[1]), float(arguments[2])
    frame = open_source("flyby").frame(28)
    context = zmq.Context()
    sender = context.socket(zmq.PUSH)
    sender.setsockopt(zmq.SNDHWM, 10)
    sender.connect(endpoint)
    began, number, sent = time.monotonic(), 0, 0
    while (elapsed := time.monotonic() - began) < seconds:
        due = int(elapsed * rate_hz)
        while number < due:
            parts = encode_frame(
                frame, source="flood", epoch=1, frame_id=number, capture_time_ns=time.time_ns(), centered=True
            )
            try:
                sender.send_multipart(parts, flags=zmq.NOBLOCK)
                sent += 1
            except zmq.Again:
                pass
            number += 1
        time.sleep(0.002)
    sender.close(linger=500)
    context.term()
    print(sent)


if __name__ == "__main__":
    main(sys.argv[1:])
