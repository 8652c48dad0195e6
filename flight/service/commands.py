"""Commands: checking one, carrying it out at once or step by step, and the reply."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flight.icd.control import MessageError, decode_message, encode_message, shortened
from flight.schema import SchemaError, shown

# A command that takes time: it is resumed at every turn of the service's loop, and returns the reply's result.
Procedure = Generator[None, None, dict[str, Any]]
# Takes a command's arguments in order; returns the reply's result or a Procedure; raises CommandError.
Handler = Callable[..., dict[str, Any] | Procedure]


class CommandError(Exception):
    """A command that is refused. code: a key of catalogue.REPLY_CODES."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class Outcome:
    """How a command ended. code: of catalogue.REPLY_CODES."""

    code: str = "ok"
    message: str = ""
    result: dict[str, Any] = field(default_factory=dict)


def begin(
    data: bytes, arguments: Mapping[str, Sequence[str]], handlers: Mapping[str, Handler]
) -> tuple[int, Outcome | Procedure]:
    """Decode a command and carry it out, or start to. Returns its id (0 when it has none) and what came of it.

    arguments: the names that each command takes, all required. handlers: by command.
    """
    try:
        request = decode_message("command", data)
    except MessageError as error:
        return 0, Outcome("malformed", str(error))
    result = _guarded(lambda: _carry_out(request, arguments, handlers))
    return request["id"], result


def advance(procedure: Procedure) -> Outcome | None:
    """Resume a procedure; its outcome once it has ended."""

    def step() -> dict[str, Any] | None:
        try:
            next(procedure)
        except StopIteration as end:
            result: dict[str, Any] = end.value
            return result
        return None

    outcome: Outcome | None = _guarded(step)
    return outcome


def encode_reply(identifier: int, outcome: Outcome) -> bytes:
    """The reply to a command."""
    statuses = {"ok": "completed", "internal_error": "failed", "storage_failed": "failed", "not_valid": "failed"}
    reply = {
        "id": identifier,
        "status": statuses.get(outcome.code, "rejected"),
        "code": outcome.code,
        "message": shortened(outcome.message),
        "result": outcome.result,
    }
    return encode_message("reply", reply)


def _guarded(run: Callable[[], Any]) -> Any:
    """What `run` returns, a map made an Outcome; errors as Outcomes."""
    try:
        result = run()
    except CommandError as error:
        return Outcome(error.code, str(error))
    except Exception as error:
        # A fault in one command must not end the service; the operator gets to know of it.
        return Outcome("internal_error", f"{type(error).__name__}: {error}")
    return Outcome(result=result) if isinstance(result, dict) else result


def _carry_out(
    request: dict[str, Any], arguments: Mapping[str, Sequence[str]], handlers: Mapping[str, Handler]
) -> dict[str, Any] | Procedure:
    name, given = request["name"], request["arguments"]
    if name not in arguments:
        raise CommandError("unknown_command", f"command.name: expected {' | '.join(arguments)}, got {shown(name)}")
    expected = arguments[name]
    for argument in expected:
        if argument not in given:
            raise CommandError("invalid_argument", f"{name}.{argument}: expected a value, got None")
    for argument in given:
        if argument not in expected:
            wanted = ", ".join(expected) or "no arguments"
            raise CommandError("invalid_argument", f"{name}.{shown(argument)[1:-1]}: expected {wanted}")
    try:
        return handlers[name](*(given[argument] for argument in expected))
    except SchemaError as error:
        raise CommandError("invalid_argument", f"{name}: {error}") from error
