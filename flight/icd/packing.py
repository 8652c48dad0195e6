"""msgpack maps with limits: the bytes of every header."""

from __future__ import annotations

from typing import Any

import msgpack

from flight.icd.limits import ARRAY_ITEMS, NESTING
from flight.schema import format_text, format_value

_SCALARS = frozenset((str, int, float, bool, type(None)))


class PackingError(ValueError):
    """Bytes that are not a msgpack map within the limits, or values that msgpack cannot hold."""


def pack_map(values: dict[str, Any]) -> bytes:
    """Encode a map; keys keep their order, floats are float64. Raises PackingError."""
    try:
        data: bytes = msgpack.packb(values, use_bin_type=True)
    except (OverflowError, TypeError, ValueError) as error:
        raise PackingError(f"message: cannot be encoded as msgpack ({error})") from error
    return data


def unpack_map(data: bytes | memoryview, limit: int, what: str) -> dict[str, Any]:
    """Decode one msgpack map with text keys: of maps, arrays, UTF-8 texts, numbers, booleans and nil, nothing else.

    Args:
        data: the bytes. Whatever they are, decoding them takes at most 16 MiB.
        limit: greatest length, bytes.
        what: names the map in errors.

    Returns:
        The map; of a key that stands there twice, the last value. It is nested at most NESTING deep.

    Raises:
        PackingError: the bytes are too many, or not such a map; nothing else is raised.
    """
    size = len(data)
    if size > limit:
        raise PackingError(f"{what}: expected at most {limit} bytes, got {size}")
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            max_str_len=size,
            max_bin_len=0,
            max_array_len=min(size, ARRAY_ITEMS),
            max_map_len=size,
            max_ext_len=0,
        )
    except Exception as error:
        # Whatever msgpack raises, MemoryError and RecursionError among it: these bytes are what is wrong.
        raise PackingError(f"{what}: no msgpack map ({type(error).__name__}: {format_text(error)})") from error
    if type(value) is not dict:
        raise PackingError(f"{what}: expected a msgpack map with string keys, got {type(value).__name__}")
    _check_content(value, what)
    return value


def _check_content(value: dict[Any, Any], what: str) -> None:
    """Check depth and types, level by level: what msgpack lets through may be nested as deep as there are bytes."""
    level: list[Any] = [value]
    for _ in range(NESTING):
        inside: list[Any] = []
        for container in level:
            if type(container) is dict:
                for key in container:
                    if type(key) is not str:
                        raise PackingError(
                            f"{what}: expected a msgpack map with string keys, got the key {format_value(key)}"
                        )
                items = container.values()
            else:
                items = container
            for item in items:
                kind = type(item)
                if kind is dict or kind is list:
                    inside.append(item)
                elif kind not in _SCALARS:
                    raise PackingError(f"{what}: expected texts and numbers, got {format_value(item)}")
        if not inside:
            return
        level = inside
    raise PackingError(f"{what}: expected maps and arrays nested at most {NESTING} deep, got more")
