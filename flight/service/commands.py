"""Commands: checking one, carrying it out, and the reply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flight.icd.control import MessageError, decode_message, encode_message, shortened
from flight.schema import SchemaError, shown


class CommandError(Exception):
    """A command that is refused. code: a key of catalogue.REPLY_CODES."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class Command:
    """One command that the service knows.

    arguments: the names it takes, all required. run: takes them in this order, returns the reply's result;
    raises CommandError.
    """

    arguments: tuple[str, ...]
    run: Callable[..., dict[str, Any]]


def answer(data: bytes, commands: dict[str, Command]) -> tuple[bytes, str | None]:
    """Decode and carry out one command. Returns the reply, and why it was refused (None when it was not)."""
    identifier, code, message = 0, "ok", ""
    result: dict[str, Any] = {}
    try:
        request = decode_message("command", data)
        identifier = request["id"]
        result = _carry_out(request, commands)
    except MessageError as error:
        code, message = "malformed", str(error)
    except CommandError as error:
        code, message = error.code, str(error)
    except Exception as error:
        # A fault in one command must not end the service; the operator gets to know of it.
        code, message = "internal_error", f"{type(error).__name__}: {error}"
    statuses = {"ok": "completed", "internal_error": "failed"}
    reply = {
        "id": identifier,
        "status": statuses.get(code, "rejected"),
        "code": code,
        "message": shortened(message),
        "result": result,
    }
    return encode_message("reply", reply), None if code == "ok" else message


def _carry_out(request: dict[str, Any], commands: dict[str, Command]) -> dict[str, Any]:
    name, given = request["name"], request["arguments"]
    if name not in commands:
        raise CommandError("unknown_command", f"command.name: expected {' | '.join(commands)}, got {shown(name)}")
    command = commands[name]
    for argument in command.arguments:
        if argument not in given:
            raise CommandError("invalid_argument", f"{name}.{argument}: expected a value, got None")
    for argument in given:
        if argument not in command.arguments:
            wanted = ", ".join(command.arguments) or "no arguments"
            raise CommandError("invalid_argument", f"{name}.{shown(argument)[1:-1]}: expected {wanted}")
    try:
        return command.run(*(given[argument] for argument in command.arguments))
    except SchemaError as error:
        raise CommandError("invalid_argument", f"{name}: {error}") from error
