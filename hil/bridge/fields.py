"""Fields of packets: how one is made of a JSON Schema, and its bits."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

# "boolean" and "flag" differ in their bits, 8 and 1; "choice" is the position of a text in a list.
Kind = Literal["unsigned", "signed", "number", "boolean", "flag", "choice", "text"]

# A choice that this version does not know: all bits are set.
OTHER = "other"
# Octets of a text at most; what is longer is cut.
MOST_TEXT = 1024
_LENGTH_BITS = 16


@dataclass(frozen=True)
class Field:
    """A field of a packet, big-endian.

    A text is its length in octets, 16 bits, and its UTF-8. A field that may be missing stands behind a boolean that
    says whether it is there; if not, it is zero.

    Attributes:
        name: unique in its packet.
        kind: see Kind.
        bits: of the value; of a text, of its length.
        description: what it means; "" where the name says it.
        units: of a number; "" for none.
        choices: the texts of a choice by position, "" for a number that stands for none.
        path: where its value stands in the message that the packet is made of.
        may_miss: whether there may be no value.
        most: octets of a text at most.
    """

    name: str
    kind: Kind
    bits: int
    description: str = ""
    units: str = ""
    choices: tuple[str, ...] = ()
    path: tuple[str | int, ...] = ()
    may_miss: bool = False
    most: int = MOST_TEXT

    @property
    def known_name(self) -> str:
        """The name of the boolean that stands before a field that may be missing."""
        return f"{self.name}_known"


def from_schema(
    schema: Mapping[str, Any], name: str, path: tuple[str | int, ...] = (), may_miss: bool = False
) -> Iterator[Field]:
    """Make the fields of a JSON Schema: one of a value, several of an object or of an array of fixed length.

    Args:
        schema: of a value. Objects without properties, arrays whose length varies, and texts that are always the
            same give none.
        name: of the value; those of what is in it begin with it.
        path: of the value in the message.
        may_miss: whether the value may be missing.
    """
    kinds = schema.get("type", ())
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    may_miss = may_miss or "null" in kinds
    common = {"path": path, "may_miss": may_miss, "description": schema.get("description", "")}
    if "enum" in schema:
        yield Field(name, "choice", 8, choices=tuple(schema["enum"]), **common)
    elif isinstance(schema.get("const"), int):
        yield Field(name, "unsigned", _unsigned_bits(schema["const"]), **common)
    elif "integer" in kinds:
        signed = schema.get("minimum", 0) < 0
        bits = 64 if signed else _unsigned_bits(schema.get("maximum", 2**64 - 1))
        yield Field(name, "signed" if signed else "unsigned", bits, **common)
    elif "number" in kinds:
        yield Field(name, "number", 64, **common)
    elif "boolean" in kinds:
        yield Field(name, "boolean", 8, **common)
    elif "string" in kinds:
        most = schema.get("maxBytes", schema.get("maxLength", MOST_TEXT))
        yield Field(name, "text", _LENGTH_BITS, most=most, **common)
    elif "array" in kinds and schema.get("minItems") == schema.get("maxItems") is not None:
        for index in range(schema["maxItems"]):
            yield from from_schema(schema["items"], f"{name}_{index}", (*path, index), may_miss)
    for key, inner in schema.get("properties", {}).items():
        inner_name = f"{name}_{key}" if name else key
        missing = may_miss or key not in schema.get("required", ())
        yield from from_schema(inner, inner_name.replace(".", "_"), (*path, key), missing)


def _unsigned_bits(largest: int) -> int:
    return next(bits for bits in (8, 16, 32, 64) if largest < 2**bits)


def find_value(message: Any, path: Sequence[str | int]) -> Any:
    """The value at a path in a message; None if there is none."""
    for step in path:
        try:
            message = message[step]
        except (KeyError, IndexError, TypeError):
            return None
    return message


def find_values(message: Any, fields: Sequence[Field]) -> dict[str, Any]:
    """The values of fields, by name, at their paths in a message."""
    return {field.name: find_value(message, field.path) for field in fields}


class BitWriter:
    """Puts values one behind the other, the most significant bit first."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, int]] = []

    def add(self, value: int, bits: int) -> None:
        """Add a number that fits."""
        self._parts.append((value, bits))

    def to_bytes(self) -> bytes:
        """All of them; a multiple of 8 bits."""
        whole, size = 0, 0
        for value, bits in self._parts:
            whole, size = whole << bits | value, size + bits
        return whole.to_bytes(size // 8, "big")


def encode_fields(fields: Sequence[Field], values: Mapping[str, Any]) -> bytes:
    """Encode the fields of a packet.

    Args:
        fields: in their order.
        values: by name of the field; None or none where it may be missing.

    Raises:
        ValueError: a value is missing or does not fit, and the field may not be missing.
    """
    writer = BitWriter()
    for field in fields:
        try:
            encoded = _encode(field, values.get(field.name))
        except (ValueError, TypeError, OverflowError) as error:
            if not field.may_miss:
                raise ValueError(f"{field.name}: expected {field.kind}, got {values.get(field.name)!r:.60}") from error
            writer.add(0, 8)
            writer.add(0, field.bits)
            continue
        if field.may_miss:
            writer.add(1, 8)
        for number, bits in encoded:
            writer.add(number, bits)
    return writer.to_bytes()


def _encode(field: Field, value: Any) -> list[tuple[int, int]]:
    """Numbers and their bits. Raises ValueError, TypeError, OverflowError if the value is none of the field's."""
    kind, bits = field.kind, field.bits
    if kind in ("boolean", "flag"):
        if not isinstance(value, bool):
            raise TypeError
        return [(int(value), bits)]
    if kind == "number":
        if isinstance(value, bool) or not math.isfinite(value):
            raise ValueError
        return [(int.from_bytes(struct.pack(">d", value), "big"), bits)]
    if kind == "choice":
        if not isinstance(value, str):
            raise TypeError
        return [(field.choices.index(value) if value in field.choices else (1 << bits) - 1, bits)]
    if kind == "text":
        if not isinstance(value, str):
            raise TypeError
        data = value.encode("utf-8", "replace")[: field.most].decode("utf-8", "ignore").encode("utf-8")
        return [(len(data), bits), (int.from_bytes(data, "big"), 8 * len(data))]
    if isinstance(value, bool):
        raise TypeError
    return [(int.from_bytes(int(value).to_bytes(bits // 8, "big", signed=kind == "signed"), "big"), bits)]
