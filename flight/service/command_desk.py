"""Receives commands, has them carried out, and replies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import zmq

from flight.icd.catalogue import COMMANDS
from flight.schema import SchemaError
from flight.service.bundle_care import BundleCare
from flight.service.commands import CommandError, Handler, Outcome, Procedure, advance, begin, encode_reply
from flight.service.events import EventSink
from flight.service.housekeeping import Housekeeping
from flight.service.parameters import ParameterTable
from flight.service.rate_limit import RateLimit
from flight.service.statistics import Counters, Latencies
from flight.service.worker_care import WorkerCare

_MESSAGES_PER_TURN = 32
# Commands that wait for the storage; more of them than come within any sensible time for it.
_WAITING_AT_MOST = 64


@dataclass(frozen=True)
class _Running:
    """A command that has begun. envelope: the parts in front of its reply, which route it."""

    identifier: int
    name: str
    envelope: list[bytes]
    procedure: Procedure


class CommandDesk:
    """Carries out commands and replies; of those that take time, one at a time.

    Those that only wait for the storage are carried out one after another, beside the one that takes time.

    Attributes:
        handlers: what carries out each command of the catalogue, called with the command's arguments by name.
    """

    def __init__(
        self,
        commands: zmq.Socket[bytes],
        rate_limit: RateLimit,
        parameters: ParameterTable,
        worker_care: WorkerCare,
        bundle_care: BundleCare,
        housekeeping: Housekeeping,
        shutdown: Callable[[], None],
        events: EventSink,
        counters: Counters,
        latencies: Latencies,
    ) -> None:
        """Bind the commands of the catalogue to their handlers.

        Args:
            commands: the socket.
            shutdown: asks the service to end.
        """
        self._commands = commands
        self._rate_limit = rate_limit
        self._parameters = parameters
        self._shutdown = shutdown
        self._events = events
        self._counters = counters
        self._latencies = latencies
        self._running: list[_Running] = []
        self.handlers: Mapping[str, Handler] = {
            "no_op": self._no_op,
            "get_status": housekeeping.collect,
            "get_parameters": self._get_parameters,
            "set_parameter": self._set_parameter,
            "set_parameters": self._set_parameters,
            "set_mode": self._set_mode,
            "load_bundle": bundle_care.load_bundle,
            "validate_bundle": bundle_care.validate_bundle,
            "activate_bundle": bundle_care.activate_bundle,
            "self_test": worker_care.self_test,
            "reset_counters": self._reset_counters,
            "recover": worker_care.recover,
            "shutdown": self._shut_down,
        }

    @property
    def open(self) -> bool:
        """Whether the rate limit lets a command through now."""
        return self._rate_limit.open

    def take_commands(self) -> None:
        """Receive the commands that wait, at most so many as one turn of the loop may take."""
        for _ in range(_MESSAGES_PER_TURN):
            # Beyond the limit commands wait in the socket, and senders in theirs: none is lost.
            if not self._commands.poll(0) or not self._rate_limit.take():
                return
            parts = self._commands.recv_multipart(flags=zmq.NOBLOCK)
            # REQ clients put an empty part before the message; DEALER clients may leave it out.
            envelope, body = parts[:-1], parts[-1]
            identifier, name, outcome = begin(body, self.handlers)
            if isinstance(outcome, Outcome):
                self._reply(envelope, identifier, outcome)
                continue
            problem = self._find_obstacle(name)
            if problem is not None:
                outcome.close()
                self._reply(envelope, identifier, Outcome("busy", problem))
            else:
                self._running.append(_Running(identifier, name, envelope, outcome))
                self._advance(self._running[-1])

    def advance(self) -> None:
        """Resume the commands that are under way."""
        for command in list(self._running):
            self._advance(command)

    def _advance(self, command: _Running) -> None:
        outcome = advance(command.procedure)
        if outcome is not None:
            self._running.remove(command)
            self._reply(command.envelope, command.identifier, outcome)

    def _find_obstacle(self, name: str) -> str | None:
        """Why a command cannot begin now; None if it can."""
        if COMMANDS[name].takes_time:
            taken = any(COMMANDS[command.name].takes_time for command in self._running)
            return "another command that takes time is under way" if taken else None
        return f"{_WAITING_AT_MOST} commands wait" if len(self._running) >= _WAITING_AT_MOST else None

    def _reply(self, envelope: list[bytes], identifier: int, outcome: Outcome) -> None:
        if outcome.code == "ok":
            self._counters.count("commands_accepted")
        else:
            self._counters.count("commands_rejected")
            self._events.send("command_rejected", code=outcome.code, problem=outcome.message)
        try:
            self._commands.send_multipart([*envelope, encode_reply(identifier, outcome)], flags=zmq.NOBLOCK)
        except zmq.ZMQError:
            # The client went away or does not read; its reply is lost, nothing else.
            return

    # Handlers of the commands that no other class carries out

    def _no_op(self) -> dict[str, Any]:
        return {}

    def _get_parameters(self) -> dict[str, Any]:
        return self._parameters.current.values()

    def _set_parameter(self, name: str, value: Any) -> Procedure:
        if name == "mode":
            raise CommandError("unknown_parameter", "name: the mode is changed by set_mode")
        changed = yield from self._change("set_parameter", {name: value})
        return {"name": name, "value": changed[name]}

    def _set_parameters(self, values: dict[str, Any]) -> Procedure:
        return self._change("set_parameters", values)

    def _set_mode(self, mode: str) -> Procedure:
        return self._change("set_mode", {"mode": mode})

    def _change(self, command: str, values: dict[str, Any]) -> Procedure:
        try:
            changed = yield from self._parameters.set(values)
        except SchemaError as error:
            raise CommandError("invalid_argument", f"{command}: {error}") from error
        self._events.send("parameter_changed", names=list(changed), values=changed)
        return changed

    def _reset_counters(self) -> dict[str, Any]:
        self._counters.reset()
        self._latencies.reset()
        self._events.send("counters_reset")
        return {}

    def _shut_down(self) -> dict[str, Any]:
        self._shutdown()
        return {}
