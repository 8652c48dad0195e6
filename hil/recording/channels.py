"""What a recording holds: the wire's messages as they came, each an MCAP message on the channel of its kind.

An MCAP message of a wire channel is a msgpack array of the ZeroMQ parts, in their order, as binary data; the channel's
schema is the ICD's JSON Schema of the header or map among them. Log time is when the recorder received the message,
publish time what its sender stated.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from flight.icd.control import MessageError, decode_message
from flight.icd.frame_message import FrameError, check_frame
from flight.icd.limits import TOPIC_EVENT, TOPIC_HOUSEKEEPING
from flight.icd.product_message import ProductError, check_product
from flight.schema import load_schema

_SCHEMA_FOLDER = "flight.icd.schemas"
_TELEMETRY = {TOPIC_EVENT.encode("ascii"): "event", TOPIC_HOUSEKEEPING.encode("ascii"): "housekeeping"}


@dataclass(frozen=True)
class WireChannel:
    """The channel of one kind of message.

    Attributes:
        topic: in the MCAP file.
        schemas: of the ICD, one of which the header or map keeps.
    """

    topic: str
    schemas: tuple[str, ...]

    def schema_data(self) -> bytes:
        """The JSON Schema of the channel."""
        schemas = [load_schema(_SCHEMA_FOLDER, name) for name in self.schemas]
        return json.dumps(schemas[0] if len(schemas) == 1 else {"type": "object", "anyOf": schemas}).encode("utf-8")


WIRE_CHANNELS = {
    "frame": WireChannel("/wire/frames", ("frame",)),
    "product": WireChannel("/wire/products", ("map",)),
    "telemetry": WireChannel("/wire/telemetry", ("housekeeping", "event")),
    "command": WireChannel("/wire/commands", ("command",)),
    "reply": WireChannel("/wire/replies", ("reply",)),
}
KINDS = tuple(WIRE_CHANNELS)
KIND_OF_TOPIC = {channel.topic: kind for kind, channel in WIRE_CHANNELS.items()}


@dataclass(frozen=True)
class RecordedMessage:
    """A message of the wire.

    Attributes:
        kind: one of KINDS.
        parts: as they came; of a command or reply its map alone.
        time_ns: when the recorder received it, nanoseconds since 1970.
    """

    kind: str
    parts: tuple[bytes, ...]
    time_ns: int


def pack_parts(parts: Sequence[bytes]) -> bytes:
    """The parts of a message as the data of an MCAP message."""
    data: bytes = msgpack.packb(list(parts), use_bin_type=True)
    return data


def unpack_parts(data: bytes) -> tuple[bytes, ...]:
    """The parts of a message. Raises ValueError if the data are no array of them."""
    parts = msgpack.unpackb(data, max_bin_len=len(data), max_array_len=len(data), max_map_len=0, max_ext_len=0)
    if not isinstance(parts, list) or not all(type(part) is bytes for part in parts):
        raise ValueError("recorded message: expected an array of binary parts")
    return tuple(parts)


def read_header(kind: str, parts: Sequence[bytes]) -> tuple[str, dict[str, Any]] | None:
    """Read what a message says of itself.

    Args:
        kind: one of KINDS.
        parts: of the message.

    Returns:
        The name of its schema (docs/icd.md), and its header or map; None if the message breaks the contract.
    """
    try:
        if kind == "frame":
            return "frame", check_frame(parts).header
        if kind == "product":
            return "map", check_product(parts).header
        name = kind
        if kind == "telemetry":
            if len(parts) != 2 or bytes(parts[0]) not in _TELEMETRY:
                return None
            name = _TELEMETRY[bytes(parts[0])]
        return name, decode_message(name, parts[-1])
    except (FrameError, ProductError, MessageError, IndexError):
        return None


def sent_time(name: str, header: dict[str, Any]) -> int | None:
    """When the sender says that it sent a message, nanoseconds; None if it does not say. Arguments of read_header."""
    field = {"frame": "capture_time_ns", "map": "published_time_ns", "event": "time_ns", "housekeeping": "time_ns"}
    return int(header[field[name]]) if name in field else None
