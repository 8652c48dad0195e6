"""The worker process: holds the engine, answers one job at a time, and knows no public socket.

The service starts it as `python -m flight.service.worker`. It ends when its standard input closes, so that it never
outlives the service, however that ended. It sends a heartbeat after every step of its start and every dropout pass
while busy, and when it is pinged while idle. No answer to a frame leaves it before its memory is checked.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import zmq

from flight.bundle import BundleError
from flight.libraries import LibraryError, describe_failure, explain_failure
from flight.service.protocol import Alive, Answer, Progress, StartFailed, encode, parse_job
from flight.service.resident_memory import limit_allocator

if TYPE_CHECKING:
    from flight.service.job_handler import JobHandler


def _end_with_parent() -> None:
    """Exit as soon as standard input closes, of which the service holds the other end."""
    while os.read(0, 4096):
        pass
    os._exit(0)


def main(arguments: list[str]) -> int:
    """Run a worker.

    Args:
        arguments: endpoint, bundle folder, threads, SHA-256 of the bundle, share of time for checks, what the
            networks run on, the parameter `engine`, and "full" to test both engines at the start or "short" to test the
            one that serves.

    Returns:
        The exit code.
    """
    endpoint, folder, threads, sha256, check_share, accelerator, engine_choice, test = arguments
    limit_allocator()
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
        send(Progress(passes, handler.engine_used))

    def make_handler() -> JobHandler:
        send(Alive())
        # Only now, where the service can be told of a library that cannot be loaded.
        with explain_failure("libraries of the engine"):
            from flight.inference.engine import Engine
            from flight.service.bundle_store import load_this_bundle
            from flight.service.job_handler import JobHandler
        send(Alive())
        bundle = load_this_bundle(Path(folder), sha256)
        send(Alive())
        engine = Engine(bundle, int(threads), None if accelerator == "none" else accelerator)
        send(Alive())
        return JobHandler(engine, float(check_share), progress)

    try:
        handler = make_handler()
        ready = handler.start(engine_choice, test == "full")
    except Exception as error:
        known = isinstance(error, BundleError | LibraryError)
        message = str(error) if known else describe_failure(error)
        send(StartFailed(message, "bundle" if isinstance(error, BundleError) else "machine"))
        socket.close()
        context.term()
        return 1
    send(ready)
    while True:
        send(handler.answer(parse_job(socket.recv_multipart())))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
