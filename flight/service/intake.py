"""Intake: frames from the socket, checked, ordered per source, the newest kept."""

from __future__ import annotations

import time
from dataclasses import dataclass

from flight.icd.frames import Frame, FrameError, decode_frame
from flight.schema import format_value

_MOST_SOURCES = 64


@dataclass(frozen=True)
class PendingFrame:
    """A frame that waits for the worker.

    received_time_ns: spacecraft clock. received: monotonic seconds. lost_workers: how many died or hung on it.
    """

    frame: Frame
    pixels: bytes
    received_time_ns: int
    received: float
    lost_workers: int = 0


class Intake:
    """Checks frames and keeps the newest one; what it replaces is superseded."""

    def __init__(self) -> None:
        self._last_keys: dict[str, tuple[int, int]] = {}
        self.pending: PendingFrame | None = None

    def accept(self, parts: list[bytes]) -> bool:
        """Take in one message. Returns whether an older pending frame was superseded.

        Raises FrameError; the pending frame and the source's order are then as before.
        """
        frame = decode_frame(parts)
        source = frame.header["source"]
        last = self._last_keys.get(source)
        if last is not None and frame.key <= last:
            raise FrameError(
                "not_increasing",
                f"frame of source {format_value(source)}: (epoch, frame_id): "
                f"expected more than {last}, got {frame.key}",
            )
        if last is None and len(self._last_keys) >= _MOST_SOURCES:
            raise FrameError(
                "too_many_sources", f"frame.source: expected at most {_MOST_SOURCES} sources, got one more"
            )
        self._last_keys[source] = frame.key
        superseded = self.pending is not None
        self.pending = PendingFrame(frame, parts[1], time.time_ns(), time.monotonic())
        return superseded

    def put_back(self, frame: PendingFrame) -> bool:
        """Let a frame wait again, unless a newer one already does. Returns whether it waits."""
        if self.pending is None:
            self.pending = frame
        return self.pending is frame

    def take(self) -> PendingFrame | None:
        """The pending frame, which is then no longer pending."""
        frame, self.pending = self.pending, None
        return frame
