"""The service: the public sockets, and the loop over them and the worker's. The other parts do the work."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import zmq

from flight.service.assembly import build_parts, open_storage
from flight.service.configuration import Configuration
from flight.service.events import EventSink
from flight.service.gatekeeper import Gatekeeper
from flight.service.sockets import ServiceError, bind_sockets
from flight.service.state import State
from flight.service.statistics import Counters

_TICK_MS = 50


class Service:
    """The flight service."""

    def __init__(self, configuration: Configuration, bundle: Path) -> None:
        """Bind the sockets and build the service's parts.

        Args:
            configuration: of the service.
            bundle: folder of the bundle that is served unless another was activated.

        Raises:
            ServiceError: a socket cannot be bound or a folder cannot be made.
            BundleError: no bundle can be served.
        """
        counters = Counters()
        self._state = State(EventSink(counters))
        self._events = self._state.events
        storage = open_storage(configuration.storage, bundle, self._events)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._gatekeeper = Gatekeeper(self._context, configuration.security.keys, self._events, counters)
        try:
            self._sockets = bind_sockets(self._context, configuration.endpoints, self._gatekeeper)
        except ServiceError:
            self._gatekeeper.close()
            self._context.term()
            raise
        self._parts = build_parts(
            configuration, storage, self._context, self._sockets, self._state, counters, self.shutdown
        )
        self._next_watchdog = 0.0
        self._running = True
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.shutdown)

    def shutdown(self, *_: Any) -> None:
        """Ask the loop to end; usable as a signal handler."""
        self._running = False

    def run(self) -> None:
        """Serve until shutdown(), SIGTERM or SIGINT. Raises any error of the service's own code, which ends it."""
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
        for socket in self._sockets.values():
            socket.disable_monitor()
            socket.close()
        self._gatekeeper.close()
        self._context.term()

    def _turn(self, poller: zmq.Poller) -> None:
        """Run one turn of the loop, every step of which is bounded."""
        private = self._parts.worker_care.socket
        if private is not None:
            poller.register(private, zmq.POLLIN)
        # Commands beyond the limit wait in the socket; polling for them would make the loop spin.
        poller.register(self._sockets["commands"], zmq.POLLIN if self._parts.command_desk.open else 0)
        poller.poll(_TICK_MS)
        if private is not None:
            poller.unregister(private)
        parts = self._parts
        self._gatekeeper.answer()
        parts.frame_line.take_frames()
        parts.command_desk.take_commands()
        parts.worker_care.take_answer()
        parts.worker_care.watch()
        parts.bundle_care.take_file_checks()
        parts.bundle_care.advance_repair()
        parts.command_desk.advance()
        parts.worker_care.dispatch()
        parts.housekeeping.send_if_due()
        self._feed_watchdog()

    def _feed_watchdog(self) -> None:
        notifier, now = self._parts.notifier, time.monotonic()
        # In the safe state there is no worker on purpose, and the service must go on for the operator.
        living = self._parts.worker_care.responsive or self._state.safe
        if notifier.interval_s is not None and now >= self._next_watchdog and living:
            notifier.report_alive()
            self._next_watchdog = now + notifier.interval_s
