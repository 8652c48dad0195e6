"""The seed of a frame's dropout masks."""

from __future__ import annotations

import hashlib


def frame_seed(base_seed: int, source: str, epoch: int, frame_id: int) -> int:
    """The first 8 bytes, little-endian, of SHA-256 over base seed, epoch, frame_id (uint64 each) and the source.

    A product carries it, so that the same product can be made again from the frame.
    """
    numbers = b"".join(value.to_bytes(8, "little") for value in (base_seed, epoch, frame_id))
    return int.from_bytes(hashlib.sha256(numbers + source.encode("utf-8")).digest()[:8], "little")
