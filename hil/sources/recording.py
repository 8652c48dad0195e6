"""Frames of a recording, as they were sent."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from hil.scenarios.source_tables import RecordingSource
from hil.sources.frames import Frame, FrameStream, spread

# Its read_frames(path) yields frames with pixels, bit_depth, and header as in docs/icd.md.
_READER = "hil.recording.reader"
_GEOMETRY = ("range_km", "sun_direction_camera")


class RecordedFrames(FrameStream):
    """The frames of a recording, held in memory."""

    def __init__(self, path: Path, count: int) -> None:
        self.name = path.name
        self._frames = [_make_frame(recorded) for recorded in import_module(_READER).read_frames(path)]
        if not self._frames:
            raise ValueError(f"{path}: expected frames in the recording, got none")
        self._count = count

    def __len__(self) -> int:
        return self._count

    def frame(self, index: int) -> Frame:
        return self._frames[spread(index, self._count, len(self._frames))]


def _make_frame(recorded: Any) -> Frame:
    geometry = {name: recorded.header[name] for name in _GEOMETRY if name in recorded.header}
    return Frame(recorded.pixels, recorded.bit_depth, 1e-9 * recorded.header["capture_time_ns"], geometry)


def open_recording(source: RecordingSource, beside: Path, count: int) -> FrameStream:
    """Open a recording; see hil.sources.registry.open_frames."""
    return RecordedFrames(beside / source.path, count)
