"""The worker as the service sees it: starting, dispatching, noticing death or silence, restarting."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import zmq

from flight.service.protocol import pack, unpack


class Worker:
    """One worker process at a time, on a private socket.

    state: "starting" (loading), "idle", "busy" (with `job`), or "dead". Nothing here blocks.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], bundle: Path, threads: int) -> None:
        self._context = context
        self._bundle = bundle
        self._threads = threads
        self._folder = tempfile.TemporaryDirectory(prefix="rubblemap_")
        self._generation = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.socket: zmq.Socket[bytes] | None = None
        self.state = "dead"
        self.job = 0
        self.since = 0.0
        self.last_answer: float | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the present worker."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start a fresh worker process on a fresh socket."""
        self._generation += 1
        endpoint = f"ipc://{self._folder.name}/{self._generation}"
        self.socket = self._context.socket(zmq.PAIR)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(endpoint)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flight.service.worker", endpoint, str(self._bundle), str(self._threads)],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.state, self.since = "starting", time.monotonic()

    def exit_status(self) -> int | None:
        """The exit status if the process has ended, negative for a signal; None while it runs."""
        return self._process.poll() if self._process else None

    def dispatch(self, job: dict[str, Any], pixels: bytes) -> None:
        """Hand over a job. The worker must be idle."""
        assert self.socket is not None
        assert self.state == "idle"
        self.socket.send_multipart([pack(job), pixels], flags=zmq.NOBLOCK, copy=False)
        self.state, self.job, self.since = "busy", job["job"], time.monotonic()

    def receive(self) -> tuple[dict[str, Any], list[bytes]] | None:
        """The next answer and its planes, or None."""
        if self.socket is None:
            return None
        try:
            parts = self.socket.recv_multipart(flags=zmq.NOBLOCK)
        except zmq.Again:
            return None
        self.last_answer = time.monotonic()
        self.state = "idle"
        return unpack(parts[0]), parts[1:]

    def kill(self) -> None:
        """End the process, whatever it does, and drop its socket."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        self.state = "dead"

    def close(self) -> None:
        """Kill the worker and remove the socket's folder."""
        self.kill()
        self._folder.cleanup()
