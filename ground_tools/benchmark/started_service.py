"""A service that a measurement starts for itself, and a frame that it answers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from flight.client import FrameSender, Subscriber
from flight.endpoints import make_socket_folder

START_TIMEOUT_S = 120.0
_ANSWER_TIMEOUT_S = 300.0
_SOCKETS = ("frames", "products", "telemetry", "commands")


@contextmanager
def started_service(
    bundle: Path, settings: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    """`flight serve`, which has only just begun to start; ended at the end.

    Args:
        bundle: folder of the bundle.
        settings: of its configuration, by section and name.

    Yields:
        Its process, and the addresses of its sockets, by name.
    """
    with make_socket_folder("rubblemap_benchmark_", max(map(len, _SOCKETS))) as folder:
        endpoints = {name: f"ipc://{folder}/{name}" for name in _SOCKETS}
        configuration = Path(folder) / "flight.toml"
        sections = {"endpoints": endpoints, **(settings or {})}
        lines: list[str] = []
        for section, values in sections.items():
            lines += [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
        configuration.write_text("\n".join(lines), encoding="utf-8")
        serve = [sys.executable, "-m", "flight.cli", "serve", "--bundle", str(bundle), "--config", str(configuration)]
        process = subprocess.Popen(serve, stderr=subprocess.DEVNULL)
        try:
            yield process, endpoints
        finally:
            process.terminate()
            process.wait()


def check_starting(process: subprocess.Popen[bytes], began: float) -> None:
    """Raise RuntimeError where a service that is not ready yet has ended, or takes too long.

    Args:
        process: of the service.
        began: when it was started, of time.monotonic.
    """
    if process.poll() is not None or time.monotonic() - began > START_TIMEOUT_S:
        raise RuntimeError("the service did not start")


def answer_frame(camera: FrameSender, products: Subscriber, frame: np.ndarray) -> float:
    """Have a frame answered.

    Args:
        camera: sends it.
        products: gets the answer.
        frame: (H, W) or (H, W, 3), uint8 or uint16.

    Returns:
        Seconds from frame sent to product received.

    Raises:
        RuntimeError: no maps came.
    """
    began = time.perf_counter()
    sent = camera.send(frame, centered=True)
    while True:
        product = products.receive(_ANSWER_TIMEOUT_S)
        if product is None or product.status == "invalid":
            raise RuntimeError("the service did not answer a frame with maps")
        if product.header["frame_id"] == sent:
            return time.perf_counter() - began
