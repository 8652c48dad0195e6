"""`hil export-ros`: what programs of ROS 2 read in its files, by a reader that shares no code with the writer."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import tracemalloc
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from flight.client import LandingCircles, NavigationFix, landing_circles, navigation_fix
from flight.icd.catalogue import TOPIC_PLANES
from flight.icd.frames import encode_frame
from flight.icd.products import Product, decode_product, describe_plane, encode_product
from hil.cli import main
from hil.recording.ros_export import export_ros
from hil.recording.ros_messages import CircleOptions, camera_topic
from hil.recording.writer import RecordingWriter
from tests.golden.vectors import VECTORS, product_header
from tests.hil.recording.examples import FRAMES, frame_parts

PAGE = (Path(__file__).parents[3] / "docs" / "ground_systems.md").read_text(encoding="utf-8")
RECEIVED = 2_000_000_000_000_000_000


def flat_ground(topic: str, **changes: Any) -> list[bytes]:
    """A product of 64 x 64 px with a body of radius 20 px, and room to land everywhere on it."""
    rows, columns = np.mgrid[:64, :64]
    distance = np.hypot(rows - 30, columns - 34)
    body = distance < 20.0
    planes = {
        "class_map": body.astype(np.uint8),
        "enhanced_class_map": body.astype(np.uint8),
        "predictive_entropy": np.where(np.abs(distance - 20.0) < 1.5, 0.5, 0.01).astype(np.float16),
        "hazard_probability": np.where(body, 0.05, 0.0).astype(np.float16),
        "clearance": np.maximum(18.0 - distance, 0.0).astype(np.float16),
    }
    described = [describe_plane(entry.name, planes[entry.name], entry.units) for entry in TOPIC_PLANES[topic]]
    header = {**product_header(), "topic": topic, "flags": [], "status": "valid", **changes}
    return encode_product({**header, "planes": [entry for entry, _ in described]}, [raw for _, raw in described])


def messages() -> list[tuple[str, list[bytes]]]:
    """A message of every kind."""
    frames = [("frame", frame_parts(index)) for index in range(len(FRAMES))]
    invalid = {**product_header(), "topic": "map.hazard", "status": "invalid", "flags": ["worker_failed"], "planes": []}
    products = [flat_ground("map.navigation"), flat_ground("map.hazard"), VECTORS["map_full"]()]
    rest = [("telemetry", VECTORS["event"]()), ("telemetry", VECTORS["housekeeping"]())]
    rest += [(kind, VECTORS[kind]()) for kind in ("command", "reply")]
    return [*frames, *(("product", parts) for parts in [*products, encode_product(invalid, [])]), *rest]


def write(path: Path, content: list[tuple[str, list[bytes]]]) -> Path:
    with RecordingWriter(path, pictures=False) as writer:
        for number, (kind, parts) in enumerate(content):
            writer.write(kind, parts, RECEIVED + number)
    return path


def noise(rows: int, number: int) -> list[bytes]:
    """A frame of the camera navcam, 1000 px wide, that cannot be compressed."""
    pixels = np.random.default_rng(number).integers(0, 256, (rows, 1000), dtype=np.uint8)
    stated = {"source": "navcam", "epoch": 1, "frame_id": number, "capture_time_ns": 1 + number}
    return encode_frame(pixels, centered=False, bit_depth=8, **stated)


def read(path: Path) -> dict[tuple[str, str], list[Any]]:
    """(topic, type) -> messages, by mcap-ros2-support."""
    found = defaultdict(list)
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        assert reader.get_header().profile == "ros2"
        for schema, channel, message, decoded in reader.iter_decoded_messages():
            assert schema is not None
            assert (schema.encoding, channel.message_encoding) == ("ros2msg", "cdr")
            assert message.log_time >= RECEIVED
            found[channel.topic, schema.name].append(decoded)
    return found


def read_all(recording: Path, folder: Path) -> dict[tuple[str, str], list[Any]]:
    export_ros(recording, folder / "all.mcap", CircleOptions())
    return read(folder / "all.mcap")


def pixels_of(message: Any) -> np.ndarray:
    """The pixels of a sensor_msgs/Image, as its fields say."""
    dtype, channels = {
        "mono8": ("u1", 1),
        "mono16": ("<u2", 1),
        "rgb8": ("u1", 3),
        "32FC1": ("<f4", 1),
        "32FC3": ("<f4", 3),
    }[message.encoding]
    assert not message.is_bigendian
    assert message.step == message.width * channels * np.dtype(dtype).itemsize
    pixels = np.frombuffer(bytes(message.data), dtype).reshape(message.height, message.width, channels)
    return pixels[:, :, 0] if channels == 1 else pixels


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ros")
    out = folder / "ros.mcap"
    assert main(["export-ros", str(write(folder / "wire.mcap", messages())), str(out)]) == 0
    return out


def test_frames_and_planes_are_images_with_every_value(exported: Path) -> None:
    found = read(exported)
    images = found["/rubblemap/navcam/image_raw", "sensor_msgs/msg/Image"]
    for index, (image, (pixels, _)) in enumerate(zip(images, FRAMES, strict=True)):
        assert np.array_equal(pixels_of(image), pixels)
        assert (image.header.stamp.sec, image.header.stamp.nanosec) == (5, index)
        assert image.header.frame_id == "navcam"
    for topic, parts in (("navigation", flat_ground("map.navigation")), ("full", VECTORS["map_full"]())):
        product = decode_product(parts)
        for name, plane in product.planes.items():
            (image,) = found[f"/rubblemap/navcam/{topic}/{name}", "sensor_msgs/msg/Image"]
            expected = np.moveaxis(plane, 0, -1) if plane.ndim == 3 else plane
            assert np.array_equal(pixels_of(image), expected.astype(pixels_of(image).dtype))
            assert image.header.stamp.sec == product.header["capture_time_ns"] // 1_000_000_000
        (affine,) = found[f"/rubblemap/navcam/{topic}/map_to_sensor", "std_msgs/msg/Float64MultiArray"]
        assert list(affine.data) == product.header["map_to_sensor"]


def test_fix_and_landing_circles_are_in_sensor_pixels(exported: Path) -> None:
    found = read(exported)
    fix = navigation_fix(decode_product(flat_ground("map.navigation")))
    assert isinstance(fix, NavigationFix)
    (body,) = found["/rubblemap/navcam/body", "geometry_msgs/msg/PoseWithCovarianceStamped"]
    assert (body.pose.pose.position.x, body.pose.pose.position.y) == (fix.x, fix.y)
    covariance = np.array(body.pose.covariance).reshape(6, 6)
    expected = [[fix.covariance_xx, fix.covariance_xy], [fix.covariance_xy, fix.covariance_yy]]
    assert np.array_equal(covariance[:2, :2], expected)
    assert not covariance[2:].any()
    turn = body.pose.pose.orientation
    assert np.degrees(2.0 * np.arctan2(turn.z, turn.w)) == pytest.approx(fix.major_angle_deg)
    circles = landing_circles(decode_product(flat_ground("map.hazard")), 4.0, 3)
    assert isinstance(circles, LandingCircles)
    assert circles.circles
    markers = found["/rubblemap/navcam/landing_circles", "visualization_msgs/msg/ImageMarker"]
    assert [(marker.id, marker.type) for marker in markers] == [(i, 0) for i in range(len(circles.circles))]
    for marker, circle in zip(markers, circles.circles, strict=True):
        assert (marker.position.x, marker.position.y) == (circle.x, circle.y)
        assert marker.scale == pytest.approx(2.0 * circle.radius)


def test_status_events_and_commands_are_diagnostics_logs_and_texts(exported: Path) -> None:
    found = read(exported)
    statuses = [
        entry for array in found["/diagnostics", "diagnostic_msgs/msg/DiagnosticArray"] for entry in array.status
    ]
    told = {(entry.name, entry.level, entry.message) for entry in statuses}
    assert told == {
        ("rubblemap: navcam map.navigation", 0, "valid"),
        ("rubblemap: navcam map.hazard", 0, "valid"),
        ("rubblemap: navcam map.full", 1, "degraded, deadline"),
        ("rubblemap: navcam map.hazard", 2, "invalid, worker_failed"),
        ("rubblemap: service", 0, "ready"),
    }
    values = {pair.key: pair.value for entry in statuses if entry.name == "rubblemap: service" for pair in entry.values}
    assert (values["counters.frames_received"], values["parameters.passes"], values["state"]) == ("3", "20", "ready")
    refused = next(entry for entry in statuses if entry.level == 2)
    assert {pair.key: pair.value for pair in refused.values}["landing_circles"].startswith(
        "the product's status is invalid"
    )
    (log,) = found["/rosout", "rcl_interfaces/msg/Log"]
    assert (log.level, log.name, log.msg, log.stamp.nanosec) == (30, "rubblemap.frame_rejected", "why", 5)
    (command,) = found["/rubblemap/commands", "std_msgs/msg/String"]
    assert '"name": "set_parameter"' in command.data
    (reply,) = found["/rubblemap/replies", "std_msgs/msg/String"]
    assert '"code": "invalid_argument"' in reply.data


def test_definitions_are_those_of_every_distribution_since_humble(exported: Path) -> None:
    with AnyReader([exported]) as bag:
        types = {connection.msgtype for connection in bag.connections}
        assert len(list(bag.messages())) == bag.message_count > 20
        for connection, _, raw in bag.messages():
            bag.deserialize(raw, connection.msgtype)
    stores = [get_typestore(store) for store in (Stores.ROS2_HUMBLE, Stores.ROS2_IRON, Stores.ROS2_JAZZY)]
    assert len(types) == 7
    for name in types:
        assert len({store.hash_rihs01(name) for store in stores}) == 1, name


def test_the_page_has_every_topic_and_type(exported: Path) -> None:
    rows = re.findall(r"^\| (.+) \| (\w+/\w+) \| .+ \|$", PAGE, re.MULTILINE)
    documented = {(topic, kind) for topics, kind in rows for topic in re.findall(r"`([^`]+)`", topics)}
    found = set()
    for topic, kind in read(exported):
        topic = topic.replace("/rubblemap/navcam", "/rubblemap/CAMERA")
        topic = re.sub(r"/(navigation|hazard|full)/", "/PRODUCT/", topic)
        if kind == "sensor_msgs/msg/Image" and "PRODUCT" in topic:
            topic = topic.rsplit("/", 1)[0] + "/PLANE"
        found.add((topic, kind.replace("/msg/", "/")))
    assert found <= documented
    assert {topic for topic, _ in documented - found} == {"/rubblemap/CAMERA/sun_direction"}


def test_cameras_without_end_are_left_out_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"cam{number}" for number in range(1003)]
    pixels = np.zeros((16, 16), np.uint8)
    frames = [
        encode_frame(pixels, source=name, epoch=1, frame_id=0, capture_time_ns=1, centered=False, bit_depth=8)
        for name in names
    ]
    recording = write(tmp_path / "w.mcap", [("frame", parts) for parts in frames])
    assert main(["export-ros", str(recording), str(tmp_path / "r.mcap")]) == 1
    assert "left out: 3 of topics beyond the first 1000" in capsys.readouterr().out
    assert len(read(tmp_path / "r.mcap")) == 1000


def test_what_is_left_out_is_told_and_costs_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    malformed = [("frame", [b"", b"x"]), ("command", [b"\xc1"]), *messages()[:1]]
    assert main(["export-ros", str(write(tmp_path / "w.mcap", malformed)), str(tmp_path / "r.mcap")]) == 1
    output = capsys.readouterr().out
    assert "left out: 1 frame: not as the ICD says" in output
    assert "left out: 1 command: not as the ICD says" in output
    assert len(read(tmp_path / "r.mcap")) == 1
    whole = write(tmp_path / "whole.mcap", messages())
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(whole.read_bytes()[:-200])
    assert main(["export-ros", str(cut), str(tmp_path / "c.mcap")]) == 1
    assert "the recording is not whole: cut off" in capsys.readouterr().out
    assert read(tmp_path / "c.mcap").keys() == read_all(whole, tmp_path).keys()


def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording = write(tmp_path / "w.mcap", messages())
    before = recording.read_bytes()
    assert main(["export-ros", str(recording), str(recording)]) == 2
    assert f"{recording}: expected another file than the recording, got the same" in capsys.readouterr().err
    assert recording.read_bytes() == before
    none = tmp_path / "none.mcap"
    none.write_text("no recording")
    assert main(["export-ros", str(none), str(tmp_path / "r.mcap")]) == 2
    assert f"{none}: expected a recording (MCAP), got none" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["none.mcap", "w.mcap"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    recording = write(tmp_path / "w.mcap", [("frame", noise(300, number)) for number in range(8)])
    out = tmp_path / "r.mcap"
    out.write_text("earlier")
    done = subprocess.run(
        [sys.executable, "-m", "hil.cli", "export-ros", recording, out],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )
    assert done.returncode == 2
    assert str(out) in done.stderr
    assert done.stderr.count("\n") == 1
    assert out.read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.mcap", "w.mcap"]


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    peaks = []
    for count in (4, 24):
        recording = write(tmp_path / f"{count}.mcap", [("frame", noise(1000, number)) for number in range(count)])
        tracemalloc.start()
        export_ros(recording, tmp_path / "out.mcap", CircleOptions())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Twenty megabytes more of frames.
    assert peaks[1] - peaks[0] < 3_000_000


@given(st.lists(st.text(min_size=1, max_size=32), min_size=2, max_size=6, unique=True))
def test_every_camera_has_topics_of_its_own_that_ros_takes(sources: list[str]) -> None:
    topics = [camera_topic(source) for source in sources]
    assert len(set(topics)) == len(topics)
    for topic in topics:
        assert re.fullmatch(r"(/[A-Za-z][A-Za-z0-9_]*)+", topic)
        assert "__" not in topic


def test_a_time_beyond_what_ros_counts_is_its_last(tmp_path: Path) -> None:
    late = flat_ground("map.navigation", capture_time_ns=2**63)
    found = read_all(write(tmp_path / "w.mcap", [("product", late)]), tmp_path)
    (body,) = found["/rubblemap/navcam/body", "geometry_msgs/msg/PoseWithCovarianceStamped"]
    assert (body.header.stamp.sec, body.header.stamp.nanosec) == (2**31 - 1, 999_999_999)
    assert isinstance(decode_product(late), Product)
