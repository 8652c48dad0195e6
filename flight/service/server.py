"""The service: one loop over the public sockets and the worker; it computes nothing itself and stays alive."""

from __future__ import annotations

import os
import signal
import socket as socketlib
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import zmq

from flight.bundle import Bundle
from flight.icd.control import encode_message
from flight.icd.frames import FrameError
from flight.icd.limits import (
    COMMAND_BYTES,
    MESSAGE_BYTES,
    PRODUCT_TOPICS,
    SCHEMA_VERSION,
    TOPIC_FULL,
    TOPIC_HAZARD,
    TOPIC_HOUSEKEEPING,
    TOPIC_NAVIGATION,
)
from flight.icd.products import encode_product
from flight.inference.seeds import frame_seed
from flight.schema import shown
from flight.service.commands import Command, CommandError, answer
from flight.service.configuration import Configuration, Parameters, initial_parameters, with_parameter
from flight.service.events import EventSender
from flight.service.intake import Intake, PendingFrame
from flight.service.statistics import Counters, Latencies, cpu_temperature_c, resident_memory_bytes
from flight.service.supervision import Worker

# Frames queue in the service's own slot, not in the socket: a full socket would keep the oldest ones.
_FRAME_QUEUE = 4
# A subscriber that does not read loses products beyond these; it never holds up the others.
_PRODUCT_QUEUE = 16
_TELEMETRY_QUEUE = 1000
_TICK_MS = 50
# After a worker's death the next one starts at once; further deaths wait longer, up to this.
_LONGEST_BACK_OFF_S = 10.0
_MESSAGES_PER_TURN = 32


class ServiceError(RuntimeError):
    """The service cannot start; the message says which socket and why."""


@dataclass
class _Work:
    """The frame that the worker has, and what it was asked."""

    job: int
    pending: PendingFrame
    parameters: Parameters
    seed: int
    dispatched: float


class Service:
    """The flight service. run() returns after shutdown(), SIGTERM or SIGINT.

    Raises ServiceError when a socket cannot be bound.
    """

    def __init__(self, configuration: Configuration, bundle: Bundle) -> None:
        self._configuration = configuration
        self._bundle = bundle
        self._parameters = initial_parameters(bundle, configuration.parameters)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        try:
            self._frames = self._bind("frames", zmq.PULL, zmq.RCVHWM, _FRAME_QUEUE, MESSAGE_BYTES)
            self._products = self._bind("products", zmq.PUB, zmq.SNDHWM, _PRODUCT_QUEUE, 1024)
            self._telemetry = self._bind("telemetry", zmq.PUB, zmq.SNDHWM, _TELEMETRY_QUEUE, 1024)
            self._commands = self._bind("commands", zmq.ROUTER, zmq.RCVHWM, 100, COMMAND_BYTES)
        except ServiceError:
            self._close_sockets()
            raise
        self._events = EventSender(self._publish_telemetry)
        self._counters = Counters()
        self._latencies = Latencies()
        self._intake = Intake()
        self._worker = Worker(self._context, bundle.path, configuration.threads)
        self._work: _Work | None = None
        self._job = 0
        self._sequences = dict.fromkeys(PRODUCT_TOPICS, 0)
        self._state = "starting"
        self._started = time.monotonic()
        self._next_housekeeping = 0.0
        self._failures = 0
        self._restart_at = 0.0
        self._running = True
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.shutdown)
        self._command_table = {
            "no_op": Command((), dict),
            "get_status": Command((), self._housekeeping),
            "get_parameters": Command((), lambda: {"mode": self._parameters.mode, **self._parameters.values()}),
            "set_parameter": Command(("name", "value"), self._set_parameter),
            "set_mode": Command(("mode",), self._set_mode),
            "shutdown": Command((), self._command_shutdown),
        }

    @property
    def state(self) -> str:
        """ "starting", "ready" or "degraded" """
        return self._state

    def shutdown(self, *_: Any) -> None:
        """Ask the loop to end; usable as a signal handler."""
        self._running = False

    def run(self) -> None:
        """Serve until told to stop."""
        poller = zmq.Poller()
        poller.register(self._frames, zmq.POLLIN)
        poller.register(self._commands, zmq.POLLIN)
        self._events.send("service_started", f"bundle {self._bundle.name} {self._bundle.version}", pid=os.getpid())
        try:
            self._start_worker()
            while self._running:
                self._turn(poller)
            self._events.send("service_stopped", f"after {time.monotonic() - self._started:.1f} s")
        finally:
            self._worker.close()
            self._close_sockets()

    def _turn(self, poller: zmq.Poller) -> None:
        """One turn of the loop; every part of it is bounded."""
        private = self._worker.socket
        if private is not None:
            poller.register(private, zmq.POLLIN)
        poller.poll(_TICK_MS)
        if private is not None:
            poller.unregister(private)
        self._take_frames()
        self._take_commands()
        self._take_answer()
        self._watch_worker()
        self._dispatch()
        if time.monotonic() >= self._next_housekeeping:
            self._send_housekeeping()

    # Sockets

    def _bind(self, name: str, kind: int, water_mark: int, depth: int, limit: int) -> zmq.Socket[bytes]:
        endpoint = self._configuration.endpoints[name]
        if _ipc_in_use(endpoint):
            raise ServiceError(f"endpoints.{name}: cannot bind {endpoint}: Address already in use")
        socket = self._context.socket(kind)
        self._sockets[name] = socket
        socket.setsockopt(zmq.LINGER, 500)
        socket.setsockopt(water_mark, depth)
        socket.setsockopt(zmq.MAXMSGSIZE, limit)
        if "[::1]" in endpoint:
            socket.setsockopt(zmq.IPV6, 1)
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise ServiceError(f"endpoints.{name}: cannot bind {endpoint}: {error.strerror}") from error
        return socket

    def _close_sockets(self) -> None:
        for socket in self._sockets.values():
            socket.close()
        self._context.term()

    def _publish_telemetry(self, topic: str, data: bytes) -> None:
        self._telemetry.send_multipart([topic.encode("ascii"), data], flags=zmq.NOBLOCK)

    # Frames

    def _take_frames(self) -> None:
        for _ in range(_MESSAGES_PER_TURN):
            try:
                parts = self._frames.recv_multipart(flags=zmq.NOBLOCK)
            except zmq.Again:
                return
            self._counters.frames_received += 1
            try:
                superseded = self._intake.accept(parts)
            except FrameError as error:
                self._counters.frames_rejected[error.reason] += 1
                self._events.send("frame_rejected", str(error), reason=error.reason)
                continue
            self._counters.frames_accepted += 1
            self._counters.frames_superseded += superseded

    def _dispatch(self) -> None:
        if self._worker.state != "idle":
            return
        pending = self._intake.take()
        if pending is None:
            return
        header = pending.frame.header
        self._job += 1
        seed = frame_seed(self._configuration.base_seed, header["source"], header["epoch"], header["frame_id"])
        topics = [TOPIC_NAVIGATION, TOPIC_HAZARD] + ([TOPIC_FULL] if self._parameters.publish_full else [])
        job = {
            "type": "frame",
            "job": self._job,
            **{key: header[key] for key in ("height", "width", "channels", "dtype", "bit_depth", "centered")},
            "seed": seed,
            "settings": asdict(self._parameters.settings()),
            # The deadline counts from the frame's arrival; CLOCK_MONOTONIC is one clock for both processes.
            "started": pending.received,
            "topics": topics,
        }
        try:
            self._worker.dispatch(job, pending.pixels)
        except zmq.Again:
            # The worker is gone, and its exit will be seen in a moment; the frame waits for the next one.
            self._intake.put_back(pending)
            return
        self._work = _Work(self._job, pending, self._parameters, seed, time.monotonic())

    # Worker

    def _start_worker(self) -> None:
        try:
            self._worker.start()
        except (OSError, zmq.ZMQError) as error:
            self._lose_worker("worker_died", f"could not be started: {error}")

    def _take_answer(self) -> None:
        received = self._worker.receive()
        if received is None:
            return
        message, planes = received
        kind = message["type"]
        if kind == "ready":
            self._set_state("ready")
            self._events.send("worker_ready", f"pid {self._worker.pid}", pid=self._worker.pid)
        elif kind == "refused":
            self._events.send("bundle_refused", message["message"])
        elif self._work is not None and message["job"] == self._work.job:
            work, self._work = self._work, None
            if kind == "maps":
                self._failures = 0
                self._publish_maps(work, message, planes)
            else:
                self._events.send("worker_refused", message["message"])
                self._publish_invalid(work, "frame_refused")

    def _watch_worker(self) -> None:
        now = time.monotonic()
        worker = self._worker
        if worker.state == "dead":
            if now >= self._restart_at:
                self._counters.worker_restarts += 1
                self._start_worker()
            return
        status = worker.exit_status()
        if status is not None:
            self._lose_worker("worker_died", f"pid {worker.pid}: {_how_it_ended(status)}")
            return
        limits = {
            "starting": self._configuration.start_timeout_s,
            "busy": self._configuration.answer_timeout_s,
        }
        if worker.state in limits and now - worker.since > limits[worker.state]:
            self._lose_worker(
                "worker_timeout", f"pid {worker.pid}: {worker.state} for more than {limits[worker.state]:g} s"
            )

    def _lose_worker(self, event: str, message: str) -> None:
        """The worker died or hangs: end it, say so, plan a new one, and see to the frame that it had."""
        self._events.send(event, message)
        self._worker.kill()
        self._set_state("degraded")
        self._restart_at = time.monotonic() + (
            min(0.25 * 2.0**self._failures, _LONGEST_BACK_OFF_S) if self._failures else 0.0
        )
        self._failures = min(self._failures + 1, 16)
        if self._work is not None:
            work, self._work = self._work, None
            lost = replace(work.pending, lost_workers=work.pending.lost_workers + 1)
            # A frame is tried once more, by the next worker; one that costs two workers may be the cause.
            if lost.lost_workers > 1 or not self._intake.put_back(lost):
                self._publish_invalid(work, "worker_failed")

    # Products

    def _publish_maps(self, work: _Work, message: dict[str, Any], planes: list[bytes]) -> None:
        answered = time.monotonic()
        timing = {
            "queue": 1e3 * (work.dispatched - work.pending.received),
            "center": message["timing_ms"]["center"],
            "passes": message["timing_ms"]["passes"],
            "fuse": message["timing_ms"]["fuse"],
        }
        inside = timing["center"] + timing["passes"] + timing["fuse"]
        # What the worker's answer took beyond its own stages: making the planes and carrying both ways.
        timing["publish"] = max(1e3 * (answered - work.dispatched) - inside, 0.0)
        degraded = bool(set(message["flags"]) - {"single_pass"})
        header = self._header(work, "degraded" if degraded else "valid", message["flags"], timing)
        header["passes_used"] = message["passes_used"]
        header["map_to_sensor"] = message["map_to_sensor"]
        taken = 0
        for topic, entries in message["topics"].items():
            self._publish(topic, {**header, "planes": entries}, planes[taken : taken + len(entries)])
            taken += len(entries)
        self._counters.frames_processed += 1
        self._latencies.add({**timing, "total": 1e3 * (time.monotonic() - work.pending.received)})

    def _publish_invalid(self, work: _Work, flag: str) -> None:
        timing = dict.fromkeys(("center", "passes", "fuse", "publish"), 0.0)
        timing["queue"] = 1e3 * (work.dispatched - work.pending.received)
        header = self._header(work, "invalid", [flag], timing)
        for topic in (TOPIC_NAVIGATION, TOPIC_HAZARD):
            self._publish(topic, {**header, "planes": []}, [])

    def _header(self, work: _Work, status: str, flags: list[str], timing_ms: dict[str, float]) -> dict[str, Any]:
        frame = work.pending.frame.header
        return {
            "schema": SCHEMA_VERSION,
            "type": "map",
            "topic": "",
            "sequence": 0,
            "source": frame["source"],
            "epoch": frame["epoch"],
            "frame_id": frame["frame_id"],
            "capture_time_ns": frame["capture_time_ns"],
            "received_time_ns": work.pending.received_time_ns,
            "published_time_ns": 0,
            "status": status,
            "flags": flags,
            "bundle": self._bundle.identity,
            "mode": work.parameters.mode,
            "gamma": work.parameters.gamma,
            "passes_requested": work.parameters.passes,
            "passes_used": 0,
            "seed": work.seed,
            "uncertainty_threshold": work.parameters.uncertainty_threshold,
            "map_to_sensor": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            "classes": [{"index": c.index, "name": c.name, "role": c.role} for c in self._bundle.classes],
            "timing_ms": timing_ms,
            "planes": [],
        }

    def _publish(self, topic: str, header: dict[str, Any], planes: list[bytes]) -> None:
        header = {**header, "topic": topic, "sequence": self._sequences[topic], "published_time_ns": time.time_ns()}
        self._sequences[topic] += 1
        self._products.send_multipart(encode_product(header, planes), flags=zmq.NOBLOCK, copy=False)
        self._counters.products_published[topic] += 1

    # Commands

    def _take_commands(self) -> None:
        for _ in range(_MESSAGES_PER_TURN):
            try:
                parts = self._commands.recv_multipart(flags=zmq.NOBLOCK)
            except zmq.Again:
                return
            # REQ clients put an empty part before the message; DEALER clients may leave it out.
            envelope, body = parts[:-1], parts[-1]
            reply, refusal = answer(body, self._command_table)
            if refusal is None:
                self._counters.commands_accepted += 1
            else:
                self._counters.commands_rejected += 1
                self._events.send("command_rejected", refusal)
            try:
                self._commands.send_multipart([*envelope, reply], flags=zmq.NOBLOCK)
            except zmq.ZMQError:
                # The client went away or does not read; its reply is lost, nothing else.
                continue

    def _set_parameter(self, name: Any, value: Any) -> dict[str, Any]:
        known = self._parameters.values()
        if not isinstance(name, str) or name not in known:
            raise CommandError("unknown_parameter", f"name: expected {' | '.join(known)}, got {shown(name)}")
        self._parameters = with_parameter(self._parameters, name, value)
        self._events.send("parameter_changed", f"{name} = {getattr(self._parameters, name)}", name=name)
        return {"name": name, "value": getattr(self._parameters, name)}

    def _set_mode(self, mode: Any) -> dict[str, Any]:
        if mode not in self._bundle.modes:
            expected = " | ".join(self._bundle.modes)
            raise CommandError("invalid_argument", f"mode: expected {expected}, got {shown(mode)}")
        self._parameters = Parameters(mode=mode, **self._parameters.values())
        self._events.send("parameter_changed", f"mode = {mode}", name="mode")
        return {"mode": mode}

    def _command_shutdown(self) -> dict[str, Any]:
        self.shutdown()
        return {}

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
        return {
            "time_ns": time.time_ns(),
            "state": self._state,
            "uptime_s": now - self._started,
            "counters": self._counters.values(),
            "latency_ms": self._latencies.values(),
            "worker_last_answer_age_s": None if last is None else now - last,
            "worker_pid": self._worker.pid,
            "bundle": self._bundle.identity,
            "parameters": {"mode": self._parameters.mode, **self._parameters.values()},
            "resident_memory_bytes": resident_memory_bytes() + worker_memory,
            "cpu_temperature_c": cpu_temperature_c(),
        }

    def _send_housekeeping(self) -> None:
        self._next_housekeeping = time.monotonic() + 1.0
        self._publish_telemetry(TOPIC_HOUSEKEEPING, encode_message("housekeeping", self._housekeeping()))


def _how_it_ended(status: int) -> str:
    """A process's exit status in words; negative numbers are signals."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"


def _ipc_in_use(endpoint: str) -> bool:
    """Whether someone listens on an ipc endpoint; ZeroMQ would take it over without a word."""
    path = endpoint.removeprefix("ipc://")
    if path == endpoint or not Path(path).is_socket():
        return False
    with socketlib.socket(socketlib.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True
