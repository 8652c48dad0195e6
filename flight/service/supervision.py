"""Controls one worker process: starts and ends it, sends jobs, receives answers, notices death and silence."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import zmq

from flight.endpoints import make_socket_folder
from flight.service.configuration import WorkerSection
from flight.service.events import Event
from flight.service.pace import Course, Pace
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
    SelfTestAnswer,
    SelfTestJob,
    StartFailed,
    Upset,
    encode,
    find_due,
    parse_answer,
)
from flight.service.silence import RunningClock, SilenceTimer
from flight.service.worker_limits import Limit, WorkerLimits

# An idle worker is asked for a heartbeat this often.
_PING_S = 0.5
# After this long without a heartbeat, or the usual pause if longer, the worker does not count as responsive.
_RESPONSIVE_S = 1.0
# Digits of the number of a worker's socket.
_LONGEST_NAME = 10


class Worker:
    """One worker process on a private socket, over one bundle. No method blocks.

    Attributes:
        socket: the service's end, None without a process.
        state: "starting" (loading and testing itself, or about to end because that failed), "idle", "busy" or "dead".
        job: with which the worker is busy, or None.
        last_answer: when it finished a job last, monotonic clock, s; None before that.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        threads: int,
        section: WorkerSection,
        clock: RunningClock,
        pace: Pace,
    ) -> None:
        """Prepare a worker that is not started.

        Args:
            context: for the private sockets.
            threads: processor cores that the worker may use.
            section: [worker] of the configuration.
            clock: of the service, in whose time it waits.
            pace: what steps take on this machine, which this worker goes by and adds to.

        Raises:
            OSError: no temporary folder for the socket can be made.
        """
        self._context = context
        self._threads = threads
        self._section = section
        self._pace = pace
        self._limits = WorkerLimits(section, pace)
        self._timer = SilenceTimer(clock)
        self._folder = make_socket_folder("rubblemap_", _LONGEST_NAME)
        self._generation = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._sha256 = ""
        self._dying: list[subprocess.Popen[bytes]] = []
        self._longest_pause_s = 0.0
        self._megapixels = 0.0
        self._pinged = False
        self.socket: zmq.Socket[bytes] | None = None
        self.state = "dead"
        self.job: FrameJob | SelfTestJob | None = None
        self.last_answer: float | None = None

    @property
    def pid(self) -> int | None:
        """Id of the process, None without one."""
        return self._process.pid if self._process else None

    @property
    def start_s(self) -> float:
        """How long the last good start over its bundle took, seconds; 0 before the first."""
        course = self._pace.find_course(self._sha256, "start")
        return 0.0 if course is None else course.total_s

    def start(self, folder: Path, sha256: str, engine: str, full_test: bool = False) -> None:
        """Start a new process on a new socket.

        Args:
            folder: from which it loads the bundle.
            sha256: of the bundle's manifest; with another bundle the worker does not become ready.
            engine: the parameter, of which it depends what is loaded and tested.
            full_test: test both engines before it is ready.

        Raises:
            OSError, zmq.ZMQError: the machine does not allow it; kill() cleans up.
        """
        self._generation += 1
        self._sha256 = sha256
        # Cleaners of temporary folders may have removed it.
        Path(self._folder.name).mkdir(mode=0o700, exist_ok=True)
        endpoint = f"ipc://{self._folder.name}/{self._generation}"
        self.socket = self._context.socket(zmq.PAIR)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(endpoint)
        # Only the service talks to systemd, not the worker.
        environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "flight.service.worker",
                endpoint,
                str(folder),
                str(self._threads),
                sha256,
                str(self._section.memory_check_share),
                self._section.accelerator,
                engine,
                "full" if full_test else "short",
            ],
            stdin=subprocess.PIPE,
            env={**environment, "PYTHONUNBUFFERED": "1"},
        )
        self._enter("starting")

    def dispatch(self, job: FrameJob | SelfTestJob) -> None:
        """Send a job to the idle worker. Raises zmq.Again if its end of the socket is gone."""
        assert self.state == "idle"
        self._send(encode(job))
        self._enter("busy")
        self.job = job
        self._megapixels = 1e-6 * job.height * job.width if isinstance(job, FrameJob) else 0.0

    def receive(self) -> Ready | StartFailed | SelfTestAnswer | MapsAnswer | Failed | Upset | None:
        """Receive the next answer that is more than a heartbeat; None if there is none.

        Raises:
            ProtocolError: the answer breaks the protocol, or is not due.
        """
        while self.socket is not None:
            try:
                parts = self.socket.recv_multipart(flags=zmq.NOBLOCK)
            except zmq.Again:
                return None
            answer = parse_answer(parts)
            self._check_due(answer)
            self._note_heartbeat(answer)
            if not isinstance(answer, Alive | Progress):
                return answer
        return None

    def ping_if_quiet(self) -> None:
        """Ask an idle worker for a heartbeat, if the last one is some time ago."""
        if self.state == "idle" and not self._pinged and self._timer.silence_s() >= _PING_S:
            with contextlib.suppress(zmq.Again):
                self._send(encode(Ping()))
                self._pinged = True
                self._timer.begin_silence()

    def find_problem(self) -> Event | None:
        """Find out whether the worker must be replaced.

        Returns:
            The event that says why; None if all is well or there is no process.
        """
        if self._process is None:
            return None
        status = self._process.poll()
        if status is not None:
            return Event("worker_died", pid=self.pid, ending=_describe_exit(status))
        if self.state == "idle" and not self._pinged:
            return None
        self._timer.look(self._process.pid)
        return self._find_timeout()

    def _find_timeout(self) -> Event | None:
        """Find out whether the start or the job takes too long, or heartbeats are missing."""
        if self.state != "idle":
            limit = self._limits.find_whole(self._sha256, self.job)
            elapsed = self._timer.job_s(limit.seconds)
            if elapsed > limit.seconds:
                quiet = self._timer.silence_s(limit.seconds)
                return self._describe_timeout(limit.seconds, limit.field, quiet, elapsed)
        limit = self._find_silence_limit()
        quiet = self._timer.silence_s(limit.seconds)
        return None if quiet <= limit.seconds else self._describe_timeout(limit.seconds, limit.field, quiet, None)

    def _describe_timeout(self, limit_s: float, field: str, quiet_s: float, elapsed_s: float | None) -> Event:
        return Event(
            "worker_timeout",
            pid=self.pid,
            state=self.state,
            elapsed_s=elapsed_s,
            quiet_s=quiet_s,
            limit_s=limit_s,
            limit_field=field,
        )

    def _find_silence_limit(self, minimum_s: float | None = None) -> Limit:
        """How long the present job may go on without a heartbeat. minimum_s: in place of hang_timeout_s."""
        return self._limits.find_silence(
            self._sha256,
            self.job,
            starting=self.state == "starting",
            megapixels=self._megapixels,
            computing=self._timer.at_work,
            minimum_s=minimum_s,
        )

    @property
    def responsive(self) -> bool:
        """Whether the worker runs and its heartbeats come in time.

        This is false long before hang_timeout_s, which may be set to a minute, and true again with the next heartbeat.
        """
        if self.state not in ("idle", "busy") or self.find_problem() is not None:
            return False
        due = self.state == "busy" or self._pinged
        limit_s = self._find_silence_limit(_RESPONSIVE_S).seconds
        return not due or self._timer.silence_s(limit_s) <= limit_s

    def kill(self) -> None:
        """Kill the process and close its socket.

        The process is not waited for: inside a driver that hangs it dies when the driver lets it.
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
        """Kill the process and remove the socket's folder."""
        self.kill()
        for process in self._dying:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1.0)
        self._folder.cleanup()

    def _send(self, parts: Sequence[bytes | memoryview]) -> None:
        assert self.socket is not None
        self.socket.send_multipart(parts, flags=zmq.NOBLOCK, copy=False)

    def _enter(self, state: str) -> None:
        self.state, self.job, self._pinged = state, None, False
        self._longest_pause_s = 0.0
        self._timer.begin_job()

    def _check_due(self, answer: Answer) -> None:
        """Raise ProtocolError for an answer that a worker in this state, with this job and bundle, must not give."""
        kinds = find_due(self.state, self.job)
        due = isinstance(answer, kinds)
        if due and isinstance(answer, SelfTestAnswer | MapsAnswer | Failed | Upset):
            due = self.job is not None and answer.job == self.job.job
        if not due:
            which = f" {answer.job}" if isinstance(answer, SelfTestAnswer | MapsAnswer | Failed | Upset) else ""
            at_work = "" if self.job is None else f" of {self.job.KIND} {self.job.job}"
            names = " | ".join(kind.KIND for kind in kinds)
            raise ProtocolError(f"answer: expected {names}{at_work} while {self.state}, got {answer.KIND}{which}")
        if isinstance(answer, Ready | SelfTestAnswer) and answer.sha256 != self._sha256:
            expected, got = self._sha256[:16], answer.sha256[:16]
            raise ProtocolError(f"answer.{answer.KIND}.sha256: expected {expected}..., got {got}...: another bundle")

    def _note_heartbeat(self, answer: Answer) -> None:
        self._note_pace(answer)
        if isinstance(answer, Progress):
            # Until 0 passes are reported the worker is centering, which takes as long as the frame is large.
            self._megapixels = 0.0
        elif isinstance(answer, Alive):
            self._pinged = False
        elif not isinstance(answer, StartFailed):
            self.last_answer = time.monotonic()
            self._enter("idle")
        self._timer.begin_silence()

    def _note_pace(self, answer: Answer) -> None:
        """Note what has been done since the last heartbeat, and how long it took."""
        pause_s = self._timer.silence_s()
        self._longest_pause_s = max(self._longest_pause_s, pause_s)
        course = Course(self._longest_pause_s, self._timer.job_s(0.0))
        match answer:
            case Progress() if answer.passes > 0 and answer.engine:
                self._pace.note_pass(self._sha256, answer.engine, answer.passes, pause_s)
            case MapsAnswer():
                self._pace.note_rest(self._sha256, answer.engine, pause_s)
            case Ready():
                self._pace.note_course(self._sha256, "start", course)
            case SelfTestAnswer():
                self._pace.note_course(self._sha256, "self_test", course)


def _describe_exit(status: int) -> str:
    """Describe a process's exit status; negative numbers are signals."""
    if status >= 0:
        return f"exit status {status}"
    if -status == signal.SIGILL:
        return "signal SIGILL: a library was built for another processor"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
