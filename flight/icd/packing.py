"""msgpack maps with limits: the bytes of every header."""

from __future__ import annotations

from typing import Any

import msgpack


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
    """Decode one msgpack map with string keys; never allocates more than the size of `data` suggests.

    Args:
        data: the bytes.
        limit: greatest length, bytes.
        what: names the map in errors.

    Raises:
        PackingError: the bytes are too many, or not such a map.
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
            max_array_len=size,
            max_map_len=size,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise PackingError(f"{what}: no msgpack map ({type(error).__name__}: {str(error)[:80]})") from error
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise PackingError(f"{what}: expected a msgpack map with string keys, got {type(value).__name__}")
    return value
