"""The product message as bytes: [topic, header, plane, plane, ...]. What needs arrays is in products.py, with NumPy."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flight.icd.catalogue import TOPIC_PLANES
from flight.icd.limits import PRODUCT_HEADER_BYTES, SCHEMA_VERSION
from flight.icd.packing import PackingError, pack_map, unpack_map
from flight.schema import SchemaError, check, format_text, format_value, load_schema

_SCHEMA = load_schema("flight.icd.schemas", "map")
# Bytes of a value of each of the catalogue's dtypes.
VALUE_BYTES = {"u8": 1, "f16": 2}
# Of a product's message: topic, header, planes.
MOST_PARTS = 2 + int(_SCHEMA["properties"]["planes"]["maxItems"])


class ProductError(ValueError):
    """A product that breaks the contract; the message names the field or part."""


@dataclass(frozen=True)
class ProductMessage:
    """A product message that keeps the contract.

    Attributes:
        header: as in the ICD.
        planes: of each of the header's `planes`, in their order.
    """

    header: dict[str, Any]
    planes: tuple[bytes | memoryview, ...]


def encode_product(header: dict[str, Any], planes: Sequence[bytes]) -> list[bytes]:
    """Make the parts of a product message from a complete header and the planes' bytes."""
    return [str(header["topic"]).encode("ascii"), pack_map(header), *planes]


def check_product_header(header: dict[str, Any]) -> None:
    """Check a product's header. Raises SchemaError naming the field."""
    check(header, _SCHEMA, "map")
    for position, entry in enumerate(header["classes"]):
        # Class i is what planes mean by i; the index after the last one is "uncertain", and must not be a class.
        if entry["index"] != position:
            raise SchemaError(f"map.classes[{position}].index", str(position), entry["index"])


def check_product(parts: Sequence[bytes | memoryview]) -> ProductMessage:
    """Check a product message: schema, topic, sizes, CRCs.

    Args:
        parts: topic, header, planes.

    Raises:
        ProductError: the message breaks the contract in any way; nothing else is raised.
    """
    try:
        return _check(parts)
    except ProductError:
        raise
    except Exception as error:
        # A service's message must not end its consumer, whatever it holds that nobody thought of.
        raise ProductError(f"product: cannot be decoded ({type(error).__name__}: {format_text(error)})") from error


def _check(parts: Sequence[bytes | memoryview]) -> ProductMessage:
    if not 2 <= len(parts) <= MOST_PARTS:
        raise ProductError(f"product: expected 2..{MOST_PARTS} message parts, got {len(parts)}")
    try:
        header = unpack_map(parts[1], PRODUCT_HEADER_BYTES, "product header")
    except PackingError as error:
        raise ProductError(str(error)) from error
    version = header.get("schema")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise ProductError(f"map.schema: expected {SCHEMA_VERSION}, got {format_value(version)}")
    try:
        check_product_header(header)
    except SchemaError as error:
        raise ProductError(str(error)) from error
    if bytes(parts[0]) != header["topic"].encode("ascii"):
        raise ProductError(
            f"map.topic: expected {format_value(bytes(parts[0]))} as in the first part, got {header['topic']}"
        )
    entries = header["planes"]
    if len(entries) != len(parts) - 2:
        raise ProductError(f"map.planes: expected {len(parts) - 2} entries as parts came, got {len(entries)}")
    _check_planes(header)
    for entry, raw in zip(entries, parts[2:], strict=True):
        name = entry["name"]
        expected = math.prod(entry["shape"]) * VALUE_BYTES[entry["dtype"]]
        if not len(raw) == entry["nbytes"] == expected:
            raise ProductError(f"plane {name}: expected {expected} bytes, got {len(raw)} ({entry['nbytes']} stated)")
        if zlib.crc32(raw) != entry["crc32"]:
            raise ProductError(f"plane {name}: crc32: expected {entry['crc32']:#010x}, got {zlib.crc32(raw):#010x}")
    return ProductMessage(header, tuple(parts[2:]))


def _check_planes(header: dict[str, Any]) -> None:
    """Check that the planes are those of the topic, of one height and width; an invalid product has none."""
    entries = header["planes"]
    if header["status"] == "invalid":
        if entries:
            raise ProductError(f"map.planes: expected none in an invalid product, got {len(entries)}")
        return
    definitions = TOPIC_PLANES[header["topic"]]
    wanted = [(plane.name, plane.dtype, plane.dimensions) for plane in definitions]
    came = [(entry["name"], entry["dtype"], len(entry["shape"])) for entry in entries]
    if came != wanted:
        names = ", ".join(plane.name for plane in definitions)
        raise ProductError(f"map.planes: expected {names} for {header['topic']}, got {format_value(came)}")
    sizes = {tuple(entry["shape"][-2:]) for entry in entries}
    if len(sizes) != 1:
        raise ProductError(f"map.planes: expected one height and width, got {sorted(sizes)}")
    for entry in entries:
        if len(entry["shape"]) == 3 and entry["shape"][0] != len(header["classes"]):
            raise ProductError(
                f"plane {entry['name']}: expected {len(header['classes'])} layers as classes, got {entry['shape'][0]}"
            )
