"""The remote renderer: CORTO's protocol, against a stand-in that keeps to it, and others that do not."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from hil.cli import main
from hil.runs.measures import outline_centroid
from hil.scenarios.source_tables import DrawnSource, RemoteSource
from hil.scenarios.way_tables import Hyperbola, Rotation
from hil.sources.drawn import DrawnBody
from hil.sources.frames import TRUTH_CLASSES
from hil.sources.poses import to_matrix
from hil.sources.registry import open_frames
from hil.sources.remote import RemoteError, RemoteFrames

SIZE, FOCAL_PX = 128, 700.0
WAY = Hyperbola(periapsis=40.0, excess_speed=0.1, from_s=-100.0, to_s=200.0)
Answer = Callable[[socket.socket, list[float]], None]


def draw(numbers: list[float]) -> np.ndarray:
    """A sphere of a radius of 3 units where the pose has it, lit from where the pose has the sun."""
    sun, camera, body = np.array(numbers[:3]), np.array(numbers[-14:-11]), np.array(numbers[-7:-4])
    seen = to_matrix(np.array(numbers[-11:-7])).T @ (body - camera)
    lit = to_matrix(np.array(numbers[-11:-7])).T @ sun
    x, y, z = seen[0], -seen[1], -seen[2]  # Blender's camera looks along -z, y up
    middle = 0.5 * (SIZE - 1)
    center = (middle + FOCAL_PX * x / z, middle + FOCAL_PX * y / z)
    towards = np.array([lit[0], -lit[1], -lit[2]]) / np.linalg.norm(lit)
    drawn = DrawnBody(DrawnSource(sensor_px=SIZE, craters=0, boulders=0))
    return drawn.frame(center, FOCAL_PX * 3.0 / float(np.linalg.norm(seen)), towards, 0.0, 1)


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def send(connection: socket.socket, data: bytes) -> None:
    connection.sendall(struct.pack("<Q", len(data)) + data)


def answer_well(connection: socket.socket, numbers: list[float]) -> None:
    # In pieces, as networks deliver.
    data = png(cv2.cvtColor(draw(numbers), cv2.COLOR_GRAY2BGRA))
    message = struct.pack("<Q", len(data)) + data
    for start in range(0, len(message), 999):
        connection.sendall(message[start : start + 999])


@contextmanager
def renderer(answer: Answer, numbers: int = 17) -> Iterator[tuple[RemoteSource, list[list[float]]]]:
    """A renderer of ours on this computer: its source, and the poses that it got."""
    poses: list[list[float]] = []
    listener = socket.create_server(("127.0.0.1", 0))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    datagrams.settimeout(0.1)
    ending = threading.Event()

    def serve() -> None:
        listener.settimeout(10.0)
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            while not ending.is_set():
                try:
                    data = datagrams.recv(512)
                except TimeoutError:
                    continue
                assert len(data) == 8 * numbers
                poses.append(list(struct.unpack(f">{numbers}d", data)))
                try:
                    answer(connection, poses[-1])
                except OSError:
                    return  # the other side has had enough

    thread = threading.Thread(target=serve)
    thread.start()
    source = RemoteSource(
        image_port=listener.getsockname()[1],
        pose_port=datagrams.getsockname()[1],
        sun_pose=numbers == 21,
        connect_s=5.0,
        answer_s=5.0,
        trajectory=WAY,
        sun=(0.3, 0.2, 1.0),
        rotation=Rotation(meridian_deg=-90.0, period_s=1000.0),
        km_per_unit=0.5,
    )
    try:
        yield source, poses
    finally:
        ending.set()
        thread.join(15.0)
        listener.close()
        datagrams.close()
        assert not thread.is_alive()


@pytest.mark.parametrize("numbers", [17, 21])
def test_frames_come_pose_by_pose(numbers: int) -> None:
    told: list[str] = []
    with renderer(answer_well, numbers) as (source, poses):
        stream = open_frames(source, Path(), 4)
        stream.prepare(told.append)
        frames = list(stream)
    assert told[-1] == "remote renderer: frame 4/4"
    assert len(poses) == 4
    for frame, pose in zip(frames, poses, strict=True):
        assert frame.pixels.shape == (SIZE, SIZE)
        assert frame.truth is None
        # In units of the scene, which are half a kilometre.
        assert np.linalg.norm(pose[-14:-11]) == pytest.approx(2.0 * frame.geometry["range_km"])
        assert np.linalg.norm(pose[:3]) == pytest.approx(30_000.0)
        seen = (frame.pixels > 40).astype(np.uint8)
        centroid = outline_centroid(seen, TRUTH_CLASSES)
        assert centroid is not None
        assert np.hypot(centroid[0] - 63.5, centroid[1] - 63.5) < 0.6 * FOCAL_PX * 3.0 / (
            2.0 * frame.geometry["range_km"]
        )
        # The lit side lies where the header has the sun.
        offset = np.array(centroid) - 63.5
        sun = np.array(frame.geometry["sun_direction_camera"])
        assert offset @ sun[:2] > 0.5
    # The body turns about z with the time.
    turned = [to_matrix(np.array(pose[-4:])) for pose in poses]
    assert np.arctan2(turned[1][1, 0], turned[1][0, 0]) == pytest.approx(0.0, abs=1e-9)
    assert np.arctan2(turned[2][1, 0], turned[2][0, 0]) == pytest.approx(2.0 * np.pi * 0.1)
    if numbers == 21:
        light = to_matrix(np.array(poses[0][3:7]))
        assert light[:, 2] == pytest.approx(np.array(poses[0][:3]) / 30_000.0)


def test_frames_are_spread_and_may_have_16_bits() -> None:
    image = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 20
    with renderer(lambda connection, pose: send(connection, png(image))) as (source, poses):
        stream = RemoteFrames(source.__class__(**{**vars(source), "frames": 2}), Path(), 6)
        stream.prepare(lambda line: None)
    assert len(poses) == 2
    frame = stream.frame(4)
    assert (frame.bit_depth, frame.pixels.dtype) == (16, np.uint16)
    assert np.array_equal(frame.pixels, image)
    assert [f.time_s for f in stream] == [-100.0] * 3 + [200.0] * 3


def change_sizes() -> Answer:
    widths = iter([64, 32])
    return lambda connection, pose: send(connection, png(np.zeros((64, next(widths)), np.uint8)))


PIECE = struct.pack("<Q", 5000) + b"\x89PNG\r\n\x1a\n" + bytes(100)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda c, p: None, "frame 0: expected the image's length within 0.5 s, got 0 of 8 bytes"),
        (lambda c, p: c.sendall(b"\x01\x02"), "frame 0: expected the image's length within 0.5 s, got 2 of 8 bytes"),
        (lambda c, p: c.sendall(PIECE), "frame 0: expected the image within 0.5 s, got 108 of 5000 bytes"),
        (
            lambda c, p: (c.sendall(PIECE), c.shutdown(socket.SHUT_RDWR)),
            "frame 0: expected the image, got 108 of 5000 bytes and the end of the connection",
        ),
        (lambda c, p: c.sendall(struct.pack("<Q", 1 << 60)), "got 1152921504606846976"),
        (
            lambda c, p: c.sendall(struct.pack("<Q", 3) + b"abc"),
            "expected an image of 24..268435456 bytes, got 3",
        ),
        (
            lambda c, p: send(c, b"GIF89a" + bytes(50)),
            "expected a PNG file, got 56 bytes that begin with b'GIF89a",
        ),
        (
            lambda c, p: send(c, PIECE[8:] + bytes(30)),
            "expected an image of a camera's size, got 0 x 0 pixels",
        ),
        (
            lambda c, p: send(c, png(np.zeros((64, 64), np.uint8))[:60] + bytes(40)),
            "frame 0: expected a PNG file, got 100 bytes that cannot be decoded",
        ),
        (
            lambda c, p: send(c, PIECE[8:16] + bytes(8) + struct.pack(">II", 100_000, 100_000) + bytes(9)),
            "got 100000 x 100000 pixels",
        ),
        (change_sizes(), "frame 1: expected 64 x 64 pixels as before, got 32 x 64"),
        (
            lambda c, p: (send(c, png(np.zeros((64, 64), np.uint8))), c.sendall(b"more"), time.sleep(0.1)),
            "frame 1: expected nothing before the pose, got bytes",
        ),
    ],
)
def test_what_breaks_the_protocol_is_told_in_one_line(answer: Answer, problem: str) -> None:
    before = threading.active_count()
    with renderer(answer) as (source, _):
        stream = RemoteFrames(source.__class__(**{**vars(source), "answer_s": 0.5}), Path(), 3)
        with pytest.raises(RemoteError) as told:
            stream.prepare(lambda line: None)
    assert problem in str(told.value)
    assert "\n" not in str(told.value)
    assert threading.active_count() == before


RUN = """title = "a remote renderer"
rate_hz = 2.0
duration_s = 1.0
[source]
kind = "remote"
image_port = %d
connect_s = 0.5
[source.trajectory]
kind = "hyperbola"
periapsis = 40.0
excess_speed = 0.1
from_s = -1.0
to_s = 1.0
%s
[[criteria]]
kind = "%s"
"""


@pytest.mark.parametrize(
    ("more", "criterion", "problem"),
    [
        ("", "safe_state", "remote renderer at 127.0.0.1: expected one at TCP port"),
        ('unit = "d0"', "safe_state", "trajectory.unit: expected km, as the remote body's size is not known"),
        ("", 'miou_at_least"\nvalue = 0.5\nof = "roles', "miou_at_least: expected a source with truth, got remote"),
    ],
)
def test_a_run_without_a_renderer_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, criterion: str, problem: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (tmp_path / "own.toml").write_text(RUN % (port, more, criterion))
    assert main(["run", str(tmp_path / "own.toml"), "--out", str(tmp_path / "out")]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("own: not finished")]
    assert len(lines) == 1
    assert problem in lines[0]
    assert not (tmp_path / "out").exists()
