"""Commands, replies, events and housekeeping: the one-map messages."""

from __future__ import annotations

from typing import Any

from flight.icd.catalogue import EVENTS
from flight.icd.limits import COMMAND_BYTES, SCHEMA_VERSION, TELEMETRY_BYTES
from flight.icd.packing import PackingError, pack_map, unpack_map
from flight.schema import SchemaError, check, load_schema, shown

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


def shortened(message: str, limit: int = 1024) -> str:
    """A text cut to at most `limit` bytes of UTF-8."""
    return message.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")
