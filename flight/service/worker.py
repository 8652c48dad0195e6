"""The worker process: holds the engine, answers one job at a time, and knows no public socket.

Started by the service as `python -m flight.service.worker`. It ends when its standard input closes, so that
it never outlives the service, however that ended. Signs of life: an answer to a ping while idle, and one for every
dropout pass while busy.
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

from flight.bundle import BundleError, load_bundle
from flight.icd.products import describe_plane
from flight.inference.engine import Engine
from flight.inference.planes import topic_planes
from flight.inference.self_test import environment, run_self_test
from flight.service.protocol import pack, unpack
from flight.settings import Settings

Answer = tuple[dict[str, Any], list[bytes]]


def process_frame(engine: Engine, job: dict[str, Any], pixels: bytes, progress: Callable[[int], None]) -> Answer:
    """Answer a frame. Returns the answer's map and the planes' bytes, topic after topic."""
    dtype: np.dtype[Any] = np.dtype("<u1") if job["dtype"] == "u8" else np.dtype("<u2")
    shape = (job["height"], job["width"]) if job["channels"] == 1 else (job["height"], job["width"], job["channels"])
    maps = engine.segment(
        np.frombuffer(pixels, dtype=dtype).reshape(shape),
        bit_depth=job["bit_depth"],
        centered=job["centered"],
        seed=job["seed"],
        settings=Settings(**job["settings"]),
        started=job["started"],
        progress=progress,
    )
    topics: dict[str, list[dict[str, Any]]] = {}
    parts: list[bytes] = []
    for topic in job["topics"]:
        topics[topic] = []
        for name, plane, units in topic_planes(maps, engine.bundle.classes, topic):
            entry, raw = describe_plane(name, plane, units)
            topics[topic].append(entry)
            parts.append(raw)
    answer = {
        "type": "maps",
        "job": job["job"],
        "topics": topics,
        "map_to_sensor": list(maps.map_to_sensor),
        "passes_used": maps.passes_used,
        "flags": list(maps.flags),
        "timing_ms": maps.timing_ms,
    }
    return answer, parts


def self_tested(engine: Engine, progress: Callable[[int], None]) -> dict[str, Any]:
    """The self-test's result, and what the service needs to know which answer it must be. Raises BundleError."""
    result = run_self_test(engine, progress)
    return {
        "sha256": engine.bundle.sha256,
        "environment": environment(engine.threads),
        "agreement": result.agreement,
        "digest": result.digest,
    }


def answer_job(engine: Engine, job: dict[str, Any], pixels: bytes, progress: Callable[[int], None]) -> Answer:
    """Answer one job: a ping, a self-test or a frame."""
    if job["type"] == "ping":
        return {"type": "alive"}, []
    if job["type"] == "self_test":
        return {"type": "tested", "job": job["job"], **self_tested(engine, progress)}, []
    return process_frame(engine, job, pixels, progress)


def _end_with_parent() -> None:
    """Exit as soon as standard input closes: the service holds the other end."""
    while os.read(0, 4096):
        pass
    os._exit(0)


def main(arguments: list[str]) -> int:
    """Run a worker. arguments: endpoint, bundle folder, threads."""
    endpoint, bundle_path, threads = arguments[0], Path(arguments[1]), int(arguments[2])
    # Ctrl-C and systemd's stop reach every process; when the worker is to end is for the service to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)
    socket.setsockopt(zmq.LINGER, 1000)
    socket.connect(endpoint)

    def progress(passes: int) -> None:
        socket.send(pack({"type": "progress", "passes": passes}))

    try:
        engine = Engine(load_bundle(bundle_path), threads)
        # Also the warm-up, without which the first frame would be the slowest.
        tested = self_tested(engine, progress)
    except (BundleError, RuntimeError) as error:
        socket.send(pack({"type": "refused", "message": str(error)}))
        socket.close()
        context.term()
        return 1
    socket.send(pack({"type": "ready", **tested}))
    while True:
        parts = socket.recv_multipart()
        job = unpack(parts[0])
        try:
            answer, planes = answer_job(engine, job, parts[1], progress)
            socket.send_multipart([pack(answer), *planes])
        except Exception as error:
            # One frame that cannot be processed is no reason to lose the worker.
            socket.send(pack({"type": "failed", "job": job["job"], "message": f"{type(error).__name__}: {error}"}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
