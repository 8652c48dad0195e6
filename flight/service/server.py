"""The service: the public sockets, and one loop over them and the worker's; what is done is done in its rooms."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import zmq

from flight.service.configuration import Configuration
from flight.service.events import EventSink
from flight.service.gatekeeper import Gatekeeper
from flight.service.rooms import build_rooms, open_storage
from flight.service.sockets import ServiceError, bind_sockets
from flight.service.state import State
from flight.service.statistics import Counters

_TICK_MS = 50


class Service:
    """The flight service. run() returns after shutdown(), SIGTERM or SIGINT.

    bundle: folder of the bundle to serve unless another was activated. Raises ServiceError when a socket cannot be
    bound or a folder not be made, BundleError when there is no bundle that can be served.
    """

    def __init__(self, configuration: Configuration, bundle: Path) -> None:
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
        self._rooms = build_rooms(
            configuration, storage, self._context, self._sockets, self._state, counters, self.shutdown
        )
        self._next_sign = 0.0
        self._running = True
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.shutdown)

    def shutdown(self, *_: Any) -> None:
        """Ask the loop to end; usable as a signal handler."""
        self._running = False

    def run(self) -> None:
        """Serve until told to stop. An error of the service's own ends it, and is raised."""
        poller = zmq.Poller()
        poller.register(self._sockets["frames"], zmq.POLLIN)
        if self._gatekeeper.socket is not None:
            poller.register(self._gatekeeper.socket, zmq.POLLIN)
        self._events.open(self._sockets["telemetry"])
        bundle = self._rooms.serving.bundle
        self._events.send("service_started", f"bundle {bundle.name} {bundle.version}", pid=os.getpid())
        self._events.send_waiting()
        try:
            self._rooms.worker_care.start()
            while self._running:
                self._turn(poller)
            self._events.send("service_stopped", f"after {self._rooms.housekeeping.uptime_s:.1f} s")
        except Exception as error:
            # A fault of this process and not of its worker. A fresh process knows nothing of what led to it: systemd
            # starts one. What the fault is stands in the traceback; the event may fail of the same cause.
            with contextlib.suppress(Exception):
                after = f"after {self._rooms.housekeeping.uptime_s:.1f} s"
                self._events.send("service_stopped", f"{after} by a fault of its own: {type(error).__name__}: {error}")
            raise
        finally:
            self._close()

    def _close(self) -> None:
        self._rooms.notifier.stopping()
        self._rooms.close()
        for socket in self._sockets.values():
            socket.disable_monitor()
            socket.close()
        self._gatekeeper.close()
        self._context.term()

    def _turn(self, poller: zmq.Poller) -> None:
        """One turn of the loop; every part of it is bounded."""
        private = self._rooms.worker_care.socket
        if private is not None:
            poller.register(private, zmq.POLLIN)
        # Commands beyond the limit wait in the socket; polling for them would make the loop spin.
        poller.register(self._sockets["commands"], zmq.POLLIN if self._rooms.command_desk.open else 0)
        poller.poll(_TICK_MS)
        if private is not None:
            poller.unregister(private)
        rooms = self._rooms
        self._gatekeeper.answer()
        rooms.frame_line.take_frames()
        rooms.command_desk.take_commands()
        rooms.worker_care.take_answer()
        rooms.worker_care.watch()
        rooms.bundle_care.take_file_checks()
        rooms.bundle_care.advance_repair()
        rooms.command_desk.advance()
        rooms.worker_care.dispatch()
        rooms.housekeeping.send_if_due()
        self._feed_watchdog()

    def _feed_watchdog(self) -> None:
        notifier, now = self._rooms.notifier, time.monotonic()
        # In the safe state there is no worker on purpose, and the operator needs the service to be there.
        living = self._rooms.worker_care.responsive or self._state.safe
        if notifier.interval_s is not None and now >= self._next_sign and living:
            notifier.alive()
            self._next_sign = now + notifier.interval_s
