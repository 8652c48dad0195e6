"""Messages for tests of recordings."""

from __future__ import annotations

import numpy as np

from flight.icd.frames import Pixels, encode_frame
from tests.tiny_bundle import body_frame

_RANDOM = np.random.default_rng(1)
# Pixels and bit depth: 8 bits, 12 bits in 16, three channels, and larger than viewers need it.
FRAMES: list[tuple[Pixels, int]] = [
    (body_frame(40, 60, 14), 8),
    (_RANDOM.integers(0, 4096, (32, 48)).astype(np.uint16), 12),
    (_RANDOM.integers(0, 256, (20, 30, 3)).astype(np.uint8), 8),
    (_RANDOM.integers(0, 256, (300, 1000)).astype(np.uint8).repeat(2, axis=1).repeat(2, axis=0), 8),
]


def frame_parts(index: int) -> list[bytes]:
    """One of FRAMES as a message: camera navcam, epoch 3, its frame_id is the index."""
    pixels, bit_depth = FRAMES[index]
    return encode_frame(
        pixels,
        source="navcam",
        epoch=3,
        frame_id=index,
        capture_time_ns=5_000_000_000 + index,
        centered=False,
        bit_depth=bit_depth,
    )
