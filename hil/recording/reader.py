"""Reads recordings, those too that were cut off in the middle of a write: up to the cut."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard
from mcap.exceptions import EndOfFile, InvalidMagic, McapError
from mcap.records import Channel, Footer, Message
from mcap.stream_reader import StreamReader

from flight.icd.frames import FrameError, Pixels, decode_frame
from hil.recording.channels import KIND_OF_TOPIC, KINDS, RecordedMessage, unpack_parts

_MAGIC = b"\x89MCAP0\r\n"
# Larger than any record that the writer makes: a chunk ends with the first message beyond its size.
_LARGEST_RECORD = 1 << 30


class RecordingError(ValueError):
    """A file that is no recording; the message names it."""


@dataclass(frozen=True)
class RecordedFrame:
    """A frame of a recording.

    Attributes:
        pixels: (H, W) or (H, W, 3), uint8 or uint16.
        bit_depth: bits per channel in use.
        capture_time_ns: when the camera says that it was taken, nanoseconds since 1970.
        header: of the frame, as in docs/icd.md.
        received_time_ns: when the recorder received it, nanoseconds since 1970.
    """

    pixels: Pixels
    bit_depth: int
    capture_time_ns: int
    header: dict[str, Any]
    received_time_ns: int


class RecordingReader:
    """Reads the messages of a recording from its beginning.

    Args:
        path: of the file.

    Attributes:
        ending: how the recording ends, in words, once it was read to its end: "" for whole, else why it is not.
        position: bytes of the file that were read so far.

    Raises:
        RecordingError: the file is no recording.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.ending = ""
        self.position = 0
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
        if not start or not _MAGIC.startswith(start):
            raise RecordingError(f"{path}: expected a recording (MCAP), got {'an empty file' if not start else 'none'}")

    def messages(self, kinds: Collection[str] = KINDS) -> Iterator[RecordedMessage]:
        """Read the messages of the wire, in the order in which they were recorded.

        Args:
            kinds: which; see hil.recording.channels.KINDS.
        """
        self.ending = "cut off"
        channels: dict[int, str] = {}
        with self._path.open("rb") as file:
            try:
                for record in StreamReader(file, validate_crcs=True, record_size_limit=_LARGEST_RECORD).records:
                    if isinstance(record, Channel) and record.topic in KIND_OF_TOPIC:
                        channels[record.id] = KIND_OF_TOPIC[record.topic]
                    elif isinstance(record, Message) and channels.get(record.channel_id) in kinds:
                        parts = unpack_parts(record.data)
                        self.position = file.tell()
                        yield RecordedMessage(channels[record.channel_id], parts, record.log_time)
                    elif isinstance(record, Footer):
                        self.ending = ""
            except (EndOfFile, InvalidMagic, struct.error):  # the last bytes of a whole file are the magic again
                self.ending = "cut off"
            except (McapError, ValueError, zstandard.ZstdError, MemoryError, OverflowError) as error:
                self.ending = f"damaged: {error}" if str(error) else "damaged"


def read_frames(path: Path) -> Iterator[RecordedFrame]:
    """Read the frames of a recording in the order in which they came; what was no frame of the ICD is left out.

    Args:
        path: of the recording. One that was cut off is read up to there.

    Raises:
        RecordingError: the file is no recording.
        OSError: it cannot be read.
    """
    for message in RecordingReader(path).messages({"frame"}):
        try:
            frame = decode_frame(message.parts)
        except FrameError:
            continue
        header = frame.header
        yield RecordedFrame(frame.pixels, header["bit_depth"], header["capture_time_ns"], header, message.time_ns)
