"""The camera of the kit: sends the frames of a source at a fixed rate."""

from __future__ import annotations

import contextlib
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
    left_out: set[str] | None = None,
    after_frame: Callable[[], None] = lambda: None,
) -> int:
    """Send the frames of a source. A file that is not an image is reported on stderr, once, and skipped.

    The frame_id is the frame's index in the source, and keeps counting in a loop: whoever has the same source can find
    the frame of a product.

    Args:
        source: of the frames.
        sender: connected to the service.
        rate_hz: frames per second.
        loop: start again after the last frame.
        count: number of frames to send; None for all, or without end in a loop.
        left_out: is given a line about each image that could not be read.
        after_frame: called after each frame.

    Returns:
        The number of frames sent.

    Raises:
        ImageError: of a whole source no image could be read.
    """
    total = count if count is not None else (None if loop else len(source))
    told = set() if left_out is None else left_out
    failed_in_a_row = 0
    with contextlib.suppress(ImageError):
        source.image(0)  # what has to be found out over many images takes its time before the first one is due
    began = time.monotonic()
    sent = index = 0
    while total is None or index < total:
        due = began + index / rate_hz
        time.sleep(max(due - time.monotonic(), 0.0))
        sender.next_frame_id = index
        try:
            image = source.image(index)
        except ImageError as error:
            failed_in_a_row += 1
            if failed_in_a_row >= len(source):
                raise  # the folder is gone, say
            if str(error) not in told:
                print(f"left out: {error}", file=sys.stderr)
                told.add(str(error))
        else:
            failed_in_a_row = 0
            # Not centred: the service finds the body and scales it to the networks' input.
            geometry = source.frame_geometry(index)
            sender.send(image.pixels, centered=False, bit_depth=image.bit_depth, **geometry)
            sent += 1
        after_frame()
        index += 1
    return sent
