"""Commands, replies, events and housekeeping: the one-map messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flight.icd.catalogue import EVENTS
from flight.icd.limits import COMMAND_BYTES, SCHEMA_VERSION, TELEMETRY_BYTES
from flight.icd.packing import PackingError, pack_map, unpack_map
from flight.schema import SchemaError, check, load_schema, shown

_MESSAGE_BYTES = 1024  # of an event's or a reply's text
_SCHEMAS = {name: load_schema("flight.icd.schemas", name) for name in ("command", "reply", "event", "housekeeping")}
_LIMITS = {"command": COMMAND_BYTES, "reply": COMMAND_BYTES, "event": TELEMETRY_BYTES, "housekeeping": TELEMETRY_BYTES}


class MessageError(ValueError):
    """A command, reply, event or housekeeping map that breaks the contract; the message names the field."""


def encode_message(kind: str, values: dict[str, Any]) -> bytes:
    """Encode a "command", "reply", "event" or "housekeeping" map; schema and type are put first.

    Raises SchemaError when the values do not fit the ICD.
    """
    message = {"schema": SCHEMA_VERSION, "type": kind, **values}
    check(message, _SCHEMAS[kind], kind)
    return pack_map(message)


def decode_message(kind: str, data: bytes | memoryview) -> dict[str, Any]:
    """Check and decode a map of the given kind. Raises MessageError."""
    try:
        message = unpack_map(data, _LIMITS[kind], kind)
    except PackingError as error:
        raise MessageError(str(error)) from error
    version = message.get("schema")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise MessageError(f"{kind}.schema: expected {SCHEMA_VERSION}, got {shown(version)}")
    try:
        check(message, _SCHEMAS[kind], kind)
    except SchemaError as error:
        raise MessageError(str(error)) from error
    return message


def describe_event(name: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Make the message and the arguments of an event of the catalogue out of typed values.

    Args:
        name: of the event.
        given: its arguments by name, as the catalogue declares them; those that are None are left out.

    Returns:
        The message, made by the first of the event's formats whose arguments are all given, and the arguments in the
        catalogue's order, texts cut to 1024 bytes.

    Raises:
        SchemaError: for an argument that is missing, unknown, or not of its type or range.
    """
    definition = EVENTS[name]
    values = {argument: value for argument, value in given.items() if value is not None}
    arguments = {}
    for argument in definition.arguments:
        if argument.name in values:
            value = values.pop(argument.name)
            check(value, argument.schema, f"{name}.{argument.name}")
            arguments[argument.name] = _shortened_texts(value)
        elif argument.name not in definition.optional:
            raise SchemaError(f"{name}.{argument.name}", "a value", None)
    if values:
        unknown = next(iter(values))
        known = ", ".join(argument.name for argument in definition.arguments)
        raise SchemaError(f"{name}.{unknown}", known or "no arguments", values[unknown])
    text = definition.format_for(set(arguments))
    if text is None:
        raise SchemaError(f"{name}.arguments", f"those of one of {definition.formats}", tuple(arguments))
    return text.format_map({argument: _in_words(value) for argument, value in arguments.items()}), arguments


def _shortened_texts(value: Any) -> Any:
    if isinstance(value, str):
        return shortened(value)
    return [shortened(item) for item in value] if isinstance(value, list) else value


def _in_words(value: Any) -> Any:
    """A value as it stands in a message; numbers and texts are left to the format."""
    if isinstance(value, list):
        return "; ".join(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} = {item}" for key, item in value.items())
    return value


def event_values(
    name: str, message: str, arguments: dict[str, Any], time_ns: int, count_suppressed: int
) -> dict[str, Any]:
    """The fields of an event of the catalogue."""
    definition = EVENTS[name]
    return {
        "id": definition.id,
        "name": name,
        "severity": definition.severity,
        "time_ns": time_ns,
        "message": shortened(message),
        "arguments": arguments,
        "count_suppressed": count_suppressed,
    }


def shortened(message: str, limit: int = _MESSAGE_BYTES) -> str:
    """A text cut to at most `limit` bytes of UTF-8."""
    return message.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")
