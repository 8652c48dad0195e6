"""The whole service: beside its bare passes, from a cold start, over many frames, and with the shipped flyby."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flight.bundle import load_bundle
from flight.client import Commander, FrameSender, Subscriber
from flight.inference.interpreter import make_interpreter
from ground_tools.benchmark.service_cost import measure_cost
from ground_tools.benchmark.started_service import START_TIMEOUT_S, answer_frame, started_service
from ground_tools.benchmark.workload import FlightEngine, in_milliseconds
from ground_tools.foundation.progress import progress

# A subscription takes a moment to reach the publisher.
_SUBSCRIPTION_S = 0.5
# The frames of the demonstration; shares of what one frame after the other takes, to be tried as rates.
DEMO_RATE_HZ = 2.0
_RATE_SHARES = (0.95, 0.85, 0.7, 0.5)
_FRAME_COUNT_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class ServiceFigures:
    """Of the service with the bundle's default parameters, unless a field says otherwise.

    Attributes:
        passes: of a frame.
        overhead: of whole passes, `engine = "passes"`: time from frame sent to product received over that of as many
            bare runs of the interpreters, less 1; median over the rounds. least_overhead, largest_overhead.
        engine_overhead: of the default engine: the same over the engine's own time in a process without sockets.
        bare_ms, whole_ms: of whole passes: bare runs; the service.
        frame_ms: median from frame sent to product received, default engine. p50_ms, p99_ms: over `frames` frames.
        rss_mb: resident memory of service and worker together after some frames, MB (10^6 bytes); pss_mb: the same,
            pages that both have counted once; ready_s, cold_start_s: from the start of the process to ready, and to the
            first product with maps. Medians of starts, see service_cost.
        answered_share: of the flyby's frames, sent at demo_rate_hz.
        flyby_rate_hz: largest rate tried at which every frame of the flyby was answered; None if none was.
    """

    passes: int
    overhead: float
    least_overhead: float
    largest_overhead: float
    engine_overhead: float
    bare_ms: float
    whole_ms: float
    frame_ms: float
    p50_ms: float
    p99_ms: float
    frames: int
    rss_mb: float
    pss_mb: float
    ready_s: float
    cold_start_s: float
    demo_rate_hz: float
    answered_share: float
    flyby_rate_hz: float | None
    flyby_frames: int


@dataclass(frozen=True)
class Extent:
    """How much to measure: rounds, frames for the jitter, starts, frames of the flyby (None for all)."""

    rounds: int
    frames: int
    starts: int
    flyby_frames: int | None = None


def measure_service(bundle_path: Path, frame: np.ndarray, passes: int, threads: int, extent: Extent) -> ServiceFigures:
    """Measure all of ServiceFigures.

    Args:
        bundle_path: the bundle's folder.
        frame: (H, W) uint8 of the networks' size, for all but the flyby.
        passes: of a frame.
        threads: of the service and the bare passes.
        extent: see Extent.

    Raises:
        RuntimeError: the service does not start or does not answer.
    """
    cost = measure_cost(bundle_path, extent.starts)
    bare, whole = _beside_bare_passes(bundle_path, frame, passes, threads, extent.rounds)
    engine = FlightEngine(load_bundle(bundle_path), "auto", threads)
    engine.answer(frame, 0, passes)
    alone, served, sequence = [], [], []
    with _serve(bundle_path, passes, threads, "auto") as service:
        service.answer(frame)
        for number in progress(range(extent.rounds), unit="round", label="service beside engine"):
            alone.append(engine.answer(frame, number, passes).seconds)
            served.append(service.answer(frame))
        engine.close()
        for _ in progress(range(extent.frames), unit="frame", label="jitter"):
            sequence.append(service.answer(frame))
    median = statistics.median(sequence)
    share, total = _fly_by(bundle_path, passes, threads, DEMO_RATE_HZ, extent.flyby_frames)
    rate = _largest_rate(bundle_path, passes, threads, median, extent.flyby_frames)
    overheads = [one / other - 1.0 for one, other in zip(whole, bare, strict=True)]
    return ServiceFigures(
        passes=passes,
        overhead=round(statistics.median(overheads), 4),
        least_overhead=round(min(overheads), 4),
        largest_overhead=round(max(overheads), 4),
        engine_overhead=round(
            statistics.median(one / other - 1.0 for one, other in zip(served, alone, strict=True)), 4
        ),
        bare_ms=in_milliseconds(bare),
        whole_ms=in_milliseconds(whole),
        frame_ms=in_milliseconds(served),
        p50_ms=in_milliseconds(sequence),
        p99_ms=round(1e3 * float(np.percentile(sequence, 99)), 1),
        frames=len(sequence),
        rss_mb=round(cost["rss_mb"], 1),
        pss_mb=round(cost["pss_mb"], 1),
        ready_s=round(cost["ready_s"], 2),
        cold_start_s=round(cost["first_product_s"], 2),
        demo_rate_hz=DEMO_RATE_HZ,
        answered_share=round(share, 4),
        flyby_rate_hz=rate,
        flyby_frames=total,
    )


class _Service:
    """A running service, and a client of each of its sockets."""

    def __init__(self, process: subprocess.Popen[bytes], endpoints: dict[str, str]) -> None:
        self.endpoints = endpoints
        self._process = process
        self._products = Subscriber(endpoints["products"])
        self._camera = FrameSender(endpoints["frames"])

    def close(self) -> None:
        self._products.close()
        self._camera.close()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with Commander(self.endpoints["commands"], timeout_s=1.0) as commander:
                try:
                    if commander.send("get_status")["state"] == "ready":
                        return
                except TimeoutError:
                    continue
            time.sleep(0.1)
        raise RuntimeError("the service did not become ready")

    def counters(self) -> dict[str, int]:
        with Commander(self.endpoints["commands"]) as commander:
            counters: dict[str, int] = commander.send("get_status")["counters"]
            return counters

    def wait_for_answers(self) -> dict[str, int]:
        """Wait until every frame that came is answered or superseded, or for too long; returns the counters."""
        deadline = time.monotonic() + _FRAME_COUNT_TIMEOUT_S
        while True:
            found = self.counters()
            gone = found["frames_processed"] + found["frames_superseded"]
            if gone >= found["frames_received"] or time.monotonic() > deadline:
                return found
            time.sleep(0.1)

    def answer(self, frame: np.ndarray) -> float:
        """Seconds from frame sent to product received."""
        return answer_frame(self._camera, self._products, frame)


@contextmanager
def _serve(bundle: Path, passes: int, threads: int, engine: str) -> Iterator[_Service]:
    """A service that is ready, ended at the end."""
    settings: dict[str, dict[str, Any]] = {
        "parameters": {"passes": passes, "engine": engine},
        "inference": {"threads": threads},
    }
    with started_service(bundle, settings) as (process, endpoints), closing(_Service(process, endpoints)) as service:
        service.wait_until_ready()
        time.sleep(_SUBSCRIPTION_S)
        yield service


def _beside_bare_passes(
    bundle_path: Path, frame: np.ndarray, passes: int, threads: int, rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of a frame, turn and turn about: bare runs, masks left as they are, all threads on one network after the
    other; and the service with whole passes.
    """
    bundle = load_bundle(bundle_path)
    interpreters = [make_interpreter(network.content, threads) for network in bundle.networks]
    bare, whole = [], []
    with _serve(bundle_path, passes, threads, "passes") as service:
        for number in progress(range(rounds + 1), unit="round", label="service beside bare passes"):
            began = time.perf_counter()
            for interpreter in interpreters:
                for _ in range(passes):
                    interpreter.invoke()
            seconds, answered = time.perf_counter() - began, service.answer(frame)
            if number:  # the first round warms both up
                bare.append(seconds)
                whole.append(answered)
    return bare, whole


def _fly_by(bundle: Path, passes: int, threads: int, rate_hz: float, count: int | None) -> tuple[float, int]:
    """Share of the flyby's frames that a service answers at a rate, and how many there were."""
    with _serve(bundle, passes, threads, "auto") as service:
        stream = [sys.executable, "-m", "hil.cli", "stream", "--endpoint", service.endpoints["frames"]]
        stream += ["--rate", f"{rate_hz:.4f}", *([] if count is None else ["--count", str(count)])]
        done = subprocess.run(stream, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"hil stream: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
        counters = service.wait_for_answers()
    total = counters["frames_received"]
    return counters["frames_processed"] / max(total, 1), total


def _largest_rate(bundle: Path, passes: int, threads: int, frame_s: float, count: int | None) -> float | None:
    """The largest of a few rates at which no frame of the flyby is lost; frame_s: seconds of one frame alone."""
    for share in progress(_RATE_SHARES, unit="rate", label="flyby"):
        rate = round(share / frame_s, 2)
        if _fly_by(bundle, passes, threads, rate, count)[0] == 1.0:
            return rate
    return None
