"""Relays and replays beside sockets of the test's own: who waits for whom, and at which pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from flight.client import FrameSender
from flight.icd.frames import decode_frame
from hil.recording.connections import WireTap
from hil.recording.player import Endpoints, play
from hil.recording.writer import RecordingWriter
from tests.hil.recording.examples import FRAMES, frame_parts


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, list[bytes]]] = []

    def add(self, kind: str, parts: Sequence[bytes]) -> None:
        self.messages.append((kind, list(parts)))


@contextmanager
def frames_socket(endpoint: str) -> Iterator[zmq.Socket[bytes]]:
    """What a service binds for frames."""
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        socket.setsockopt(zmq.RCVHWM, 4)
        socket.bind(endpoint)
        yield socket


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def send_until(camera: FrameSender, refused: bool) -> None:
    """Send frames until they are taken, or until none is taken any more."""
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        try:
            camera.send(FRAMES[0][0], timeout_s=0.2)
        except TimeoutError:
            if refused:
                return
        else:
            if not refused:
                return
        time.sleep(0.1)
    raise AssertionError(f"refused: expected {refused} in time")


def test_a_relay_takes_frames_when_the_service_takes_them(tmp_path: Path) -> None:
    service, relay = f"ipc://{tmp_path}/frames", f"ipc://{tmp_path}/relay"
    sink, ended = Kept(), threading.Event()
    with WireTap(f"ipc://{tmp_path}/p", f"ipc://{tmp_path}/t", (relay, service)) as tap:
        thread = threading.Thread(target=tap.run, args=(sink, ended.is_set))
        thread.start()
        try:
            with FrameSender(relay, "navcam", epoch=1) as camera:
                for _ in range(2):  # the service starts, and starts again
                    # Without a service a camera waits, as it would without a relay.
                    send_until(camera, refused=True)
                    kept, first = len(sink.messages), camera.next_frame_id
                    with frames_socket(service) as socket:
                        send_until(camera, refused=False)
                        camera.send(FRAMES[0][0])
                        arrived = [socket.recv_multipart() for _ in range(2)]
                    # Nothing of before arrives late.
                    assert [decode_frame(parts).header["frame_id"] for parts in arrived] == [first, first + 1]
                    wait_for(lambda kept=kept: len(sink.messages) >= kept + 2)
                    assert sink.messages[kept:] == [("frame", parts) for parts in arrived]
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize("speed", [0.5, 4.0])
def test_frames_are_sent_at_the_pace_that_is_asked_for(speed: float, tmp_path: Path) -> None:
    path, gap_s = tmp_path / "pace.mcap", 0.2
    with RecordingWriter(path) as writer:
        for index in range(len(FRAMES)):
            writer.write("frame", frame_parts(index), 10_000_000_000 + round(index * gap_s * 1e9))
        writer.write("frame", [b"\xc1", b"x"], 10_800_000_000)
    endpoints = Endpoints(*(f"ipc://{tmp_path}/{name}" for name in ("frames", "products", "telemetry")))
    arrivals: list[tuple[float, list[bytes]]] = []
    with frames_socket(endpoints.frames) as socket:

        def receive() -> None:
            while len(arrivals) < 5 and socket.poll(20_000):
                parts = socket.recv_multipart()
                arrivals.append((time.monotonic(), parts))

        thread = threading.Thread(target=receive)
        thread.start()
        replay = play(path, endpoints, speed=speed)
        thread.join()
    assert (replay.sent, replay.left_out, replay.rejected) == (5, 0, None)
    # As they were recorded, those that no service takes among them.
    assert [parts for _, parts in arrivals] == [*(frame_parts(index) for index in range(4)), [b"\xc1", b"x"]]
    taken = arrivals[-1][0] - arrivals[0][0]
    assert 4 * gap_s / speed - 0.1 < taken < 4 * gap_s / speed + 3.0
