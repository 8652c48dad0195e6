"""The service: one loop over the public sockets and the worker; it computes nothing itself and stays alive."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import zmq

from flight.bundle import Bundle, BundleError, load_bundle
from flight.icd.control import encode_message
from flight.icd.frames import FrameError
from flight.icd.limits import TOPIC_FULL, TOPIC_HAZARD, TOPIC_HOUSEKEEPING, TOPIC_NAVIGATION
from flight.schema import shown
from flight.service.bundles import Bundles, Staged
from flight.service.candidate import CandidateSlot
from flight.service.commands import Command, CommandError, Outcome, Procedure, advance, begin, encode_reply
from flight.service.configuration import Configuration
from flight.service.events import EventSender
from flight.service.file_check import FileCheck
from flight.service.gatekeeper import Gatekeeper
from flight.service.intake import Intake, PendingFrame
from flight.service.parameters import ParameterTable
from flight.service.publisher import Publisher, Work
from flight.service.rate_limit import RateLimit
from flight.service.record import RecordStore
from flight.service.restarts import Restarts
from flight.service.self_tests import SelfTests
from flight.service.sockets import ServiceError, bind_sockets
from flight.service.statistics import Counters, Latencies, cpu_temperature_c, resident_memory_bytes
from flight.service.storage_thread import StorageThread
from flight.service.supervision import Worker
from flight.service.systemd import Notifier
from flight.settings import frame_seed

_TICK_MS = 50
_MESSAGES_PER_TURN = 32


@dataclass
class _Running:
    """A command under way. envelope: where its reply goes."""

    identifier: int
    envelope: list[bytes]
    procedure: Procedure


class Service:
    """The flight service. run() returns after shutdown(), SIGTERM or SIGINT.

    bundle: folder of the bundle to serve unless another was activated. Raises ServiceError when a socket cannot be
    bound or a folder not be made, BundleError when there is no bundle that can be served.
    """

    def __init__(self, configuration: Configuration, bundle: Path) -> None:
        self._configuration = configuration
        try:
            self._records = RecordStore(configuration.storage.state)
            self._bundles = Bundles(self._records, configuration.storage.state, configuration.storage.bundles, bundle)
        except OSError as error:
            raise ServiceError(f"storage.state: {error.filename}: {error.strerror}") from error
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._gatekeeper = Gatekeeper(self._context, configuration.security.keys)
        try:
            self._sockets = bind_sockets(self._context, configuration.endpoints, self._gatekeeper)
        except ServiceError:
            self._gatekeeper.close()
            self._context.term()
            raise
        self._frames, self._commands = self._sockets["frames"], self._sockets["commands"]
        self._frame_limit = RateLimit(configuration.limits.frames_per_second)
        self._command_limit = RateLimit(configuration.limits.commands_per_second)
        self._publisher = Publisher(self._sockets["products"])
        self._events = EventSender(self._publish_telemetry)
        self._counters = Counters()
        self._latencies = Latencies()
        self._intake = Intake()
        self._worker = self._new_worker()
        self._candidate = CandidateSlot(
            self._new_worker, lambda bundle, message: self._judge(bundle, message, fresh=True)
        )
        self._work: Work | None = None
        self._job = 0
        self._restarts = Restarts(configuration.worker.restart_limit, configuration.worker.restart_window_s)
        self._restart_at = 0.0
        self._self_tests = SelfTests(self._records.record.references)
        self._self_test_wanted = False
        self._file_check = FileCheck(configuration.integrity.file_check_interval_s)
        self._damaged = False
        self._repair: Procedure | None = None
        self._running_command: _Running | None = None
        self._storage = StorageThread()
        self._notifier = Notifier()
        self._state = "starting"
        self._started = time.monotonic()
        self._next_housekeeping = 0.0
        self._next_sign = 0.0
        self._running = True
        self._parameters = ParameterTable(self._records, configuration.parameters, self._bundles.serving)
        self._notices = [
            *self._bundles.notices,
            *(("record_not_applicable", problem) for problem in self._parameters.problems),
        ]
        self._bundles.notices.clear()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.shutdown)
        self._command_table = {
            "no_op": Command((), dict),
            "get_status": Command((), self._housekeeping),
            "get_parameters": Command((), self._get_parameters),
            "set_parameter": Command(("name", "value"), self._set_parameter),
            "set_parameters": Command(("values",), self._set_parameters),
            "set_mode": Command(("mode",), self._set_mode),
            "load_bundle": Command(("path",), self._load_bundle),
            "validate_bundle": Command((), self._validate_bundle),
            "activate_bundle": Command((), self._activate_bundle),
            "self_test": Command((), self._self_test),
            "reset_counters": Command((), self._reset_counters),
            "recover": Command((), self._recover),
            "shutdown": Command((), self._command_shutdown),
        }

    @property
    def state(self) -> str:
        """ "starting", "ready", "degraded" or "safe" """
        return self._state

    def shutdown(self, *_: Any) -> None:
        """Ask the loop to end; usable as a signal handler."""
        self._running = False

    def run(self) -> None:
        """Serve until told to stop."""
        poller = zmq.Poller()
        poller.register(self._frames, zmq.POLLIN)
        if self._gatekeeper.socket is not None:
            poller.register(self._gatekeeper.socket, zmq.POLLIN)
        serving = self._bundles.serving
        self._events.send("service_started", f"bundle {serving.name} {serving.version}", pid=os.getpid())
        for event, message in self._notices:
            self._events.send(event, message)
        try:
            self._watch_files()
            self._start_worker()
            while self._running:
                self._turn(poller)
            self._events.send("service_stopped", f"after {time.monotonic() - self._started:.1f} s")
        finally:
            self._notifier.stopping()
            self._worker.close()
            self._candidate.drop()
            self._storage.close()
            self._bundles.close()
            for socket in self._sockets.values():
                socket.disable_monitor()
                socket.close()
            self._gatekeeper.close()
            self._context.term()

    def _turn(self, poller: zmq.Poller) -> None:
        """One turn of the loop; every part of it is bounded."""
        private = self._worker.socket
        if private is not None:
            poller.register(private, zmq.POLLIN)
        # Commands beyond the limit wait in the socket; polling for them would make the loop spin.
        poller.register(self._commands, zmq.POLLIN if self._command_limit.open else 0)
        poller.poll(_TICK_MS)
        if private is not None:
            poller.unregister(private)
        self._take_handshakes()
        self._take_frames()
        self._take_commands()
        self._take_answer()
        self._watch_worker()
        self._take_file_checks()
        self._advance()
        self._dispatch()
        now = time.monotonic()
        if now >= self._next_housekeeping:
            self._send_housekeeping()
            self._tell_record_problems()
        # In the safe state there is no worker on purpose, and the operator needs the service to be there.
        living = self._worker.responsive or self._state == "safe"
        if self._notifier.interval_s is not None and now >= self._next_sign and living:
            self._notifier.alive()
            self._next_sign = now + self._notifier.interval_s

    # Sockets

    def _publish_telemetry(self, topic: str, data: bytes) -> None:
        self._sockets["telemetry"].send_multipart([topic.encode("ascii"), data], flags=zmq.NOBLOCK)

    def _take_handshakes(self) -> None:
        for line in self._gatekeeper.answer():
            self._counters.handshakes_failed += 1
            self._events.send("handshake_failed", line)

    # Frames

    def _take_frames(self) -> None:
        for _ in range(_MESSAGES_PER_TURN):
            try:
                parts = self._frames.recv_multipart(flags=zmq.NOBLOCK)
            except zmq.Again:
                return
            self._counters.frames_received += 1
            try:
                if not self._frame_limit.take():
                    limit = self._configuration.limits.frames_per_second
                    raise FrameError("rate_limited", f"frame: expected at most {limit:g} frames per second, got more")
                superseded = self._intake.accept(parts)
            except FrameError as error:
                self._counters.frames_rejected[error.reason] += 1
                self._events.send("frame_rejected", str(error), reason=error.reason)
                continue
            self._counters.frames_accepted += 1
            self._counters.frames_superseded += superseded

    def _dispatch(self) -> None:
        if self._state == "safe":
            pending = self._intake.take()
            if pending is not None:
                self._publisher.invalid(self._work_for(pending), "safe_state", self._counters)
            return
        if self._worker.state != "idle":
            return
        waiting = self._intake.pending is not None
        if self._self_test_wanted or self._self_tests.due(self._parameters.now.self_test_interval, not waiting):
            self._job += 1
            self._hand_over({"type": "self_test", "job": self._job})
            return
        pending = self._intake.take()
        if pending is None:
            return
        work = self._work_for(pending)
        header = pending.frame.header
        job = {
            "type": "frame",
            "job": work.job,
            **{key: header[key] for key in ("height", "width", "channels", "dtype", "bit_depth", "centered")},
            "seed": work.seed,
            "settings": asdict(self._parameters.now.settings()),
            # The deadline counts from the frame's arrival; CLOCK_MONOTONIC is one clock for both processes.
            "started": pending.received,
            "topics": work.topics,
        }
        if self._hand_over(job, pending.pixels, 1e-6 * header["height"] * header["width"]):
            self._work = work
        else:
            # The worker is gone, and its exit will be seen in a moment; the frame waits for the next one.
            self._intake.put_back(pending)

    def _work_for(self, pending: PendingFrame) -> Work:
        header = pending.frame.header
        self._job += 1
        seed = frame_seed(
            self._configuration.inference.base_seed, header["source"], header["epoch"], header["frame_id"]
        )
        topics = (TOPIC_NAVIGATION, TOPIC_HAZARD) + ((TOPIC_FULL,) if self._parameters.now.publish_full else ())
        return Work(self._job, pending, self._bundles.serving, self._parameters.now, seed, topics, time.monotonic())

    def _hand_over(self, job: dict[str, Any], pixels: bytes = b"", megapixels: float = 0.0) -> bool:
        try:
            self._worker.dispatch(job, pixels, megapixels)
        except zmq.Again:
            return False
        return True

    # Worker

    def _new_worker(self) -> Worker:
        return Worker(self._context, self._configuration.inference.threads, self._configuration.worker)

    def _start_worker(self) -> None:
        try:
            self._worker.start(self._bundles.folder)
        except (OSError, zmq.ZMQError) as error:
            self._lose_worker("worker_died", f"could not be started: {error}")

    def _take_answer(self) -> None:
        try:
            received = self._worker.receive()
            if received is not None:
                self._handle_answer(*received)
        except zmq.ZMQError:
            raise
        except Exception as error:
            # An upset worker may answer anything; whatever that breaks, it is the worker that has to go.
            self._lose_worker("worker_answer_malformed", f"{type(error).__name__}: {error}")

    def _handle_answer(self, message: dict[str, Any], planes: list[bytes]) -> None:
        kind = message["type"]
        if kind == "ready":
            if self._judge(self._bundles.serving, message, fresh=True):
                self._restarts.ready()
                self._set_state("degraded" if self._damaged else "ready")
                self._notifier.ready(f"serving {self._bundles.serving.name} {self._bundles.serving.version}")
                self._events.send("worker_ready", f"pid {self._worker.pid}", pid=self._worker.pid)
            else:
                self._lose_worker("self_test_failed", "a fresh worker's answer was not the known one")
        elif kind == "refused":
            self._events.send("bundle_refused", message["message"])
            self._restore_files()
        elif kind == "tested":
            self._self_test_wanted = False
            if self._judge(self._bundles.serving, message, fresh=False):
                self._events.send("self_test_passed", f"{100 * message['agreement']:.2f} % of the pixels as recorded")
            else:
                self._lose_worker("self_test_failed", "the worker's answer was not the known one, bit by bit")
        elif self._work is None or message["job"] != self._work.job:
            # A self-test that could not be carried out.
            self._self_test_wanted = False
            self._self_tests.failed()
            self._counters.self_tests_failed += 1
            self._lose_worker("self_test_failed", message["message"])
        elif kind == "maps":
            work = self._work
            flags = ["bundle_damaged"] if self._damaged else []
            self._publisher.maps(work, message, planes, flags, self._counters, self._latencies)
            self._work = None
            self._restarts.answered()
            self._self_tests.frames_since += 1
            if self._bundles.answered():
                self._record(self._bundles.confirm)
                self._events.send("bundle_confirmed", f"{work.bundle.name} {work.bundle.version}")
        else:
            work, self._work = self._work, None
            self._events.send("worker_refused", message["message"])
            self._publisher.invalid(work, "frame_refused", self._counters)
            if self._bundles.probation_left:
                self._lose_worker("worker_refused", "the newly activated bundle could not process a frame")

    def _watch_worker(self) -> None:
        now = time.monotonic()
        if self._state == "safe":
            return
        if self._worker.state == "dead":
            if now >= self._restart_at:
                self._counters.worker_restarts += 1
                self._start_worker()
            return
        problem = self._worker.problem(now)
        if problem is not None:
            self._lose_worker(*problem)
        else:
            self._worker.ping_if_quiet(now)

    def _lose_worker(self, event: str, message: str) -> None:
        """The worker died, hangs or errs: end it, say so, plan a new one, and see to the frame that it had."""
        self._events.send(event, message)
        self._worker.kill()
        if self._bundles.probation_left:
            self._fall_back(message)
        start = self._restarts.next_start(time.monotonic())
        lost = None
        if self._work is not None:
            work, self._work = self._work, None
            lost = replace(work.pending, lost_workers=work.pending.lost_workers + 1)
            # A frame is tried once more, by the next worker; one that costs two workers may be the cause.
            if start is None or lost.lost_workers > 1 or not self._intake.put_back(lost):
                self._publisher.invalid(work, "safe_state" if start is None else "worker_failed", self._counters)
        if start is None:
            self._set_state("safe")
            limit, window = self._configuration.worker.restart_limit, self._configuration.worker.restart_window_s
            self._events.send("safe_state_entered", f"more than {limit} worker restarts in {window:g} s")
            self._notifier.ready("safe state, waiting for a command")
        else:
            self._set_state("degraded")
            self._restart_at = start

    # Self-tests

    def _judge(self, bundle: Bundle, message: dict[str, Any], fresh: bool) -> bool:
        """Whether a worker's self-test gave the known answer; counted, and references recorded."""
        key, digest = f"{bundle.sha256} {message['environment']}", message["digest"]
        verdict = self._self_tests.judge(key, digest, fresh)
        if verdict == "failed":
            self._counters.self_tests_failed += 1
            return False
        self._counters.self_tests_passed += 1
        if verdict != "passed":
            event = "self_test_reference_set" if verdict == "set" else "self_test_reference_replaced"
            self._events.send(event, f"{digest[:16]}... of bundle {key[:16]}...")
            self._record(lambda: self._records.change(references=self._self_tests.references))
        return True

    # Bundle files

    def _watch_files(self) -> None:
        serving = self._bundles.serving
        self._file_check.watch(self._bundles.folder, serving.hashes)

    def _take_file_checks(self) -> None:
        if self._file_check.results.empty():
            return
        folder, problem = self._file_check.results.get_nowait()
        if problem is None:
            self._counters.file_checks_passed += 1
            if self._damaged and self._repair is None:
                # An earlier repair came to nothing; the files are good by now.
                self._repair = self._repair_files()
        elif folder == self._bundles.folder:
            self._counters.file_checks_failed += 1
            self._events.send("bundle_damaged", problem)
            self._damaged = True
            if self._state == "ready":
                self._set_state("degraded")
            if self._repair is None:
                self._repair = self._repair_files()

    def _restore_files(self) -> bool:
        """Write the serving bundle's files anew from memory, and load workers from there. Returns whether it worked."""
        try:
            self._bundles.folder = self._bundles.write_anew()
        except (BundleError, OSError) as error:
            self._events.send("bundle_damaged", f"and could not be written anew: {error}")
            return False
        self._watch_files()
        return True

    def _repair_files(self) -> Procedure:
        """Files of the serving bundle changed: write them anew, and let a fresh worker load them."""
        while not self._candidate.free:
            yield
        serving = self._bundles.serving
        if not self._restore_files():
            return {}

        def still_serving() -> None:
            if self._bundles.serving is not serving:
                raise CommandError("wrong_state", "another bundle serves by now")

        yield from self._candidate.warm_up(self._bundles.folder, serving)
        try:
            yield from self._swap(still_serving)
        except CommandError:
            return {}
        self._damaged = False
        self._events.send("bundle_repaired", f"{serving.name} {serving.version} from {self._bundles.folder}")
        return {}

    # Commands

    def _take_commands(self) -> None:
        for _ in range(_MESSAGES_PER_TURN):
            # Beyond the limit commands wait in the socket, and senders in theirs: none is lost.
            if not self._commands.poll(0) or not self._command_limit.take():
                return
            parts = self._commands.recv_multipart(flags=zmq.NOBLOCK)
            # REQ clients put an empty part before the message; DEALER clients may leave it out.
            envelope, body = parts[:-1], parts[-1]
            identifier, outcome = begin(body, self._command_table)
            if isinstance(outcome, Outcome):
                self._reply(envelope, identifier, outcome)
            elif self._running_command is not None:
                outcome.close()
                self._reply(envelope, identifier, Outcome("busy", "another command that takes time is under way"))
            else:
                self._running_command = _Running(identifier, envelope, outcome)

    def _reply(self, envelope: list[bytes], identifier: int, outcome: Outcome) -> None:
        if outcome.code == "ok":
            self._counters.commands_accepted += 1
        else:
            self._counters.commands_rejected += 1
            self._events.send("command_rejected", outcome.message, code=outcome.code)
        try:
            self._commands.send_multipart([*envelope, encode_reply(identifier, outcome)], flags=zmq.NOBLOCK)
        except zmq.ZMQError:
            # The client went away or does not read; its reply is lost, nothing else.
            return

    def _advance(self) -> None:
        """Resume what takes longer than a turn."""
        if self._repair is not None:
            outcome = advance(self._repair)
            if outcome is not None:
                self._repair = None
                if outcome.code != "ok":
                    self._events.send("bundle_damaged", f"not repaired: {outcome.message}")
        if self._running_command is not None:
            command = self._running_command
            outcome = advance(command.procedure)
            if outcome is not None:
                self._running_command = None
                self._reply(command.envelope, command.identifier, outcome)

    def _get_parameters(self) -> dict[str, Any]:
        return self._parameters.now.values()

    def _set_parameter(self, name: Any, value: Any) -> dict[str, Any]:
        if name == "mode":
            raise CommandError("unknown_parameter", "name: the mode is changed by set_mode")
        self._set_parameters({name: value} if isinstance(name, str) else {shown(name): value})
        return {"name": name, "value": getattr(self._parameters.now, name)}

    def _set_mode(self, mode: Any) -> dict[str, Any]:
        return self._set_parameters({"mode": mode})

    def _set_parameters(self, values: Any) -> dict[str, Any]:
        changed = self._parameters.set(values, self._bundles.serving)
        text = ", ".join(f"{name} = {value}" for name, value in changed.items())
        self._events.send("parameter_changed", text, names=list(changed))
        return changed

    def _self_test(self) -> Procedure:
        if self._state == "safe":
            raise CommandError("wrong_state", "self_test: there is no worker in the safe state")
        return self._await_self_test()

    def _await_self_test(self) -> Procedure:
        before = self._self_tests.time_ns
        self._self_test_wanted = True
        while self._self_test_wanted or self._self_tests.time_ns == before:
            if self._state == "safe":
                self._self_test_wanted = False
                raise CommandError("wrong_state", "self_test: the service entered the safe state")
            yield
        if not self._self_tests.passed:
            raise CommandError("not_valid", "self_test: the answer was not the known one; the worker is replaced")
        return {"passed": True}

    def _reset_counters(self) -> dict[str, Any]:
        self._counters, self._latencies = Counters(), Latencies()
        self._events.suppressed = 0
        self._events.send("counters_reset", "all counters and latencies begin anew")
        return {}

    def _recover(self) -> dict[str, Any]:
        if self._state != "safe":
            raise CommandError("wrong_state", f"recover: expected the safe state, got {self._state}")
        self._restarts.forget()
        self._set_state("starting")
        self._events.send("safe_state_left", "by command")
        self._counters.worker_restarts += 1
        self._start_worker()
        return {}

    def _command_shutdown(self) -> dict[str, Any]:
        self.shutdown()
        return {}

    # Bundle commands

    def _load_bundle(self, path: Any) -> Procedure:
        if self._configuration.storage.bundles is None:
            raise CommandError("not_configured", "load_bundle: storage.bundles and storage.state are not configured")
        try:
            source = self._bundles.store.source(path)
        except BundleError as error:
            raise CommandError("invalid_argument", f"load_bundle: {error}") from error
        return self._copy_in(source)

    def _copy_in(self, source: Path) -> Procedure:
        sha256, folder = yield from self._storage.run(lambda: self._bundles.store.copy_in(source))
        self._bundles.staged = Staged(sha256, folder)
        self._bundles.forget_others()
        self._events.send("bundle_loaded", f"{source.name}, {sha256[:16]}...", sha256=sha256)
        return {"sha256": sha256}

    def _validate_bundle(self) -> Procedure:
        staged = self._bundles.staged
        if staged is None:
            raise CommandError("not_staged", "validate_bundle: expected a bundle loaded by load_bundle, got none")
        return self._validate(staged)

    def _validate(self, staged: Staged) -> Procedure:
        staged.bundle = None
        bundle: Bundle = yield from self._storage.run(lambda: load_bundle(staged.folder))
        agreement = yield from self._candidate.warm_up(staged.folder, bundle)
        self._candidate.drop()
        staged.bundle = bundle
        self._events.send("bundle_validated", f"{bundle.name} {bundle.version}, {bundle.sha256[:16]}...")
        return {**bundle.identity, "modes": list(bundle.modes), "agreement": agreement}

    def _activate_bundle(self) -> Procedure:
        staged = self._bundles.staged
        if staged is None or staged.bundle is None:
            raise CommandError("not_staged", "activate_bundle: expected a bundle that validate_bundle passed, got none")
        return self._activate(staged, staged.bundle)

    def _activate(self, staged: Staged, bundle: Bundle) -> Procedure:
        yield from self._candidate.warm_up(staged.folder, bundle)
        before = self._bundles.serving

        def take_over() -> None:
            try:
                self._bundles.activate(bundle, staged.folder)
            except OSError as error:
                raise CommandError("storage_failed", f"not activated: the record: {error.strerror}") from error

        yield from self._swap(take_over)
        self._counters.bundle_activations += 1
        self._after_bundle_change()
        self._events.send(
            "bundle_activated",
            f"{bundle.name} {bundle.version} after {before.name} {before.version}",
            **bundle.identity,
        )
        return dict(bundle.identity)

    def _fall_back(self, why: str) -> None:
        """The newly activated bundle failed: the one before it serves again."""
        failed = self._bundles.serving
        self._record(self._bundles.fall_back)
        self._counters.bundle_fall_backs += 1
        self._after_bundle_change()
        for event, message in self._bundles.notices:
            self._events.send(event, message)
        self._bundles.notices.clear()
        now = self._bundles.serving
        self._events.send(
            "bundle_fell_back", f"{failed.name} {failed.version} failed ({why}); {now.name} {now.version} serves"
        )

    def _after_bundle_change(self) -> None:
        for problem in self._parameters.follow(self._bundles.serving):
            self._events.send("record_not_applicable", problem)
        self._damaged = False
        self._watch_files()

    def _swap(self, take_over: Any = lambda: None) -> Procedure:
        """Put the candidate in the worker's place between two frames. take_over: what must work for that."""
        while self._worker.state == "busy":
            yield
        try:
            take_over()
        except CommandError:
            self._candidate.drop()
            raise
        if self._state == "safe":
            # There is no worker until recovery, which then starts one over the same files.
            self._candidate.drop()
            return {}
        self._worker.close()
        self._worker = self._candidate.take()
        self._set_state("ready")
        return {}

    # Record

    def _record(self, change: Any) -> None:
        """Write to the record what has happened already; a storage that fails cannot undo it."""
        try:
            change()
        except OSError as error:
            self._events.send("record_not_written", f"{error.filename}: {error.strerror}")

    def _tell_record_problems(self) -> None:
        for event, message in self._records.problems:
            self._events.send(event, message)
        self._records.problems.clear()

    # Telemetry

    def _set_state(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._send_housekeeping()

    def _housekeeping(self) -> dict[str, Any]:
        now = time.monotonic()
        self._counters.events_suppressed = self._events.suppressed
        last = self._worker.last_answer
        worker_memory = resident_memory_bytes(self._worker.pid) if self._worker.pid else 0
        staged, test = self._bundles.staged, self._self_tests
        return {
            "time_ns": time.time_ns(),
            "state": self._state,
            "uptime_s": now - self._started,
            "counters": self._counters.values(),
            "latency_ms": self._latencies.values(),
            "worker_last_answer_age_s": None if last is None else now - last,
            "worker_pid": self._worker.pid,
            "bundle": self._bundles.serving.identity,
            "bundle_on_probation": self._bundles.probation_left > 0,
            "staged_bundle": staged and {"sha256": staged.sha256, "validated": staged.bundle is not None},
            "self_test": None if test.passed is None else {"time_ns": test.time_ns, "passed": test.passed},
            "parameters": self._parameters.now.values(),
            "record_copies": self._records.copies if self._records.persistent else None,
            "resident_memory_bytes": resident_memory_bytes() + worker_memory,
            "cpu_temperature_c": cpu_temperature_c(),
        }

    def _send_housekeeping(self) -> None:
        self._next_housekeeping = time.monotonic() + 1.0
        self._publish_telemetry(TOPIC_HOUSEKEEPING, encode_message("housekeeping", self._housekeeping()))
