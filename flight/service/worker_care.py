"""The worker: started, given jobs, watched, and replaced. Whether it is replaced is decided here alone."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import zmq

from flight.icd.products import ProductError
from flight.service.candidate import CandidateSlot
from flight.service.commands import CommandError, Procedure
from flight.service.configuration import WorkerSection
from flight.service.frame_line import FrameLine
from flight.service.protocol import (
    Failed,
    FrameJob,
    MapsAnswer,
    ProtocolError,
    Ready,
    Refused,
    SelfTestAnswer,
    SelfTestJob,
)
from flight.service.restarts import Restarts
from flight.service.self_tests import SelfTests
from flight.service.serving_bundle import ServingBundle
from flight.service.state import State, Trigger
from flight.service.statistics import Counters, resident_memory_bytes
from flight.service.supervision import Worker
from flight.service.systemd import Notifier


class WorkerCare:
    """The present worker and what becomes of it.

    A worker is replaced when it is lost (see _lose), or when bundle care has warmed up a candidate for its place.
    new_worker: makes one.
    """

    def __init__(
        self,
        new_worker: Callable[[], Worker],
        configuration: WorkerSection,
        candidate: CandidateSlot,
        serving: ServingBundle,
        frame_line: FrameLine,
        self_tests: SelfTests,
        notifier: Notifier,
        state: State,
        counters: Counters,
    ) -> None:
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
        self._job_numbers = itertools.count(1)
        self._worker = new_worker()

    @property
    def socket(self) -> zmq.Socket[bytes] | None:
        """The worker's private socket, to be polled."""
        return self._worker.socket

    @property
    def responsive(self) -> bool:
        """Whether the worker is there and gave the signs of life that were due."""
        return self._worker.responsive

    def status(self) -> dict[str, Any]:
        """The worker, as in housekeeping."""
        last, pid = self._worker.last_answer, self._worker.pid
        return {
            "worker_last_answer_age_s": None if last is None else time.monotonic() - last,
            "worker_pid": pid,
            "resident_memory_bytes": resident_memory_bytes() + (resident_memory_bytes(pid) if pid else 0),
        }

    def start(self) -> None:
        """Start a worker over the serving bundle."""
        try:
            self._worker.start(self._serving.folder)
        except (OSError, zmq.ZMQError) as error:
            self._lose("worker_died", f"could not be started: {error}")

    def close(self) -> None:
        """End the worker."""
        self._worker.close()

    def take_answer(self) -> None:
        """Take the worker's answer, if there is one.

        An upset worker may answer anything: what is no answer that is due, or makes no product, costs the worker. Any
        other error is the service's own.
        """
        try:
            answer = self._worker.receive()
            if answer is not None:
                self._handle(answer)
        except (ProtocolError, ProductError) as error:
            self._lose("worker_answer_malformed", f"{type(error).__name__}: {error}")

    def watch(self) -> None:
        """Replace a worker that died or hangs, when it is time to; ask a quiet one for a sign of life."""
        now = time.monotonic()
        if self._state.safe:
            return
        if self._worker.state == "dead":
            if now >= self._restart_at:
                self._restart()
            return
        problem = self._worker.problem(now)
        if problem is not None:
            self._lose(*problem)
        else:
            self._worker.ping_if_quiet(now)

    def dispatch(self) -> None:
        """Give an idle worker the next job: a self-test that is due, or else the frame that waits."""
        if self._state.safe:
            self._frame_line.answer_without_worker()
        elif self._worker.state == "idle":
            if self._self_tests.due(idle=not self._frame_line.waiting):
                self._hand_over(SelfTestJob(next(self._job_numbers)))
            elif self._frame_line.waiting and not self._hand_over(self._frame_line.next_job(next(self._job_numbers))):
                # The worker is gone, and its exit will be seen in a moment; the frame waits for the next one.
                self._frame_line.take_back()

    def replace(self, take_over: Callable[[], None]) -> Procedure:
        """Put the candidate in the worker's place between two frames. take_over: what must be done for that.

        Raises the CommandError of take_over; there is then no candidate, and the worker goes on.
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
        self._state.apply(Trigger.WORKER_READY)
        return {}

    # Commands

    def self_test(self) -> Procedure:
        """The command self_test."""
        if self._state.safe:
            raise CommandError("wrong_state", "self_test: there is no worker in the safe state")
        return self._await_self_test()

    def _await_self_test(self) -> Procedure:
        before = self._self_tests.time_ns
        self._self_tests.request()
        while self._self_tests.requested or self._self_tests.time_ns == before:
            if self._state.safe:
                self._self_tests.withdraw()
                raise CommandError("wrong_state", "self_test: the service entered the safe state")
            yield
        if not self._self_tests.passed:
            raise CommandError("not_valid", "self_test: the answer was not the known one; the worker is replaced")
        return {"passed": True}

    def recover(self) -> dict[str, Any]:
        """The command recover."""
        if not self._state.safe:
            raise CommandError("wrong_state", f"recover: expected the safe state, got {self._state.name}")
        self._restarts.forget()
        self._state.apply(Trigger.RECOVERY)
        self._events.send("safe_state_left", "by command")
        self._restart()
        return {}

    # Answers

    def _handle(self, answer: Ready | Refused | SelfTestAnswer | MapsAnswer | Failed) -> None:
        match answer:
            case Ready():
                self._accept_worker(answer)
            case Refused():
                self._events.send("bundle_refused", answer.message)
                self._serving.write_anew()
            case SelfTestAnswer():
                if self._self_tests.judge(self._serving.bundle, answer):
                    agreement = f"{100 * answer.agreement:.2f} % of the pixels as recorded"
                    self._events.send("self_test_passed", agreement)
                else:
                    self._lose("self_test_failed", "the worker's answer was not the known one, bit by bit")
            case MapsAnswer():
                self._frame_line.publish(answer)
                self._restarts.answered()
                self._self_tests.count_frame()
                self._serving.count_answer()
            case Failed() if self._frame_line.in_flight:
                self._frame_line.publish_refusal(answer.message)
                if self._serving.on_probation:
                    self._lose("worker_refused", "the newly activated bundle could not process a frame")
            case Failed():
                self._self_tests.fail()
                self._lose("self_test_failed", answer.message)

    def _accept_worker(self, answer: Ready) -> None:
        bundle = self._serving.bundle
        if not self._self_tests.judge(bundle, answer):
            self._lose("self_test_failed", "a fresh worker's answer was not the known one")
            return
        self._restarts.ready()
        self._state.apply(Trigger.WORKER_READY)
        self._notifier.ready(f"serving {bundle.name} {bundle.version}")
        self._events.send("worker_ready", f"pid {self._worker.pid}", pid=self._worker.pid)

    # Replacement

    def _lose(self, event: str, message: str) -> None:
        """The worker died, hangs or errs: end it, say so, plan the next one, and see to the frame that it had."""
        self._events.send(event, message)
        self._worker.kill()
        if self._serving.on_probation:
            self._serving.fall_back(message)
        start = self._restarts.next_start(time.monotonic())
        self._frame_line.lose_worker(another=start is not None)
        if start is not None:
            self._state.apply(Trigger.WORKER_LOST)
            self._restart_at = start
            return
        self._state.apply(Trigger.WORKERS_EXHAUSTED)
        limit, window = self._configuration.restart_limit, self._configuration.restart_window_s
        self._events.send("safe_state_entered", f"more than {limit} worker restarts in {window:g} s")
        self._notifier.ready("safe state, waiting for a command")

    def _restart(self) -> None:
        self._counters.count("worker_restarts")
        self.start()

    def _hand_over(self, job: FrameJob | SelfTestJob) -> bool:
        """Whether the worker took a job; it does not when its end of the socket is gone."""
        try:
            self._worker.dispatch(job)
        except zmq.Again:
            return False
        return True
