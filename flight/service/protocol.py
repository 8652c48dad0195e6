"""The private messages between the service and its worker, over one PAIR socket; msgpack, checked by neither
side beyond decoding, because both ends are this package.

service -> worker: [job, pixels]; worker -> service: [answer, plane, plane, ...].
"""

from __future__ import annotations

from typing import Any

import msgpack


def pack(values: dict[str, Any]) -> bytes:
    """Encode a private message's map."""
    data: bytes = msgpack.packb(values, use_bin_type=True)
    return data


def unpack(data: bytes) -> dict[str, Any]:
    """Decode a private message's map."""
    values: dict[str, Any] = msgpack.unpackb(data, raw=False)
    return values
