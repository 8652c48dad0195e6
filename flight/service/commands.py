"""Decodes a command, checks it, carries it out at once or step by step, and encodes the reply."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flight.icd.catalogue import COMMANDS, REPLY_CODES, check_arguments
from flight.icd.control import MessageError, decode_message, encode_message, truncate_text
from flight.schema import SchemaError, format_value

# A command that takes time, or waits for the storage: it is resumed at every turn of the service's loop, and returns
# the reply's result.
Procedure = Generator[None, None, dict[str, Any]]
# Takes a command's arguments by name; returns the reply's result or a Procedure; raises CommandError.
Handler = Callable[..., dict[str, Any] | Procedure]


class CommandError(Exception):
    """A command that is rejected or fails. code: a key of catalogue.REPLY_CODES."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class Outcome:
    """How a command ended. code: a key of catalogue.REPLY_CODES. result: of the reply."""

    code: str = "ok"
    message: str = ""
    result: dict[str, Any] = field(default_factory=dict)


def begin(data: bytes, handlers: Mapping[str, Handler]) -> tuple[int, str, Outcome | Procedure]:
    """Decode a command, check its arguments against the catalogue, and carry it out, or start to.

    Args:
        data: the message, as it came.
        handlers: by command, one for each of the catalogue.

    Returns:
        The command's id, 0 when the message is no command; its name; and how it ended, or the procedure that will end
        it.
    """
    try:
        request = decode_message("command", data)
    except MessageError as error:
        return 0, "", Outcome("malformed", str(error))
    result = _catch_errors(lambda: _carry_out(request["name"], request["arguments"], handlers))
    return request["id"], request["name"], result


def advance(procedure: Procedure) -> Outcome | None:
    """Resume a procedure. Returns its outcome once it has ended, None before."""

    def step() -> dict[str, Any] | None:
        try:
            next(procedure)
        except StopIteration as end:
            result: dict[str, Any] = end.value
            return result
        return None

    outcome: Outcome | None = _catch_errors(step)
    return outcome


def encode_reply(identifier: int, outcome: Outcome) -> bytes:
    """Encode the reply to the command with this id."""
    reply = {
        "id": identifier,
        "status": REPLY_CODES[outcome.code].status,
        "code": outcome.code,
        "message": truncate_text(outcome.message),
        "result": outcome.result,
    }
    return encode_message("reply", reply)


def _catch_errors(run: Callable[[], Any]) -> Any:
    """Return what `run` returns, a map made an Outcome, or the Outcome of the error that it raises."""
    try:
        result = run()
    except CommandError as error:
        return Outcome(error.code, str(error))
    except Exception as error:
        # A fault in one command must not end the service; the reply reports it.
        return Outcome("internal_error", f"{type(error).__name__}: {error}")
    return Outcome(result=result) if isinstance(result, dict) else result


def _carry_out(name: str, arguments: Mapping[str, Any], handlers: Mapping[str, Handler]) -> dict[str, Any] | Procedure:
    if name not in COMMANDS:
        raise CommandError(
            "unknown_command", f"command.name: expected {' | '.join(COMMANDS)}, got {format_value(name)}"
        )
    try:
        check_arguments(name, arguments)
    except SchemaError as error:
        raise CommandError("invalid_argument", str(error)) from error
    return handlers[name](**arguments)
