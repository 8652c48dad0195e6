"""The camera of the kit: sends the frames of a source at a fixed rate."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from flight.client import FrameSender
from flight.client.images import ImageError
from hil.sources.folder import FrameSource


def stream(
    source: FrameSource,
    sender: FrameSender,
    rate_hz: float,
    loop: bool,
    count: int | None,
    after_frame: Callable[[], None] = lambda: None,
) -> int:
    """Send the frames of a source. A file that is not an image is reported on stderr and skipped.

    The frame_id is the frame's index in the source, and keeps counting in a loop: whoever has the same source can find
    the frame of a product.

    Args:
        source: of the frames.
        sender: connected to the service.
        rate_hz: frames per second.
        loop: start again after the last frame.
        count: number of frames to send; None for all, or without end in a loop.
        after_frame: called after each frame.

    Returns:
        The number of frames sent.
    """
    total = count if count is not None else (None if loop else len(source.files))
    began = time.monotonic()
    sent = index = 0
    while total is None or index < total:
        due = began + index / rate_hz
        time.sleep(max(due - time.monotonic(), 0.0))
        sender.next_frame_id = index
        try:
            # Not centred: the service finds the body and scales it to the networks' input.
            sender.send(source.frame(index), centered=False, **source.frame_geometry(index))
            sent += 1
        except ImageError as error:
            print(f"left out: {error}", file=sys.stderr)
        after_frame()
        index += 1
    return sent
