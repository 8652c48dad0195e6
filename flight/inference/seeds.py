"""The seed of a frame's dropout masks."""

from __future__ import annotations

import hashlib


def frame_seed(base_seed: int, source: str, epoch: int, frame_id: int) -> int:
    """Seed of a frame's dropout masks; the product states it, so that the product can be computed again.

    The first 8 bytes, as a little-endian number, of SHA-256 over base_seed, epoch and frame_id (little-endian uint64
    each) and the UTF-8 bytes of the source.

    Args:
        base_seed: of the service's configuration, 0..2^64-1.
        source: name of the camera.
        epoch: boot count of the camera.
        frame_id: of the frame.

    Returns:
        0..2^64-1.
    """
    numbers = b"".join(value.to_bytes(8, "little") for value in (base_seed, epoch, frame_id))
    return int.from_bytes(hashlib.sha256(numbers + source.encode("utf-8")).digest()[:8], "little")
