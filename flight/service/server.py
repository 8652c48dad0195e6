"""The service: the public sockets, and the loop over them and the worker's. The other parts do the work."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import zmq

from flight.bundle import BundleError
from flight.service.assembly import build_parts, lock_state, open_storage
from flight.service.configuration import Configuration
from flight.service.events import EventSink
from flight.service.gatekeeper import Gatekeeper
from flight.service.resident_memory import limit_allocator, release_unused
from flight.service.sockets import ServiceError, bind_sockets
from flight.service.state import State
from flight.service.statistics import Counters

_TICK_MS = 50
_STORING_TICK_MS = 2
# What systemd is asked for at a time while the first worker starts, repeated well before it is over.
_EXTENSION_S = 60.0
# How an operator, a terminal and systemd ask a service to end.
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
# They mean nothing here, and would end the process where it stands: without a word to consumers, systemd or the log.
_IGNORED = (
    *(signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF),
    *(signal.SIGIO, signal.SIGPWR, signal.SIGSTKFLT, *range(signal.SIGRTMIN, signal.SIGRTMAX + 1)),
)


class Service:
    """The flight service."""

    def __init__(self, configuration: Configuration, bundle: Path) -> None:
        """Bind the sockets and build the service's parts.

        Args:
            configuration: of the service.
            bundle: folder of the bundle that is served unless another was activated.

        Raises:
            ServiceError: a socket cannot be bound, a folder cannot be made, or another service has the state folder.
            BundleError: no bundle can be served.
        """
        limit_allocator()
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        counters = Counters()
        self._state = State(EventSink(counters))
        self._events = self._state.events
        # Both belong to this service alone before anything on the storage is read or changed.
        self._lock = lock_state(configuration.storage.state)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._gatekeeper = Gatekeeper(self._context, configuration.security.keys, self._events, counters)
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        try:
            self._sockets = bind_sockets(self._context, configuration.endpoints, self._gatekeeper)
            storage = open_storage(configuration.storage, bundle, self._events)
        except (ServiceError, BundleError):
            self._close_sockets()
            raise
        self._parts = build_parts(
            configuration, storage, self._context, self._sockets, self._state, counters, self.shutdown
        )
        self._next_watchdog = 0.0
        self._next_extension = 0.0
        self._running = True
        for number in _ENDING:
            signal.signal(number, self.shutdown)

    def shutdown(self, *_: Any) -> None:
        """Ask the loop to end; usable as a signal handler."""
        self._running = False

    def run(self) -> None:
        """Serve until shutdown() or a signal of an operator. Raises any error of the service's own code: it ends it."""
        poller = zmq.Poller()
        poller.register(self._sockets["frames"], zmq.POLLIN)
        if self._gatekeeper.socket is not None:
            poller.register(self._gatekeeper.socket, zmq.POLLIN)
        self._events.open(self._sockets["telemetry"])
        bundle = self._parts.serving.bundle
        self._events.send("service_started", pid=os.getpid(), name=bundle.name, version=bundle.version)
        self._events.send_waiting()
        try:
            self._parts.worker_care.start()
            # While the worker starts there is nothing else to do.
            release_unused()
            while self._running:
                self._turn(poller)
            self._events.send("service_stopped", uptime_s=self._parts.housekeeping.uptime_s)
        except Exception as error:
            # A fault of this process, not of its worker: end, and systemd starts a new process without the state that
            # led to it. The traceback has the details; sending the event may fail for the same reason.
            with contextlib.suppress(Exception):
                fault, uptime_s = f"{type(error).__name__}: {error}", self._parts.housekeeping.uptime_s
                self._events.send("service_stopped", uptime_s=uptime_s, fault=fault)
            raise
        finally:
            self._close()

    def _close(self) -> None:
        self._parts.notifier.report_stopping()
        self._parts.close()
        self._close_sockets()

    def _close_sockets(self) -> None:
        for socket in self._sockets.values():
            socket.disable_monitor()
            socket.close()
        self._gatekeeper.close()
        self._context.term()
        if self._lock is not None:
            self._lock.close()

    def _turn(self, poller: zmq.Poller) -> None:
        """Run one turn of the loop, every step of which is bounded."""
        private = self._parts.worker_care.socket
        if private is not None:
            poller.register(private, zmq.POLLIN)
        # Commands beyond the limit wait in the socket; polling for them would make the loop spin.
        poller.register(self._sockets["commands"], zmq.POLLIN if self._parts.command_desk.open else 0)
        poller.poll(self._poll_timeout_ms())
        if private is not None:
            poller.unregister(private)
        parts = self._parts
        self._gatekeeper.answer()
        parts.frame_line.take_frames()
        parts.command_desk.take_commands()
        parts.worker_care.take_answer()
        parts.worker_care.watch()
        parts.records.advance()
        parts.serving.advance()
        parts.bundle_care.take_file_checks()
        parts.bundle_care.advance_repair()
        parts.command_desk.advance()
        parts.worker_care.dispatch()
        parts.housekeeping.send_if_due()
        self._feed_watchdog()

    def _poll_timeout_ms(self) -> int:
        """For how long a turn may wait for messages."""
        if self._gatekeeper.behind:
            return 0
        # Replies wait for the storage.
        return _STORING_TICK_MS if self._parts.records.waiting else _TICK_MS

    def _feed_watchdog(self) -> None:
        notifier, now = self._parts.notifier, time.monotonic()
        care = self._parts.worker_care
        if not notifier.ready:
            # Slow boards need longer than the unit's TimeoutStartSec. The workers' own limits end a start that goes
            # wrong: in the safe state, where an operator can do something, and not in a start without end.
            if now >= self._next_extension and care.replacing:
                notifier.extend_start(_EXTENSION_S)
                self._next_extension = now + _EXTENSION_S / 4
            return
        # In the safe state there is no worker on purpose, and the service must go on for the operator. A worker on its
        # way is this service's own affair, with limits of its own.
        if notifier.interval_s is None or now < self._next_watchdog:
            return
        if care.responsive or care.replacing or self._state.safe:
            notifier.report_alive()
            self._next_watchdog = now + notifier.interval_s
