"""The worker as the service sees it: starting, dispatching, noticing death or silence, restarting."""

from __future__ import annotations

import contextlib
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

    state: "starting" (loading, or about to end because it refused the bundle), "idle", "busy" (with `job`), or
    "dead". Nothing here blocks.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], bundle: Path, threads: int) -> None:
        self._context = context
        self._bundle = bundle
        self._threads = threads
        self._folder = tempfile.TemporaryDirectory(prefix="rubblemap_")
        self._generation = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._dying: list[subprocess.Popen[bytes]] = []
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
        """Start a fresh worker process on a fresh socket.

        Raises OSError or zmq.ZMQError when the machine does not allow it; kill() then tidies up.
        """
        self._generation += 1
        # Cleaners of temporary folders may have removed it.
        Path(self._folder.name).mkdir(mode=0o700, exist_ok=True)
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
        """Hand over a job. The worker must be idle. Raises zmq.Again when its end of the socket is gone."""
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
        message = unpack(parts[0])
        if message["type"] != "refused":
            self.last_answer = time.monotonic()
            self.state = "idle"
        return message, parts[1:]

    def kill(self) -> None:
        """End the process, whatever it does, and drop its socket.

        It is not waited for: a process inside a driver that hangs dies when the driver lets it.
        """
        if self._process is not None:
            self._process.kill()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._dying.append(self._process)
            self._process = None
        self._dying = [process for process in self._dying if process.poll() is None]
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        self.state = "dead"

    def close(self) -> None:
        """Kill the worker and remove the socket's folder."""
        self.kill()
        for process in self._dying:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1.0)
        self._folder.cleanup()
