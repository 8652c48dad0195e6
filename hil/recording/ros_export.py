"""Exports a recording as an MCAP file that the tools of ROS 2 open: profile ros2, messages in CDR."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mcap.writer import Writer
from tqdm import tqdm

from flight import __version__
from hil.recording.channels import read_header, sent_time
from hil.recording.reader import RecordingReader
from hil.recording.ros_messages import TYPES, CircleOptions, RosMessage, make_ros_messages

# MCAP counts channels with 16 bits, and a camera may give itself a new name with every frame.
_MOST_CHANNELS = 1000
_CHUNK_BYTES = 1 << 20


@dataclass
class Export:
    """What was exported.

    Attributes:
        messages: written, by topic.
        left_out: messages of the recording that were not, by reason.
        ending: how the recording ends; "" for whole, else why it is not.
    """

    messages: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    ending: str = ""

    def describe(self) -> Iterator[str]:
        """Lines for people."""
        for topic, count in sorted(self.messages.items()):
            yield f"{topic}: {count}"
        for reason, count in sorted(self.left_out.items()):
            yield f"left out: {count} {reason}"
        if self.ending:
            yield f"the recording is not whole: {self.ending}"


def export_ros(recording: Path, out: Path, circles: CircleOptions) -> Export:
    """Export a recording, one message after the other.

    Args:
        recording: by `hil record`.
        out: MCAP file to write, whole or not at all; what was there is replaced.
        circles: which landing circles are looked for in hazard products.

    Raises:
        RecordingError: the first is no recording.
        ValueError: both are the same file.
        OSError: one cannot be read or the other not be written.
    """
    if out.exists() and out.samefile(recording):
        raise ValueError(f"{out}: expected another file than the recording, got the same")
    reader = RecordingReader(recording)
    export = Export()
    out.parent.mkdir(parents=True, exist_ok=True)
    with _open_whole(out) as file, _progress(recording) as bar:
        writer = _RosWriter(file)
        for message in reader.messages():
            bar.update(reader.position - bar.n)
            found = read_header(message.kind, message.parts)
            if found is None:
                export.left_out[f"{message.kind}: not as the ICD says"] += 1
                continue
            publish_time = sent_time(*found)
            times = message.time_ns, message.time_ns if publish_time is None else publish_time
            for made in make_ros_messages(*found, message.parts, circles):
                if writer.write(made, *times):
                    export.messages[made.topic] += 1
                else:
                    export.left_out[f"of topics beyond the first {_MOST_CHANNELS}"] += 1
        bar.update(recording.stat().st_size - bar.n)
        writer.finish()
    export.ending = reader.ending
    return export


class _RosWriter:
    """Writes an MCAP file of ROS 2."""

    def __init__(self, file: BinaryIO) -> None:
        self._writer = Writer(file, chunk_size=_CHUNK_BYTES)
        self._writer.start(profile="ros2", library=f"rubblemap {__version__}")
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._sequences: Counter[str] = Counter()

    def write(self, message: RosMessage, log_time: int, publish_time: int) -> bool:
        """Write a message; times in nanoseconds. False, and nothing written, if there are too many topics already."""
        if message.topic not in self._channels:
            if len(self._channels) >= _MOST_CHANNELS:
                return False
            metadata = {"offered_qos_profiles": "", "topic_type_hash": TYPES.hash_rihs01(message.type)}
            schema = self._find_schema(message.type)
            self._channels[message.topic] = self._writer.register_channel(message.topic, "cdr", schema, metadata)
        sequence = self._sequences[message.topic] & 0xFFFF_FFFF
        self._writer.add_message(self._channels[message.topic], log_time, message.encode(), publish_time, sequence)
        self._sequences[message.topic] += 1
        return True

    def _find_schema(self, type_name: str) -> int:
        if type_name not in self._schemas:
            definition, _ = TYPES.generate_msgdef(type_name, ros_version=2)
            data = definition.encode("utf-8")
            self._schemas[type_name] = self._writer.register_schema(type_name, "ros2msg", data)
        return self._schemas[type_name]

    def finish(self) -> None:
        """Write the index."""
        self._writer.finish()


@contextlib.contextmanager
def _open_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which is at `path` once all went well; else nothing is left of it."""
    temporary = path.with_name(f".{os.getpid()}-{abs(hash(path.name)):x}.part")
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        # A full disk is told of without any name, other failures with the temporary one.
        if error.filename is None or Path(error.filename) == temporary:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _progress(recording: Path) -> tqdm:
    """A bar over the recording's bytes, on a terminal only."""
    return tqdm(
        total=recording.stat().st_size,
        unit="B",
        unit_scale=True,
        desc=recording.name,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
    )
