"""The worker process: holds the engine, answers one job at a time, and knows no public socket.

The service starts it as `python -m flight.service.worker`. It ends when its standard input closes, so that it never
outlives the service, however that ended. It sends a heartbeat after every dropout pass while busy, and when it is
pinged while idle.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from flight.bundle import Bundle, BundleError, load_bundle
from flight.icd.products import describe_plane
from flight.inference.engine import Engine
from flight.inference.network import NetworkFaultError
from flight.inference.planes import topic_planes
from flight.inference.self_test import describe_environment, run_self_test
from flight.service.protocol import (
    Alive,
    Answer,
    Failed,
    FrameJob,
    Job,
    MapsAnswer,
    Ping,
    Progress,
    Ready,
    SelfTestAnswer,
    SelfTestJob,
    StartFailed,
    encode,
    parse_job,
)


def load_this_bundle(folder: Path, sha256: str) -> Bundle:
    """Load a bundle that must be a certain one: another in its place may be whole, and answer other maps.

    Args:
        folder: of the bundle.
        sha256: of its manifest.

    Raises:
        BundleError: the bundle is damaged, or another one.
    """
    bundle = load_bundle(folder)
    if bundle.sha256 != sha256:
        raise BundleError(
            f"{folder}: manifest.json: expected sha256 {sha256[:16]}..., got {bundle.sha256[:16]}...: another bundle"
        )
    return bundle


def process_frame(engine: Engine, job: FrameJob, progress: Callable[[int], None]) -> MapsAnswer:
    """Run the engine on a frame.

    Args:
        engine: over the serving bundle.
        job: the frame, and how to process it.
        progress: called with the number of passes done.
    """
    dtype: np.dtype[Any] = np.dtype("<u1") if job.dtype == "u8" else np.dtype("<u2")
    shape = (job.height, job.width) if job.channels == 1 else (job.height, job.width, job.channels)
    maps = engine.segment(
        np.frombuffer(job.pixels, dtype=dtype).reshape(shape),
        bit_depth=job.bit_depth,
        centered=job.centered,
        seed=job.seed,
        settings=job.settings,
        started=job.started,
        progress=progress,
    )
    topics: dict[str, list[dict[str, Any]]] = {}
    planes: list[bytes] = []
    for topic in job.topics:
        topics[topic] = []
        for name, plane, units in topic_planes(maps, engine.bundle.classes, topic, job.settings):
            entry, raw = describe_plane(name, plane, units)
            topics[topic].append(entry)
            planes.append(raw)
    return MapsAnswer(
        job=job.job,
        topics=topics,
        map_to_sensor=list(maps.map_to_sensor),
        passes_used=maps.passes_used,
        flags=list(maps.flags),
        timing_ms=maps.timing_ms,
        planes=tuple(planes),
    )


def process_self_test(engine: Engine, progress: Callable[[int], None]) -> Ready:
    """Run the self-test.

    Args:
        engine: over the bundle to be tested.
        progress: called with the number of passes done.

    Returns:
        Its result, and what decides which result it must be: the bundle and the environment.

    Raises:
        BundleError: too few pixels have the recorded class.
    """
    result = run_self_test(engine, progress)
    return Ready(engine.bundle.sha256, describe_environment(engine.threads), result.agreement, result.digest)


def answer_job(engine: Engine, job: Job, progress: Callable[[int], None]) -> Answer:
    """Carry out one job. A job that fails is answered too, and does not end the worker.

    Raises:
        NetworkFaultError: this worker must not go on; the service replaces it and sees what becomes of the frame.
    """
    if isinstance(job, Ping):
        return Alive()
    try:
        if isinstance(job, SelfTestJob):
            return SelfTestAnswer(job.job, **vars(process_self_test(engine, progress)))
        return process_frame(engine, job, progress)
    except NetworkFaultError:
        raise
    except Exception as error:
        return Failed(job.job, f"{type(error).__name__}: {error}")


def _end_with_parent() -> None:
    """Exit as soon as standard input closes, of which the service holds the other end."""
    while os.read(0, 4096):
        pass
    os._exit(0)


def main(arguments: list[str]) -> int:
    """Run a worker. arguments: endpoint, bundle folder, threads, SHA-256 of the bundle. Returns the exit code."""
    endpoint, bundle_path, threads, sha256 = arguments[0], Path(arguments[1]), int(arguments[2]), arguments[3]
    # Ctrl-C and systemd's stop reach every process; the service alone ends the worker. What it ignores itself its
    # worker ignores, too: that is inherited.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)
    socket.setsockopt(zmq.LINGER, 1000)
    socket.connect(endpoint)

    def send(answer: Answer) -> None:
        socket.send_multipart(encode(answer))

    def progress(passes: int) -> None:
        send(Progress(passes))

    try:
        engine = Engine(load_this_bundle(bundle_path, sha256), threads)
        # This also warms the engine up: the first pass is the slowest.
        ready = process_self_test(engine, progress)
    except (BundleError, RuntimeError) as error:
        send(StartFailed(str(error)))
        socket.close()
        context.term()
        return 1
    send(ready)
    while True:
        send(answer_job(engine, parse_job(socket.recv_multipart()), progress))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
