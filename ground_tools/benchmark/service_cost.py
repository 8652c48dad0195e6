"""What the service costs a board: memory of service and worker, and the time from its start to the first map."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from flight.client import Commander, FrameSender, Subscriber
from ground_tools.benchmark.started_service import answer_frame, check_starting, started_service

_POLL_S = 0.01
# A disk of this radius, over the frame's height, is a body that fills most of a map.
_FRAME_SIDE = 128
_RADIUS = 0.35


@dataclass(frozen=True)
class ServiceCost:
    """What one start of the service has cost.

    Attributes:
        rss_mb: resident memory of service and worker together, 10^6 bytes; pages that both have count twice.
        pss_mb: the same, pages that several processes have shared out among them.
        service_rss_mb, worker_rss_mb: of each alone.
        ready_s: from the start of the process to the state `ready`, seconds.
        first_product_s: from there to the first product that is valid or degraded, of a frame that was sent before.
        start_processor_s: processor time of both up to then, which other programs on the machine change less.
    """

    rss_mb: float
    pss_mb: float
    service_rss_mb: float
    worker_rss_mb: float
    ready_s: float
    first_product_s: float
    start_processor_s: float


def measure_cost(bundle: Path, starts: int = 5, frames: int = 20) -> dict[str, float]:
    """Start the service several times, each time as `flight serve` with its default parameters.

    Args:
        bundle: folder of the bundle.
        starts: how many times.
        frames: that are answered before the memory is measured.

    Returns:
        The median of each field of ServiceCost.

    Raises:
        RuntimeError: the service did not start, or did not answer a frame.
    """
    costs = [asdict(measure_start(bundle, frames)) for _ in range(starts)]
    return {name: statistics.median(cost[name] for cost in costs) for name in costs[0]}


def measure_start(bundle: Path, frames: int = 20) -> ServiceCost:
    """Start the service once; arguments and errors as of measure_cost."""
    began = time.monotonic()
    with started_service(bundle) as (process, endpoints):
        while not Path(endpoints["commands"].removeprefix("ipc://")).exists():
            check_starting(process, began)
            time.sleep(_POLL_S)
        return _measure(process, began, endpoints, frames)


def _measure(process: subprocess.Popen[bytes], began: float, endpoints: dict[str, str], frames: int) -> ServiceCost:
    """Measure a service that has just bound its sockets."""
    frame = _draw_frame()
    ready_s: float | None = None
    first_product_s: float | None = None
    with (
        Subscriber(endpoints["products"], newest=False) as products,
        FrameSender(endpoints["frames"]) as camera,
        Commander(endpoints["commands"], timeout_s=1.0) as commander,
    ):
        camera.send(frame, centered=True)
        while ready_s is None or first_product_s is None:
            check_starting(process, began)
            with contextlib.suppress(TimeoutError):
                if ready_s is None and commander.send("get_status")["state"] == "ready":
                    ready_s = time.monotonic() - began
            product = products.receive(_POLL_S)
            if product is not None and product.status != "invalid":
                first_product_s = time.monotonic() - began
        worker = commander.send("get_status")["worker_pid"]
        processor_s = _read_processor_s(process.pid) + _read_processor_s(worker)
        for _ in range(frames):
            answer_frame(camera, products, frame)
        service_rss, service_pss = _read_memory(process.pid)
        worker_rss, worker_pss = _read_memory(worker)
    return ServiceCost(
        rss_mb=service_rss + worker_rss,
        pss_mb=service_pss + worker_pss,
        service_rss_mb=service_rss,
        worker_rss_mb=worker_rss,
        ready_s=ready_s,
        first_product_s=first_product_s,
        start_processor_s=processor_s,
    )


def _draw_frame() -> np.ndarray:
    """A bright disk on a dark sky."""
    v, u = np.mgrid[:_FRAME_SIDE, :_FRAME_SIDE]
    inside = np.hypot(u - _FRAME_SIDE / 2, v - _FRAME_SIDE / 2) < _RADIUS * _FRAME_SIDE
    return np.where(inside, 180, 10).astype(np.uint8)


def _read_processor_s(pid: int) -> float:
    """Processor time of a process and its threads, seconds."""
    # After the program's name, which may hold anything, the 14th and 15th fields of proc_pid_stat(5).
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _read_memory(pid: int) -> tuple[float, float]:
    """RSS and PSS of a process, 10^6 bytes."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, value = line.split()[:2]
        fields[name] = 1024e-6 * int(value)
    return fields["Rss:"], fields["Pss:"]
