"""The worker as the service sees it: starting, handing over jobs, noticing death or silence."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import zmq

from flight.service.configuration import WorkerSection
from flight.service.protocol import (
    Alive,
    Answer,
    Failed,
    FrameJob,
    MapsAnswer,
    Ping,
    Progress,
    ProtocolError,
    Ready,
    Refused,
    SelfTestAnswer,
    SelfTestJob,
    encode,
    parse_answer,
)

# An idle worker is asked for a sign of life this often.
_PING_S = 0.5
# Before the first pass a large frame is centred: so much more patience for every million pixels.
_PATIENCE_S_PER_MEGAPIXEL = 0.5
# Silence beyond what is usual for so long, and the worker does not count as responsive any more.
_RESPONSIVE_S = 1.0
_GAPS_KEPT = 50


class Worker:
    """One worker process on a private socket, over one bundle.

    state: "starting" (loading and testing itself, or about to end because it refused the bundle), "idle", "busy", or
    "dead". job: the one in flight, None unless busy. Nothing here blocks. Raises OSError when no scratch folder can
    be made.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], threads: int, patience: WorkerSection) -> None:
        self._context = context
        self._threads = threads
        self._patience = patience
        self._folder = tempfile.TemporaryDirectory(prefix="rubblemap_")
        self._generation = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._dying: list[subprocess.Popen[bytes]] = []
        self._gaps: deque[float] = deque(maxlen=_GAPS_KEPT)
        self._megapixels = 0.0
        self._pinged = False
        self.socket: zmq.Socket[bytes] | None = None
        self.state = "dead"
        self.job: FrameJob | SelfTestJob | None = None
        self.since = 0.0
        self.last_sign = 0.0
        self.last_answer: float | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the present worker."""
        return self._process.pid if self._process else None

    def start(self, bundle: Path) -> None:
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
        # The worker must not tell systemd anything.
        environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flight.service.worker", endpoint, str(bundle), str(self._threads)],
            stdin=subprocess.PIPE,
            env={**environment, "PYTHONUNBUFFERED": "1"},
        )
        self._gaps.clear()
        self._enter("starting")

    def dispatch(self, job: FrameJob | SelfTestJob) -> None:
        """Hand over a job. The worker must be idle. Raises zmq.Again when its end of the socket is gone."""
        assert self.state == "idle"
        self._send(encode(job))
        self._enter("busy")
        self.job = job
        self._megapixels = 1e-6 * job.height * job.width if isinstance(job, FrameJob) else 0.0

    def receive(self) -> Ready | Refused | SelfTestAnswer | MapsAnswer | Failed | None:
        """The next answer that is more than a sign of life, or None.

        Raises ProtocolError for what is no answer, or none that is due.
        """
        while self.socket is not None:
            try:
                parts = self.socket.recv_multipart(flags=zmq.NOBLOCK)
            except zmq.Again:
                return None
            answer = parse_answer(parts)
            self._check_due(answer)
            self._note_sign(answer)
            if not isinstance(answer, Alive | Progress):
                return answer
        return None

    def ping_if_quiet(self, now: float) -> None:
        """Ask an idle worker for a sign of life, if it is time to."""
        if self.state == "idle" and not self._pinged and now - self.last_sign >= _PING_S:
            with contextlib.suppress(zmq.Again):
                self._send(encode(Ping()))
                self._pinged, self.last_sign = True, now

    def problem(self, now: float) -> tuple[str, str] | None:
        """Why the worker must be replaced, (event, message); None while all is well or when it is dead already."""
        if self._process is None:
            return None
        status = self._process.poll()
        if status is not None:
            return "worker_died", f"pid {self.pid}: {_how_it_ended(status)}"
        if self.state == "starting":
            limit, quiet = self._patience.start_timeout_s, now - self.since
        elif self.state == "busy" and now - self.since > self._patience.answer_timeout_s:
            limit, quiet = self._patience.answer_timeout_s, now - self.since
        elif self.state == "busy" or self._pinged:
            limit, quiet = self.hang_limit_s, now - self.last_sign
        else:
            return None
        if quiet <= limit:
            return None
        return "worker_timeout", f"pid {self.pid}: {self.state}, no sign of life for {quiet:.1f} s, limit {limit:.1f} s"

    @property
    def hang_limit_s(self) -> float:
        """How long the present job may go on without a sign of life."""
        return self._patience_for(self._patience.hang_timeout_s)

    @property
    def responsive(self) -> bool:
        """Whether it is there and gave the signs of life that were due.

        Doubtful long before hang_limit_s, which may be set to a minute: the doubt passes with the next sign.
        """
        if self.state not in ("idle", "busy") or self.problem(time.monotonic()) is not None:
            return False
        due = self.state == "busy" or self._pinged
        return not due or time.monotonic() - self.last_sign <= self._patience_for(_RESPONSIVE_S)

    def _patience_for(self, least_s: float) -> float:
        """How much silence to bear: least_s, or more where the pauses lately or the present frame ask for it."""
        # Not the longest: a machine that stood still once must not make for long patience ever after.
        ordered = sorted(self._gaps) or [0.0]
        usual = self._patience.hang_factor * ordered[int(0.9 * (len(ordered) - 1))]
        return max(least_s, usual) + self._megapixels * _PATIENCE_S_PER_MEGAPIXEL

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

    def _send(self, parts: Sequence[bytes | memoryview]) -> None:
        assert self.socket is not None
        self.socket.send_multipart(parts, flags=zmq.NOBLOCK, copy=False)

    def _enter(self, state: str) -> None:
        self.state, self.since, self.job, self._pinged = state, time.monotonic(), None, False
        self.last_sign = self.since

    def _check_due(self, answer: Answer) -> None:
        """Raise ProtocolError for an answer that a worker in this state, with this job, has no reason to give."""
        due = {
            Alive: True,
            Ready: self.state == "starting",
            Refused: self.state == "starting",
            Progress: self.state in ("starting", "busy"),
            SelfTestAnswer: isinstance(self.job, SelfTestJob),
            MapsAnswer: isinstance(self.job, FrameJob),
            Failed: self.job is not None,
        }[type(answer)]
        if due and isinstance(answer, SelfTestAnswer | MapsAnswer | Failed):
            due = self.job is not None and answer.job == self.job.job
        if not due:
            at_work = "" if self.job is None else f" with {self.job.KIND} {self.job.job}"
            which = f" {answer.job}" if isinstance(answer, SelfTestAnswer | MapsAnswer | Failed) else ""
            raise ProtocolError(f"answer: expected what is due while {self.state}{at_work}, got {answer.KIND}{which}")

    def _note_sign(self, answer: Answer) -> None:
        now = time.monotonic()
        if isinstance(answer, Progress):
            # Up to the first pass (0 done) it is centering, whose time depends on the frame.
            if answer.passes > 0:
                self._gaps.append(now - self.last_sign)
            self._megapixels = 0.0
        elif isinstance(answer, Alive):
            self._pinged = False
        elif not isinstance(answer, Refused):
            self.last_answer = now
            self._enter("idle")
        self.last_sign = now


def _how_it_ended(status: int) -> str:
    """A process's exit status in words; negative numbers are signals."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
