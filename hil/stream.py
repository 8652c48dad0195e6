"""The camera: sends the frames of a source at a steady rate."""

from __future__ import annotations

import sys
import time

from flight.client import FrameSender
from flight.client.images import ImageError
from hil.sources.folder import FrameSource


def stream(source: FrameSource, sender: FrameSender, rate_hz: float, loop: bool, count: int | None) -> int:
    """Send frames; returns how many were sent. A file that is no image is named and left out.

    The frame_id is the frame's index in the source (going on past its end in a loop), so that whoever holds
    the same source can find the frame that a product answers.
    """
    total = count if count is not None else (None if loop else len(source.files))
    began = time.monotonic()
    sent = index = 0
    while total is None or index < total:
        due = began + index / rate_hz
        time.sleep(max(due - time.monotonic(), 0.0))
        sender.next_frame_id = index
        try:
            # Not stated to be centred: the service finds the body and brings it to the scale the networks know.
            sender.send(source.frame(index), centered=False, **source.frame_geometry(index))
            sent += 1
        except ImageError as error:
            print(f"left out: {error}", file=sys.stderr)
        index += 1
    return sent
