"""Recording files: what is written, what is read of one that was cut off or damaged, and what viewers see."""

from __future__ import annotations

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory

from flight.icd.catalogue import EVENTS
from flight.icd.frames import encode_frame
from hil.cli import main
from hil.recording.channels import KINDS, RecordedMessage
from hil.recording.comparison import read_contents
from hil.recording.reader import RecordingError, RecordingReader, read_frames
from hil.recording.recorder import Recorder
from hil.recording.writer import RecordingWriter
from tests.golden.vectors import VECTORS
from tests.hil.recording.examples import FRAMES, frame_parts

WELL_FORMED = {
    "product": ("map_navigation", "map_hazard", "map_full"),
    "telemetry": ("event", "housekeeping"),
    "command": ("command",),
    "reply": ("reply",),
}


def everything() -> list[tuple[str, list[bytes]]]:
    """A message of every kind, well-formed ones and others."""
    messages = [("frame", frame_parts(index)) for index in range(len(FRAMES))]
    messages += [(kind, VECTORS[name]()) for kind, names in WELL_FORMED.items() for name in names]
    malformed = [b"", b"x" * 40]
    return [*messages, ("frame", malformed), ("telemetry", []), ("command", [b"\xc1"]), ("reply", [b"\x80"])]


def write(path: Path, messages: list[tuple[str, list[bytes]]], flush: bool = False) -> list[RecordedMessage]:
    with RecordingWriter(path) as writer:
        for number, (kind, parts) in enumerate(messages):
            writer.write(kind, parts, 1_000 + number)
            if flush:
                writer.flush()
    return [RecordedMessage(kind, tuple(parts), 1_000 + number) for number, (kind, parts) in enumerate(messages)]


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "all.mcap"
    written = write(path, everything())
    reader = RecordingReader(path)
    assert list(reader.messages()) == written
    assert reader.ending == ""
    assert {message.kind for message in written} == set(KINDS)
    assert [message for message in written if message.kind == "command"] == list(reader.messages({"command"}))
    frames = list(read_frames(path))
    assert len(frames) == len(FRAMES)
    for frame, (pixels, bit_depth) in zip(frames, FRAMES, strict=True):
        assert frame.pixels.dtype == pixels.dtype
        assert np.array_equal(frame.pixels, pixels)
        assert frame.bit_depth == bit_depth
        assert frame.capture_time_ns == frame.header["capture_time_ns"] == 5_000_000_000 + frame.header["frame_id"]
        assert frame.received_time_ns == 1_000 + frame.header["frame_id"]
    contents = read_contents(path)
    assert contents.messages == {"frame": 5, "product": 3, "telemetry": 3, "command": 2, "reply": 2}
    assert contents.malformed == {"frame": 1, "telemetry": 1, "command": 1, "reply": 1}
    assert contents.cameras == {("navcam", 3): 4}


def test_mcap_and_foxglove_read_it_without_our_help(tmp_path: Path) -> None:
    path = tmp_path / "all.mcap"
    written = write(path, everything())
    seen: dict[str, list[object]] = {}
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        assert summary.statistics.message_start_time == 1_000
        for schema, channel, message in reader.iter_messages():
            if channel.message_encoding == "protobuf":
                continue
            if channel.message_encoding == "msgpack":
                assert schema is not None
                assert json.loads(schema.data)["type"] == "object"
            else:
                assert channel.message_encoding == "json"
                seen.setdefault(channel.topic, []).append(json.loads(message.data))
    assert sum(channel.topic.startswith("/wire/") for channel in summary.channels.values()) == 5
    assert summary.statistics.message_count > len(written)
    with path.open("rb") as file:
        topics = [channel.topic for channel in summary.channels.values() if channel.message_encoding == "protobuf"]
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        for schema, channel, _, message in reader.iter_decoded_messages(topics):
            assert schema is not None
            assert schema.name == ("foxglove.Log" if channel.topic == "/events" else "foxglove.CompressedImage")
            seen.setdefault(channel.topic, []).append(message)
    assert set(seen) == {
        *(f"/cameras/navcam/{name}" for name in ("frame", "class_map", "entropy", "hazard")),
        *(f"/cameras/navcam/{topic}" for topic in ("map.navigation", "map.hazard", "map.full")),
        *("/events", "/housekeeping", "/commands", "/replies"),
    }
    for (pixels, bit_depth), picture in zip(FRAMES, seen["/cameras/navcam/frame"], strict=True):
        shown = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert picture.format == "png"
        assert picture.timestamp.seconds == 5
        if max(pixels.shape) > 1024:
            assert shown.shape == (307, 1024)
        else:
            order = shown[:, :, ::-1] if shown.ndim == 3 else shown
            assert np.array_equal(order, pixels >> (bit_depth - 8))
    class_map = cv2.imdecode(np.frombuffer(seen["/cameras/navcam/class_map"][0].data, np.uint8), cv2.IMREAD_COLOR)
    assert len(np.unique(class_map.reshape(-1, 3), axis=0)) > 1
    (log,) = seen["/events"]
    assert (log.name, log.message, log.level) == ("frame_rejected", "why", 3)
    assert EVENTS[log.name].severity == "warning_low"
    assert seen["/commands"][0]["arguments"] == {"name": "passes", "value": 10}


def test_a_recording_that_was_cut_off_opens_up_to_the_cut(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mcap"
    written = write(whole, everything(), flush=True)
    data = whole.read_bytes()
    cut = tmp_path / "cut.mcap"
    before = 0
    # Every byte of the header, of some small messages and of the end, and places throughout.
    end = len(data)
    for size in sorted(
        {*range(1, 200), *range(200, end, end // 200), *range(end - 12_000, end, 37), *range(end - 40, end)}
    ):
        cut.write_bytes(data[:size])
        reader = RecordingReader(cut)
        messages = list(reader.messages())
        assert messages == written[: len(messages)]
        assert len(messages) >= before  # the more there is of the file, the more there is to read
        assert reader.ending == "cut off"
        before = len(messages)
    assert before == len(written)
    cut.write_bytes(b"")
    with pytest.raises(RecordingError, match=r"cut\.mcap: expected a recording \(MCAP\), got an empty file"):
        RecordingReader(cut)


def test_damage_costs_what_comes_after_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "damaged.mcap"
    written = write(path, everything(), flush=True)
    data = bytearray(path.read_bytes())
    for place in range(60, len(data), len(data) // 40):
        data[place] ^= 0x55
        path.write_bytes(data)
        messages = list(RecordingReader(path).messages())
        assert messages == written[: len(messages)]
        data[place] ^= 0x55
    assert main(["play", str(Path(__file__)), "--contents"]) == 2
    assert capsys.readouterr().err == f"hil play: {__file__}: expected a recording (MCAP), got none\n"


def test_a_recorder_that_cannot_keep_up_holds_nobody_up(tmp_path: Path) -> None:
    parts = encode_frame(
        np.random.default_rng(0).integers(0, 255, (2048, 2048), np.uint8),
        source="fast",
        epoch=1,
        frame_id=1,
        capture_time_ns=0,
        centered=True,
    )
    with Recorder(tmp_path / "fast.mcap", most_waiting_bytes=3 * len(parts[1])) as recorder:
        began = time.monotonic()
        for _ in range(30):
            recorder.add("frame", parts)
        assert time.monotonic() - began < 5.0
    assert recorder.failure is None
    assert 1 <= recorder.counts["frame"] < 30
    assert recorder.counts["frame"] + recorder.left_out["frame"] == 30
    assert len(list(read_frames(tmp_path / "fast.mcap"))) == recorder.counts["frame"]


def test_cameras_without_end_do_not_fill_the_recording_with_channels(tmp_path: Path) -> None:
    path = tmp_path / "many.mcap"
    pixels = np.zeros((16, 16), np.uint8)
    with RecordingWriter(path) as writer:
        for number in range(1100):
            header = {"epoch": 1, "frame_id": 1, "capture_time_ns": 0, "centered": True}
            writer.write("frame", encode_frame(pixels, source=f"camera {number}", **header))
    assert len(list(read_frames(path))) == 1100
    with path.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    assert len(summary.channels) == 1000


def test_the_listing_in_the_documentation_reads_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "flyby.mcap", everything())
    page = (Path(__file__).parents[3] / "docs" / "hil.md").read_text(encoding="utf-8")
    listing = page.partition("## Recordings")[2].partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    exec(listing, {})
    assert capsys.readouterr().out.splitlines()[1] == "navcam 1 5000000001 (32, 48) 12"
