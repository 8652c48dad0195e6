"""Writes a recording: an MCAP file that may be cut off anywhere, and can be read up to there."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from mcap.writer import Writer
from mcap_protobuf.schema import register_schema

from flight import __version__
from hil.recording.channels import WIRE_CHANNELS, pack_parts, read_header, sent_time
from hil.recording.views import View, make_views

_CHUNK_BYTES = 1 << 20
# MCAP counts channels with 16 bits, and a camera may give itself a new name with every frame.
_MOST_CHANNELS = 1000


class RecordingWriter:
    """Writes messages of the wire, and what viewers show of them. For one thread at a time.

    Args:
        path: of a file that is not there yet.
        pictures: False leaves out what viewers show; replay needs the wire's messages alone.

    Attributes:
        counts: messages written, by kind.

    Raises:
        OSError: the file is there already, or cannot be made.
    """

    def __init__(self, path: Path, pictures: bool = True) -> None:
        self.counts: Counter[str] = Counter()
        self._pictures = pictures
        self._file = path.open("xb")
        self._writer = Writer(self._file, chunk_size=_CHUNK_BYTES)
        self._writer.start(library=f"rubblemap {__version__}")
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        for kind, channel in WIRE_CHANNELS.items():
            schema = self._writer.register_schema(f"rubblemap.{kind}", "jsonschema", channel.schema_data())
            self._channels[kind] = self._writer.register_channel(channel.topic, "msgpack", schema)

    def write(self, kind: str, parts: Sequence[bytes], time_ns: int | None = None) -> None:
        """Write a message, whether or not it keeps the contract.

        Args:
            kind: one of hil.recording.channels.KINDS.
            parts: as they came.
            time_ns: when it came, nanoseconds since 1970; None for now.

        Raises:
            OSError: the file cannot be written any further, for example because the disk is full.
        """
        log_time = time.time_ns() if time_ns is None else time_ns
        found = read_header(kind, parts)
        publish_time = log_time if found is None else sent_time(*found)
        publish_time = log_time if publish_time is None else publish_time
        sequence = self.counts[kind] & 0xFFFF_FFFF
        self._writer.add_message(self._channels[kind], log_time, pack_parts(parts), publish_time, sequence)
        self.counts[kind] += 1
        if found is None or not self._pictures:
            return
        for view in make_views(*found, parts):
            channel = self._find_channel(view)
            if channel is not None:
                with contextlib.suppress(ValueError):  # a command's NaN, say, which JSON does not have
                    self._writer.add_message(channel, log_time, view.encode(), publish_time)

    def _find_channel(self, view: View) -> int | None:
        """The channel of a view; None if there are too many already."""
        if view.topic not in self._channels and len(self._channels) < _MOST_CHANNELS:
            encoding, schema = "json", 0  # 0: none, which Foxglove takes of JSON
            if not isinstance(view.message, dict):
                name = view.message.DESCRIPTOR.full_name
                if name not in self._schemas:
                    self._schemas[name] = register_schema(self._writer, type(view.message))
                encoding, schema = "protobuf", self._schemas[name]
            self._channels[view.topic] = self._writer.register_channel(view.topic, encoding, schema)
        return self._channels.get(view.topic)

    def flush(self) -> None:
        """Hand everything that was written to the system: it is there even if this process is killed."""
        self._writer.flush()

    def close(self) -> None:
        """Write the index, and close the file. Raises OSError; the file is closed all the same."""
        with self._file:
            self._writer.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
