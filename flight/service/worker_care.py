"""Supervises the worker: starts it, sends it jobs, handles its answers, and alone decides when to replace it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import zmq

from flight.icd.product_message import ProductError
from flight.service.candidate import CandidateSlot
from flight.service.commands import CommandError, Procedure
from flight.service.configuration import WorkerSection
from flight.service.events import Event
from flight.service.frame_line import FrameLine
from flight.service.protocol import (
    Failed,
    FrameJob,
    MapsAnswer,
    ProtocolError,
    Ready,
    SelfTestAnswer,
    SelfTestJob,
    StartFailed,
    Upset,
)
from flight.service.restarts import Restarts
from flight.service.self_tests import SelfTests
from flight.service.serving_bundle import ServingBundle
from flight.service.state import State, Trigger
from flight.service.statistics import Counters, resident_memory_bytes
from flight.service.supervision import Worker
from flight.service.systemd import Notifier

# A worker that is due to start and does not, because the storage blocks, is no longer on its way after this.
_LATE_START_S = 10.0


class WorkerCare:
    """Supervises the worker.

    It is replaced when it is lost (see _lose), and by a candidate that is warmed up over another bundle or new files.
    """

    def __init__(
        self,
        make_worker: Callable[[], Worker],
        configuration: WorkerSection,
        candidate: CandidateSlot,
        serving: ServingBundle,
        frame_line: FrameLine,
        self_tests: SelfTests,
        notifier: Notifier,
        state: State,
        counters: Counters,
    ) -> None:
        """Prepare a worker that is not started.

        Args:
            make_worker: makes a worker that is not started.
            configuration: [worker] of the configuration.
        """
        self._configuration = configuration
        self._candidate = candidate
        self._serving = serving
        self._frame_line = frame_line
        self._self_tests = self_tests
        self._notifier = notifier
        self._state = state
        self._events = state.events
        self._counters = counters
        self._restarts = Restarts(configuration.restart_limit, configuration.restart_window_s)
        self._restart_at = 0.0
        # Why the last worker could not load the bundle, "" if it could: that it then ended is no reason.
        self._refusal = ""
        self._job_numbers = itertools.count(1)
        self._worker = make_worker()

    @property
    def socket(self) -> zmq.Socket[bytes] | None:
        """The worker's private socket, to be polled; None without a worker."""
        return self._worker.socket

    @property
    def responsive(self) -> bool:
        """Whether the worker runs and its heartbeats come in time."""
        return self._worker.responsive

    @property
    def replacing(self) -> bool:
        """Whether a worker starts, or waits for its start: each for a limited time, and not without end."""
        waiting = self._worker.state == "dead" and time.monotonic() < self._restart_at + _LATE_START_S
        return waiting or self._worker.state == "starting"

    def status(self) -> dict[str, Any]:
        """Fields of housekeeping about the worker."""
        last, pid = self._worker.last_answer, self._worker.pid
        return {
            "worker_last_answer_age_s": None if last is None else time.monotonic() - last,
            "worker_pid": pid,
            "resident_memory_bytes": resident_memory_bytes() + (resident_memory_bytes(pid) if pid else 0),
        }

    def start(self) -> None:
        """Start a worker over the serving bundle."""
        self._refusal = ""
        try:
            engine = self._self_tests.choose_engine()
            self._worker.start(self._serving.folder, self._serving.bundle.sha256, engine)
        except (OSError, zmq.ZMQError) as error:
            self._lose(Event("worker_died", error=str(error)))

    def close(self) -> None:
        """End the worker."""
        self._worker.close()

    def take_answer(self) -> None:
        """Receive and handle the worker's answer, if there is one.

        An answer that breaks the protocol, is not due, or makes no valid product costs the worker: its memory may be
        corrupted. Any other error is the service's own.
        """
        try:
            answer = self._worker.receive()
            if answer is not None:
                self._handle(answer)
        except (ProtocolError, ProductError) as error:
            self._lose(Event("worker_answer_malformed", problem=f"{type(error).__name__}: {error}"))

    def watch(self) -> None:
        """Replace a worker that died or hangs, once the next may start; ask a quiet one for a heartbeat."""
        if self._state.safe:
            return
        if self._worker.state == "dead":
            if time.monotonic() >= self._restart_at and not self._serving.rewriting:
                self._restart()
            return
        problem = self._worker.find_problem()
        if problem is not None:
            self._lose(problem)
        else:
            self._worker.ping_if_quiet()

    def dispatch(self) -> None:
        """Send an idle worker its next job: a self-test that is due, else the frame that waits."""
        if self._state.safe:
            self._frame_line.answer_without_worker()
        elif self._worker.state == "idle":
            if self._self_tests.is_due(idle=not self._frame_line.waiting):
                self._send_job(SelfTestJob(next(self._job_numbers), self._self_tests.choose_engine()))
            elif self._frame_line.waiting and not self._send_job(self._frame_line.next_job(next(self._job_numbers))):
                # The worker is gone, and its exit will be seen in a moment; the frame waits for the next one.
                self._frame_line.requeue_frame()

    def replace(self, take_over: Callable[[], None]) -> Procedure:
        """Replace the worker by the candidate, between two frames.

        Args:
            take_over: called at that moment, for what must change with it.

        Raises:
            CommandError: take_over failed; the candidate is dropped and the worker goes on.
        """
        while self._worker.state == "busy":
            yield
        try:
            take_over()
        except CommandError:
            self._candidate.drop()
            raise
        if self._state.safe:
            # There is no worker until recovery, which then starts one over the same files.
            self._candidate.drop()
            return {}
        self._worker.close()
        self._worker = self._candidate.take()
        self._self_tests.note_replacement()
        self._state.apply(Trigger.WORKER_READY)
        return {}

    # Commands

    def self_test(self) -> Procedure:
        """Carry out the command self_test. Raises CommandError in the safe state."""
        if self._state.safe:
            raise CommandError("wrong_state", "self_test: there is no worker in the safe state")
        return self._await_self_test()

    def _await_self_test(self) -> Procedure:
        before = self._self_tests.time_ns
        self._self_tests.request()
        while self._self_tests.requested or self._self_tests.time_ns == before:
            if self._state.safe:
                self._self_tests.withdraw_request()
                raise CommandError("wrong_state", "self_test: the service entered the safe state")
            yield
        if not self._self_tests.passed:
            raise CommandError("not_valid", "self_test: the digest differs from the reference; the worker is replaced")
        return {"passed": True}

    def recover(self) -> dict[str, Any]:
        """Carry out the command recover. Raises CommandError unless in the safe state."""
        if not self._state.safe:
            raise CommandError("wrong_state", f"recover: expected the safe state, got {self._state.name}")
        self._restarts.reset()
        self._state.apply(Trigger.RECOVERY)
        self._events.send("safe_state_left")
        self._restart()
        return {}

    # Answers

    def _handle(self, answer: Ready | StartFailed | SelfTestAnswer | MapsAnswer | Failed | Upset) -> None:
        match answer:
            case Ready():
                self._accept_worker(answer)
            case StartFailed(cause="machine"):
                self._lose(Event("worker_died", error=answer.message))
            case StartFailed():
                self._refusal = answer.message
                self._events.send("bundle_refused", problem=answer.message)
                self._serving.start_rewriting()
            case SelfTestAnswer():
                if self._self_tests.check_answer(self._serving.bundle, answer):
                    self._events.send("self_test_passed", agreement_percent=100.0 * answer.agreement)
                else:
                    problem = "self-test digest differs from the reference"
                    self._lose(Event("self_test_failed", problem=problem))
            case MapsAnswer():
                self._frame_line.publish_maps(answer)
                self._restarts.note_answer()
                self._self_tests.count_frame()
                self._serving.count_answer()
            case Upset():
                self._counters.count("upsets_found")
                self._lose(Event("worker_upset", problem=answer.message))
            case Failed() if self._frame_line.in_flight:
                self._frame_line.publish_failure(answer.message)
                if self._serving.on_probation:
                    problem = "the newly activated bundle could not process a frame"
                    self._lose(Event("worker_refused", problem=problem))
            case Failed():
                self._self_tests.note_failure()
                self._lose(Event("self_test_failed", problem=answer.message))

    def _accept_worker(self, answer: Ready) -> None:
        bundle = self._serving.bundle
        if not self._self_tests.check_answer(bundle, answer):
            self._lose(
                Event("self_test_failed", problem="self-test digest of a fresh worker differs from the reference")
            )
            return
        window_is_set = "restart_window_s" in self._configuration.configured
        self._restarts.note_ready(0.0 if window_is_set else self._worker.start_s)
        self._state.apply(Trigger.WORKER_READY)
        self._notifier.report_ready(f"serving {bundle.name} {bundle.version}")
        self._events.send("worker_ready", pid=self._worker.pid)
        if answer.guarded_bytes == 0 and self._configuration.memory_check_share > 0:
            self._events.send("memory_unguarded", pid=self._worker.pid)

    # Replacement

    def _lose(self, loss: Event) -> None:
        """End a worker that died, hangs or errs; plan the next one, and decide about the frame that it had."""
        self._events.send_event(loss)
        self._worker.kill()
        # An upset is not the fault of the bundle.
        if self._serving.on_probation and loss.name != "worker_upset":
            self._serving.fall_back(loss.message)
        start = self._restarts.plan_start(time.monotonic())
        self._frame_line.handle_worker_loss(restarting=start is not None)
        if start is not None:
            self._state.apply(Trigger.WORKER_LOST)
            self._restart_at = start
            return
        self._state.apply(Trigger.WORKERS_EXHAUSTED)
        self._events.send(
            "safe_state_entered",
            unready_workers=self._restarts.unready_workers,
            restart_limit=self._configuration.restart_limit,
            restart_window_s=self._restarts.window_s,
            problem=self._refusal or loss.message,
        )
        self._notifier.report_ready("safe state, waiting for a command")

    def _restart(self) -> None:
        self._counters.count("worker_restarts")
        self.start()

    def _send_job(self, job: FrameJob | SelfTestJob) -> bool:
        """Send a job. Returns whether the worker's end of the socket is still there."""
        try:
            self._worker.dispatch(job)
        except zmq.Again:
            return False
        return True
