"""The client library against a publisher of the test's own: newest first, losses counted, malformed withheld."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import zmq

from flight.client import Commander, FrameSender, Subscriber
from flight.icd.limits import LARGEST_GAP
from tests.flight.service_process import running_service
from tests.golden.vectors import product
from tests.tiny_bundle import body_frame


class Publisher:
    """A fake service: publishes what it is told."""

    def __init__(self, folder: Path) -> None:
        self.endpoint = f"ipc://{folder}/products"
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.bind(self.endpoint)

    def publish(self, sequence: int, topic: str = "map.navigation", damage: bool = False) -> None:
        parts = product(topic, sequence=sequence)
        if damage:
            parts[2] = b"\xff" + parts[2][1:]
        self._socket.send_multipart(parts)

    def close(self) -> None:
        self._socket.close(0)
        self._context.term()


@pytest.fixture
def publisher(tmp_path: Path):
    publisher = Publisher(tmp_path)
    yield publisher
    publisher.close()


def connected(publisher: Publisher, **keywords: object) -> Subscriber:
    subscriber = Subscriber(publisher.endpoint, ("map.navigation", "map.hazard"), **keywords)
    time.sleep(0.3)
    return subscriber


def test_the_newest_of_each_topic_is_handed_over(publisher: Publisher) -> None:
    with connected(publisher) as subscriber:
        for sequence in range(6):
            publisher.publish(sequence)
        publisher.publish(0, "map.hazard")
        time.sleep(0.2)
        first, second = subscriber.receive(30), subscriber.receive(30)
        assert (first.topic, first.header["sequence"]) == ("map.navigation", 5)
        assert (second.topic, second.header["sequence"]) == ("map.hazard", 0)
        assert subscriber.receive(0.1) is None
        assert subscriber.statistics.received == 7
        assert subscriber.statistics.skipped == 5
        assert subscriber.statistics.lost == 0


def test_after_a_pause_the_newest_is_handed_over_not_what_the_queues_kept(publisher: Publisher) -> None:
    with connected(publisher, queue=4) as subscriber:
        for sequence in range(300):
            publisher.publish(sequence)
            time.sleep(0.001)
        time.sleep(0.3)
        assert subscriber.receive(30).header["sequence"] == 299


def test_every_product_when_asked(publisher: Publisher) -> None:
    with connected(publisher, newest=False) as subscriber:
        for sequence in range(6):
            publisher.publish(sequence)
        assert [subscriber.receive(30).header["sequence"] for _ in range(6)] == list(range(6))


def test_gaps_are_losses_and_a_new_start_is_none(publisher: Publisher) -> None:
    with connected(publisher, newest=False) as subscriber:
        for sequence in (3, 4, 9, 10, 0, 1):
            publisher.publish(sequence)
        for _ in range(6):
            subscriber.receive(30)
        assert subscriber.statistics.lost == 4
        assert subscriber.statistics.restarts == 1


def test_a_malformed_product_is_counted_and_never_handed_over(publisher: Publisher) -> None:
    with connected(publisher) as subscriber:
        publisher.publish(0, damage=True)
        assert subscriber.receive(0.5) is None
        assert subscriber.statistics.malformed == 1
        assert "plane class_map: crc32" in subscriber.statistics.last_error
        publisher.publish(1)
        assert subscriber.receive(30).header["sequence"] == 1


@pytest.mark.parametrize("newest", [True, False])
def test_a_forged_sequence_number_counts_as_no_loss(publisher: Publisher, newest: bool) -> None:
    """One that is wrong costs two restarts, not a count of losses that means nothing for good."""
    with connected(publisher, newest=newest) as subscriber:
        sequences = (3, 4, 2**64 - 1, 5, 6, 6 + LARGEST_GAP + 2, 7, 7 + LARGEST_GAP + 1)
        for sequence in sequences:
            publisher.publish(sequence)
            while subscriber.receive(1) is None:
                pass
        assert subscriber.statistics.received == len(sequences)
        assert subscriber.statistics.lost == LARGEST_GAP  # of the last one alone, which may be
        assert subscriber.statistics.restarts == 4


def test_an_unknown_topic_is_refused() -> None:
    with pytest.raises(ValueError, match=r"topic: expected map\.navigation"):
        Subscriber("ipc:///tmp/none", ["map.other"])


def test_time_outs_name_what_did_not_come(tmp_path: Path) -> None:
    with (
        Commander(f"ipc://{tmp_path}/commands", timeout_s=0.2) as commander,
        pytest.raises(TimeoutError, match=r"command no_op: no service within 0\.2 s"),
    ):
        commander.send("no_op")
    frame = np.zeros((16, 16), dtype=np.uint8)
    with FrameSender(f"ipc://{tmp_path}/frames") as camera, pytest.raises(TimeoutError, match="no service took frame"):
        camera.send(frame, timeout_s=0.2)


class Link:
    """A TCP link to an ipc:// endpoint that can go silent: nothing passes, nobody is let in, nothing is closed."""

    def __init__(self, endpoint: str) -> None:
        self._path = endpoint.removeprefix("ipc://")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._silent = threading.Event()
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._silent.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._path)
            self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while (data := source.recv(65536)) and not self._silent.is_set():
                sink.sendall(data)
        except OSError:
            return

    def go_silent(self) -> None:
        self._silent.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def close(self) -> None:
        for end in self._ends:
            end.close()


@pytest.mark.slow
def test_nothing_is_sent_over_a_link_that_went_silent(tiny_bundle: Path, tmp_path: Path) -> None:
    with running_service(tmp_path, tiny_bundle) as service:
        frames, commands = Link(service.endpoints["frames"]), Link(service.endpoints["commands"])
        with FrameSender(frames.endpoint) as camera, Commander(commands.endpoint, timeout_s=5.0) as commander:
            commander.send("no_op")
            camera.send(body_frame(40, 60, 12, seed=1))
            frames.go_silent()
            commands.go_silent()
            time.sleep(10.0)  # a heartbeat asks within two seconds, and gives up six after that
            with pytest.raises(TimeoutError, match="no service within"):
                commander.send("no_op")
            with pytest.raises(TimeoutError, match="no service took frame 1"):
                camera.send(body_frame(40, 60, 12, seed=1), timeout_s=0.5)
        frames.close()
        commands.close()
