"""Checks frames, keeps them in order per source, and holds the newest one of each."""

from __future__ import annotations

import time
from dataclasses import dataclass

from flight.icd.frame_message import FrameError, FrameMessage, check_frame
from flight.schema import format_value
from flight.service.cameras import CameraCounts

_MAX_SOURCES = 64
# Of so many sources a frame may wait at once: a frame may be 40 MiB large.
_MAX_WAITING = 4


@dataclass(frozen=True)
class PendingFrame:
    """A frame that waits for the worker.

    Attributes:
        frame: checked.
        pixels: bytes of the message's second part.
        received_time_ns: spacecraft clock.
        received: monotonic clock, s.
        lost_workers: how many workers died or hung on it.
    """

    frame: FrameMessage
    pixels: bytes
    received_time_ns: int
    received: float
    lost_workers: int = 0


class Intake:
    """Checks frames and holds the newest one of each source; a frame that a newer one replaces is superseded.

    The sources take turns, so that a fast camera does not keep a slow one's frames from being answered.

    Attributes:
        cameras: what became of each camera's frames.
    """

    def __init__(self) -> None:
        self.cameras = CameraCounts()
        self._last_keys: dict[str, tuple[int, int]] = {}
        # By source, in the order of their turns.
        self._waiting: dict[str, PendingFrame] = {}

    @property
    def waiting(self) -> bool:
        """Whether a frame waits."""
        return bool(self._waiting)

    def accept(self, parts: list[bytes]) -> bool:
        """Check, count and hold one frame.

        Args:
            parts: of the message.

        Returns:
            Whether an older frame that waited is superseded: of the same source, or, where too many sources have one
            waiting, the one that has waited longest.

        Raises:
            FrameError: the frame breaks the contract; the waiting frames and the source's order are as before.
        """
        try:
            frame = self._check(parts)
        except FrameError as error:
            if error.camera is not None:
                newest = self._last_keys.get(error.camera[0])
                self.cameras.count_rejected(*error.camera, error.reason, None if newest is None else newest[0])
            raise
        source, epoch = frame.header["source"], frame.header["epoch"]
        self.cameras.count_accepted(source, epoch)
        self._last_keys[source] = frame.key
        superseded = source in self._waiting
        if not superseded and len(self._waiting) >= _MAX_WAITING:
            del self._waiting[min(self._waiting, key=lambda name: self._waiting[name].received)]
            superseded = True
        # A source keeps its turn when its frame is replaced.
        self._waiting[source] = PendingFrame(frame, parts[1], time.time_ns(), time.monotonic())
        return superseded

    def _check(self, parts: list[bytes]) -> FrameMessage:
        """Check a frame and its place in its source's order. Raises FrameError."""
        frame = check_frame(parts)
        source = frame.header["source"]
        last = self._last_keys.get(source)
        if last is not None and frame.key <= last:
            raise FrameError(
                "not_increasing",
                f"frame of source {format_value(source)}: (epoch, frame_id): "
                f"expected more than {last}, got {frame.key}",
                (source, frame.header["epoch"]),
            )
        if last is None and len(self._last_keys) >= _MAX_SOURCES:
            problem = f"frame.source: expected at most {_MAX_SOURCES} sources, got one more"
            raise FrameError("too_many_sources", problem, (source, frame.header["epoch"]))
        return frame

    def requeue(self, frame: PendingFrame) -> bool:
        """Let a frame wait again, at the next turn, unless a newer one of its source does. Returns whether it waits."""
        source = frame.frame.header["source"]
        if source in self._waiting:
            return False
        self._waiting = {source: frame, **self._waiting}
        return True

    def take(self) -> PendingFrame | None:
        """Take the frame out whose source's turn it is; None if none waits."""
        if not self._waiting:
            return None
        return self._waiting.pop(next(iter(self._waiting)))
