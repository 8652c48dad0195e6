"""The commands with their typed arguments, and the codes of replies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flight.icd.catalogue.arguments import Argument
from flight.schema import SchemaError, check, format_value

ReplyStatus = Literal["completed", "rejected", "failed"]


@dataclass(frozen=True)
class CommandDefinition:
    """One command.

    Attributes:
        arguments: all required.
        effect: what it does.
        result: fields of the reply's result; "" for an empty map.
        takes_time: the reply comes when it is done; of these commands one runs at a time.
    """

    arguments: tuple[Argument, ...]
    effect: str
    result: str = ""
    takes_time: bool = False


COMMANDS: dict[str, CommandDefinition] = {
    "no_op": CommandDefinition((), "nothing; the reply shows that the service's loop runs"),
    "get_status": CommandDefinition((), "return the state", "the fields of the housekeeping map"),
    "get_parameters": CommandDefinition((), "return the parameters in force", "mode and every parameter"),
    "set_parameter": CommandDefinition(
        (
            Argument("name", "text", "of a parameter; the mode is set by set_mode"),
            Argument("value", "scalar", "its new value, within the parameter's range"),
        ),
        "set one parameter",
        "name, value",
    ),
    "set_parameters": CommandDefinition(
        (Argument("values", "map", "new values by name, one or more; mode may be among them"),),
        "set all of them, or none",
        "the values",
    ),
    "set_mode": CommandDefinition(
        (Argument("mode", "text", "one of the bundle's modes"),), "choose the networks that run", "mode"
    ),
    "load_bundle": CommandDefinition(
        (Argument("path", "text", "of a folder inside the configured folder of bundles", low=1, high=255),),
        "copy the bundle in, verify it, and stage it",
        "sha256",
        takes_time=True,
    ),
    "validate_bundle": CommandDefinition(
        (),
        "run the staged bundle's self-test in a worker of its own",
        "name, version, sha256, modes, agreement",
        takes_time=True,
    ),
    "activate_bundle": CommandDefinition(
        (),
        "let the staged, validated bundle serve from the next frame on",
        "name, version, sha256",
        takes_time=True,
    ),
    "self_test": CommandDefinition(
        (), "let the worker test itself: its answer must have the reference digest", "passed", takes_time=True
    ),
    "reset_counters": CommandDefinition((), "set counters to zero and forget latencies"),
    "recover": CommandDefinition((), "leave the safe state"),
    "shutdown": CommandDefinition((), "stop the service"),
}


@dataclass(frozen=True)
class ReplyCode:
    """How a command ended.

    Attributes:
        status: of the reply; a rejected command has changed nothing.
        meaning: in words.
    """

    status: ReplyStatus
    meaning: str


REPLY_CODES: dict[str, ReplyCode] = {
    "ok": ReplyCode("completed", "carried out"),
    "malformed": ReplyCode("rejected", "the message is no command of this schema; the reply's id is 0"),
    "unknown_command": ReplyCode("rejected", "no such command"),
    "invalid_argument": ReplyCode("rejected", "an argument is missing, unknown, of the wrong type or out of range"),
    "unknown_parameter": ReplyCode("rejected", "no such parameter, or the mode where only parameters can be set"),
    "not_configured": ReplyCode("rejected", "the service was started without the folder that the command needs"),
    "not_staged": ReplyCode("rejected", "no bundle was loaded, or it was not validated"),
    "not_valid": ReplyCode("failed", "the bundle, or the self-test, failed; the message says why"),
    "busy": ReplyCode("rejected", "another command that takes time is under way"),
    "wrong_state": ReplyCode("rejected", "not in this state of the service, or it entered the safe state meanwhile"),
    "storage_failed": ReplyCode(
        "failed",
        "the record could not be written, or a bundle could not be read or copied; parameters and the bundle that "
        "serves are as they were",
    ),
    "internal_error": ReplyCode("failed", "a fault in the service while carrying it out"),
}


def check_arguments(command: str, given: Mapping[str, Any]) -> None:
    """Check the arguments given to a command: each is there, of its type and in its range, and there are no others.

    Args:
        command: a key of COMMANDS.
        given: arguments by name.

    Raises:
        SchemaError: names command and argument: "set_mode.mode: expected a value, got None".
    """
    arguments = {argument.name: argument for argument in COMMANDS[command].arguments}
    for name, argument in arguments.items():
        if name not in given:
            raise SchemaError(f"{command}.{name}", "a value", None)
        check(given[name], argument.schema, f"{command}.{name}")
    for name, value in given.items():
        if name not in arguments:
            raise SchemaError(f"{command}.{format_value(name)[1:-1]}", ", ".join(arguments) or "no arguments", value)
