"""The whole service, from frame sent to product received, beside bare interpreter passes of the same networks."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flight.bundle import Bundle, load_bundle
from flight.client import Commander, FrameSender, Subscriber
from flight.endpoints import make_socket_folder
from flight.inference.interpreter import make_interpreter
from ground_tools.foundation.processor import describe_processor
from ground_tools.foundation.progress import progress
from ground_tools.pages.blocks import Table
from ground_tools.pages.templates import render

_SOCKETS = ("frames", "products", "telemetry", "commands")
_START_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Measured:
    """Seconds per frame, round by round. bare: P invocations of each network, masks left as they are, all threads
    on one network after the other. service: from frame sent to product received.
    """

    passes: int
    networks: int
    threads: int
    bare: list[float]
    service: list[float]


def benchmark_service(bundle_path: Path, rounds: int, passes: int, threads: int) -> Measured:
    """Measure both, turn and turn about, so that what else the machine does weighs on both alike.

    Raises RuntimeError when the service does not start or does not answer.
    """
    bundle = load_bundle(bundle_path)
    interpreters = [make_interpreter(network.content, threads) for network in bundle.networks]
    frame = _frame(bundle)
    bare, service = [], []
    with make_socket_folder("rubblemap_benchmark_", max(map(len, _SOCKETS))) as folder:
        endpoints = {name: f"ipc://{folder}/{name}" for name in _SOCKETS}
        configuration = Path(folder) / "flight.toml"
        lines = [f'{name} = "{endpoint}"' for name, endpoint in endpoints.items()]
        lines = ["[endpoints]", *lines, "[parameters]", f"passes = {passes}", "[inference]", f"threads = {threads}"]
        configuration.write_text("\n".join(lines), encoding="utf-8")
        serve = [sys.executable, "-m", "flight.cli", "serve", "--bundle", str(bundle_path)]
        process = subprocess.Popen([*serve, "--config", str(configuration)], stderr=subprocess.DEVNULL)
        try:
            _wait_until_ready(process, endpoints["commands"])
            with Subscriber(endpoints["products"]) as products, FrameSender(endpoints["frames"]) as camera:
                time.sleep(0.5)
                for number in progress(range(rounds + 1), unit="round", label="benchmark"):
                    one, other = _bare(interpreters, passes), _answered(camera, products, frame)
                    if number > 0:  # the first round warms both up
                        bare.append(one)
                        service.append(other)
        finally:
            process.terminate()
            process.wait()
    return Measured(passes, len(interpreters), threads, bare, service)


def page(measured: Measured, bundle: Bundle) -> str:
    """The result as a page in Markdown."""
    ratios = [s / b for s, b in zip(measured.service, measured.bare, strict=True)]
    total = measured.passes * measured.networks

    def row(name: str, seconds: list[float]) -> list[str]:
        median, least, largest = statistics.median(seconds), min(seconds), max(seconds)
        return [
            name,
            f"{median * 1e3:.0f}",
            f"{least * 1e3:.0f} to {largest * 1e3:.0f}",
            f"{median * 1e3 / total:.2f}",
        ]

    rows = [
        row("bare interpreter, all threads on one network after the other", measured.bare),
        row("service, frame sent to product received", measured.service),
    ]
    return render(
        "benchmark/service.md.j2",
        bundle=bundle,
        measured=measured,
        processor=describe_processor(),
        times=Table(["", "median, ms per frame", "spread", "ms per pass of one network"], rows),
        overheads=[100.0 * (ratio - 1.0) for ratio in (statistics.median(ratios), min(ratios), max(ratios))],
    )


def _frame(bundle: Bundle) -> np.ndarray:
    """A bright disk on a dark sky, of the networks' own size."""
    v, u = np.mgrid[: bundle.height, : bundle.width]
    radius = 0.35 * min(bundle.height, bundle.width)
    inside = np.hypot(u - bundle.width / 2, v - bundle.height / 2) < radius
    return np.where(inside, 180, 10).astype(np.uint8)


def _bare(interpreters: list, passes: int) -> float:
    began = time.perf_counter()
    for interpreter in interpreters:
        for _ in range(passes):
            interpreter.invoke()
    return time.perf_counter() - began


def _answered(camera: FrameSender, products: Subscriber, frame: np.ndarray) -> float:
    began = time.perf_counter()
    sent = camera.send(frame, centered=True)
    while True:
        product = products.receive(300.0)
        if product is None or product.status == "invalid":
            raise RuntimeError("the service did not answer a frame with maps")
        if product.header["frame_id"] == sent:
            return time.perf_counter() - began


def _wait_until_ready(process: subprocess.Popen, endpoint: str) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    with Commander(endpoint, timeout_s=1.0) as commander:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if commander.send("get_status")["state"] == "ready":
                    return
            except TimeoutError:
                continue
            time.sleep(0.1)
    raise RuntimeError("the service did not become ready")
