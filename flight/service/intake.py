"""Checks frames, keeps them in order per source, and holds the newest one."""

from __future__ import annotations

import time
from dataclasses import dataclass

from flight.icd.frames import Frame, FrameError, decode_frame
from flight.schema import format_value

_MAX_SOURCES = 64


@dataclass(frozen=True)
class PendingFrame:
    """A frame that waits for the worker.

    Attributes:
        frame: decoded.
        pixels: bytes of the message's second part.
        received_time_ns: spacecraft clock.
        received: monotonic clock, s.
        lost_workers: how many workers died or hung on it.
    """

    frame: Frame
    pixels: bytes
    received_time_ns: int
    received: float
    lost_workers: int = 0


class Intake:
    """Checks frames and holds the newest one; a frame that a newer one replaces is superseded."""

    def __init__(self) -> None:
        self._last_keys: dict[str, tuple[int, int]] = {}
        self.pending: PendingFrame | None = None

    def accept(self, parts: list[bytes]) -> bool:
        """Check and hold one frame.

        Args:
            parts: of the message.

        Returns:
            Whether an older frame that waited is superseded.

        Raises:
            FrameError: the frame breaks the contract; the waiting frame and the source's order are as before.
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
        if last is None and len(self._last_keys) >= _MAX_SOURCES:
            raise FrameError("too_many_sources", f"frame.source: expected at most {_MAX_SOURCES} sources, got one more")
        self._last_keys[source] = frame.key
        superseded = self.pending is not None
        self.pending = PendingFrame(frame, parts[1], time.time_ns(), time.monotonic())
        return superseded

    def requeue(self, frame: PendingFrame) -> bool:
        """Let a frame wait again, unless a newer one waits. Returns whether it waits."""
        if self.pending is None:
            self.pending = frame
        return self.pending is frame

    def take(self) -> PendingFrame | None:
        """Take the waiting frame out; None if there is none."""
        frame, self.pending = self.pending, None
        return frame
