"""Commands, replies, events and housekeeping: the messages of one map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flight.icd.catalogue import EVENTS
from flight.icd.limits import COMMAND_BYTES, SCHEMA_VERSION, TELEMETRY_BYTES
from flight.icd.packing import PackingError, pack_map, unpack_map
from flight.schema import SchemaError, check, format_text, format_value, load_schema

_MESSAGE_BYTES = 1024  # of an event's or a reply's text
_SCHEMAS = {name: load_schema("flight.icd.schemas", name) for name in ("command", "reply", "event", "housekeeping")}
_LIMITS = {"command": COMMAND_BYTES, "reply": COMMAND_BYTES, "event": TELEMETRY_BYTES, "housekeeping": TELEMETRY_BYTES}


class MessageError(ValueError):
    """A command, reply, event or housekeeping map that breaks the contract; the text names the field."""


def encode_message(kind: str, values: dict[str, Any]) -> bytes:
    """Encode a message.

    Args:
        kind: "command", "reply", "event" or "housekeeping".
        values: its fields without schema and type, which are put first.

    Raises:
        SchemaError: a field breaks the contract.
        PackingError: msgpack cannot hold a value.
    """
    message = {"schema": SCHEMA_VERSION, "type": kind, **values}
    check(message, _SCHEMAS[kind], kind)
    return pack_map(message)


def decode_message(kind: str, data: bytes | memoryview) -> dict[str, Any]:
    """Check and decode a message.

    Args:
        kind: as of encode_message.
        data: as it came.

    Raises:
        MessageError: it breaks the contract; nothing else is raised.
    """
    try:
        message = unpack_map(data, _LIMITS[kind], kind)
        version = message.get("schema")
        if version != SCHEMA_VERSION or isinstance(version, bool):
            raise MessageError(f"{kind}.schema: expected {SCHEMA_VERSION}, got {format_value(version)}")
        check(message, _SCHEMAS[kind], kind)
    except MessageError:
        raise
    except (PackingError, SchemaError) as error:
        raise MessageError(str(error)) from error
    except Exception as error:
        # A peer's message must not end its receiver, whatever it holds that nobody thought of.
        raise MessageError(f"{kind}: cannot be decoded ({type(error).__name__}: {format_text(error)})") from error
    return message


def describe_event(name: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Make the message and the arguments of an event out of typed values.

    Args:
        name: a key of EVENTS.
        given: its arguments by name, as the catalogue declares them; those that are None are left out.

    Returns:
        The message, made by the first of the event's formats whose arguments are all given, one line of printable
        characters; and the arguments in the catalogue's order, texts cut to 1024 bytes.

    Raises:
        SchemaError: an argument is missing, unknown, or not of its type or range.
    """
    definition = EVENTS[name]
    values = {argument: value for argument, value in given.items() if value is not None}
    arguments = {}
    for argument in definition.arguments:
        if argument.name in values:
            value = values.pop(argument.name)
            check(value, argument.schema, f"{name}.{argument.name}")
            arguments[argument.name] = _truncate_texts(value)
        elif argument.name not in definition.optional:
            raise SchemaError(f"{name}.{argument.name}", "a value", None)
    if values:
        unknown = next(iter(values))
        known = ", ".join(argument.name for argument in definition.arguments)
        raise SchemaError(f"{name}.{unknown}", known or "no arguments", values[unknown])
    text = definition.choose_format(set(arguments))
    if text is None:
        raise SchemaError(f"{name}.arguments", f"those of one of {definition.formats}", tuple(arguments))
    message = text.format_map({argument: _format_argument(value) for argument, value in arguments.items()})
    return format_text(" ".join(message.splitlines()), _MESSAGE_BYTES), arguments


def _truncate_texts(value: Any) -> Any:
    if isinstance(value, str):
        return truncate_text(value)
    return [truncate_text(item) for item in value] if isinstance(value, list) else value


def _format_argument(value: Any) -> Any:
    """Format a list or a map for a message; numbers and texts are left to the event's format."""
    if isinstance(value, list):
        return "; ".join(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} = {item}" for key, item in value.items())
    return value


def event_values(
    name: str, message: str, arguments: dict[str, Any], time_ns: int, count_suppressed: int
) -> dict[str, Any]:
    """Collect the fields of an event message.

    Args:
        name: a key of EVENTS.
        message: cut to 1024 bytes.
        arguments: by name.
        time_ns: spacecraft clock.
        count_suppressed: how many of this event were held back since the last one.
    """
    definition = EVENTS[name]
    return {
        "id": definition.id,
        "name": name,
        "severity": definition.severity,
        "time_ns": time_ns,
        "message": truncate_text(message),
        "arguments": arguments,
        "count_suppressed": count_suppressed,
    }


def truncate_text(message: str, limit: int = _MESSAGE_BYTES) -> str:
    """Cut a text to at most `limit` bytes of UTF-8."""
    return message.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")
