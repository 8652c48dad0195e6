"""C++ programs against the real service: nothing wrong is handed over, every loss is counted."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flight.client import FrameSender, Refusal, Subscriber, landing_circles, navigation_fix
from flight.icd.products import Product
from flight.keys import make_client_keys, make_service_keys
from tests.flight.gnc.building import Record, run
from tests.flight.service_process import RunningService, running_service
from tests.tiled_bundle import write_network
from tests.tiny_bundle import body_frame

TOPICS = ("map.navigation", "map.hazard")
ROLES = ("camera", "consumer", "commander")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Keys folders by role; that of the service under its name."""
    folder = tmp_path_factory.mktemp("keys")
    make_service_keys(folder / "service")
    for role in ROLES:
        make_client_keys(folder / "service", role, [role], folder / role)
    return {name: folder / name for name in ("service", *ROLES)}


@contextmanager
def service_with_keys(folder: Path, bundle: Path, keys: dict[str, Path]) -> Iterator[RunningService]:
    settings = f"[security]\nkeys = '{keys['service']}'\n[parameters]\npasses = 1\n"
    with running_service(folder, bundle, settings, keys={role: keys[role] for role in ROLES}) as service:
        yield service


class LiveConsumer:
    """The C++ consumer as a process. lines: what it has printed of products, as line_of makes them."""

    def __init__(self, program: Path, endpoint: str, keys: Path) -> None:
        self.lines: list[tuple[str, ...]] = []
        self.statistics: dict[str, dict[str, int]] = {}
        self.malformed = -1
        self._process = subprocess.Popen(
            [program, endpoint, keys, *TOPICS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            words = line.split()
            if words[0] == "product":
                self.lines.append(tuple(words[1:]))
            elif words[0] == "statistics":
                self.statistics[words[1]] = {words[i]: int(words[i + 1]) for i in range(2, len(words), 2)}
            elif words[0] == "malformed":
                self.malformed = int(words[1])

    def has(self, epoch: int, frame_id: int) -> bool:
        """Whether it has printed this frame's product of every topic."""
        wanted = (str(epoch), str(frame_id))
        return {line[0] for line in list(self.lines) if line[2:4] == wanted} == set(TOPICS)

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._reader.join(20)
        assert self._process.wait(20) == 0


class Run:
    """One run of the service: camera, and the Python subscriber that receives every product of it."""

    def __init__(self, service: RunningService, epoch: int, expected: dict[tuple[str, ...], Product]) -> None:
        self.camera: FrameSender = service.camera(source="navcam", epoch=epoch)
        self.products: Subscriber = service.subscriber(*TOPICS, newest=False, queue=1000)
        self.epoch = epoch
        self.expected = expected

    def send(self) -> int:
        frame_id = self.camera.next_frame_id
        return self.camera.send(body_frame(40, 60, 10 + frame_id % 9, seed=1000 * self.epoch + frame_id), centered=True)

    def send_and_receive(self) -> int:
        """Send a frame and wait for its products, so that none is superseded."""
        frame_id = self.send()
        for _ in TOPICS:
            product = self.products.receive(30)
            assert product is not None
            assert product.header["frame_id"] == frame_id
            self.expected[line_of(product)] = product
        return frame_id

    def send_until_seen(self, consumer: LiveConsumer) -> None:
        """Frames one by one until the consumer has one."""
        for _ in range(100):
            frame_id = self.send_and_receive()
            deadline = time.monotonic() + 1.0
            while time.monotonic() < deadline:
                if consumer.has(self.epoch, frame_id):
                    return
                time.sleep(0.01)
        raise AssertionError("no frame reached the consumer")

    def close(self) -> None:
        self.camera.close()
        self.products.close()


def line_of(product: Product) -> tuple[str, ...]:
    """What the consumer is to print of a product."""
    header = product.header
    first = next(iter(product.planes.values()))
    crc = zlib.crc32(np.ascontiguousarray(first).tobytes())
    numbers = (str(header[name]) for name in ("sequence", "epoch", "frame_id"))
    return (product.topic, *numbers, product.status, f"{crc:08x}")


def test_200_frames_with_a_pause_and_a_killed_service(
    sanitized_build: Path, tiny_bundle: Path, tmp_path: Path, keys: dict[str, Path], record_property: Record
) -> None:
    expected: dict[tuple[str, ...], Product] = {}
    program = sanitized_build / "tests/flight/gnc/rubblemap_live_consumer"
    with service_with_keys(tmp_path, tiny_bundle, keys) as service:
        consumer = LiveConsumer(program, service.endpoints["products"], keys["consumer"])
        try:
            first = Run(service, 1, expected)
            first.send_until_seen(consumer)
            # A consumer that stands still loses what the queues do not hold.
            consumer.send_signal(signal.SIGSTOP)
            while first.camera.next_frame_id < 100:
                first.send_and_receive()
            consumer.send_signal(signal.SIGCONT)
            first.send_until_seen(consumer)
            in_flight = [first.send() for _ in range(3)]
            service.process.kill()
            service.process.wait()
            first.close()
            with service_with_keys(tmp_path, tiny_bundle, keys) as again:
                second = Run(again, 2, expected)
                second.send_until_seen(consumer)
                while second.camera.next_frame_id < 100:
                    second.send_and_receive()
                second.send_until_seen(consumer)
                second.close()
        finally:
            consumer.send_signal(signal.SIGCONT)
            consumer.close()

    # Nothing wrong. Of the frames under way when the service was killed, the Python subscriber need not have products.
    unknown = [line for line in consumer.lines if line not in expected]
    assert all(line[2] == "1" and int(line[3]) in in_flight for line in unknown)
    assert len({line[2:4] for line in expected}) >= 200
    assert consumer.malformed == 0
    for topic in TOPICS:
        sequences: dict[str, list[int]] = {"1": [], "2": []}
        for line in consumer.lines:
            if line[0] == topic:
                sequences[line[2]].append(int(line[1]))
        assert all(run == sorted(set(run)) for run in sequences.values())
        counts = consumer.statistics[topic]
        spans = [run[-1] - run[0] + 1 for run in sequences.values()]
        assert counts["restarts"] == 1
        assert counts["received"] == sum(map(len, sequences.values())) + counts["skipped"]
        assert counts["received"] + counts["lost"] == sum(spans)
        assert counts["lost"] > 0
        record_property(f"live_{topic}", f"{counts['received']} received, {counts['lost']} lost")
    record_property("live_frames", len({line[2:4] for line in expected}))
    record_property("live_taken", len(consumer.lines))


def test_frames_and_commands_from_cpp(
    sanitized_build: Path, tiny_bundle: Path, tmp_path: Path, keys: dict[str, Path]
) -> None:
    with service_with_keys(tmp_path, tiny_bundle, keys) as service:
        endpoints = [service.endpoints[name] for name in ("frames", "products", "commands")]
        folders = [keys[role] for role in ROLES]
        output = run(sanitized_build / "tests/flight/gnc/rubblemap_live_flight", *endpoints, *folders).stdout
    assert output.split() == ["frames_accepted", "10", "gamma", "2", "lost", "0"]


@contextmanager
def example(program: Path, service: RunningService, count: int, size: tuple[int, int]) -> Iterator[list[str]]:
    """Run an example for so many products of maps up to this height and width; the list has its lines afterwards."""
    lines: list[str] = []
    arguments = [program, service.endpoints["products"], str(count), service.keys["consumer"], *map(str, size)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        yield lines
        output, _ = process.communicate(timeout=30)
        lines += output.splitlines()
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


def clearance_line(product: Product) -> str:
    clearance = product.planes["clearance"].astype(np.float64)
    v, u = divmod(int(clearance.argmax()), clearance.shape[1])
    a, b, c, d, e, f = product.header["map_to_sensor"]
    return (
        f"frame {product.header['frame_id']}: clearance {clearance.max():.1f} map px at sensor pixel "
        f"{a * u + b * v + c:.1f} {d * u + e * v + f:.1f}"
    )


def navigation_line(product: Product) -> str:
    fix: Any = navigation_fix(product)
    start = f"frame {product.header['frame_id']}: "
    if isinstance(fix, Refusal):
        return f"{start}no fix: {fix.reason}"
    numbers = {
        "centre": ("x", "y"),
        "covariance": ("covariance_xx", "covariance_xy", "covariance_yy"),
        "diameter": ("diameter",),
        "axes": ("major_axis", "minor_axis"),
        "angle": ("major_angle_deg",),
    }
    parts = [f"{name} {' '.join(f'{getattr(fix, field):.6g}' for field in fields)}" for name, fields in numbers.items()]
    sun = "" if fix.sun is None else f" sun {fix.sun.x:.6g} {fix.sun.y:.6g}"
    return f"{start}{' '.join(parts)}{sun}"


def hazard_line(product: Product) -> str:
    found: Any = landing_circles(product, 4.0, 3)
    start = f"frame {product.header['frame_id']}: "
    if isinstance(found, Refusal):
        return f"{start}no circles: {found.reason}"
    circles = [f"; {c.x:.6g} {c.y:.6g} radius {c.radius:.6g} worst {c.worst_probability:.6g}" for c in found.circles]
    return f"{start}{len(circles)} circles{''.join(circles)}"


@pytest.mark.parametrize("larger", [1, 9], ids=["a map of the network's size", "a map in tiles"])
def test_the_examples_print_what_python_makes_of_the_products(
    sanitized_build: Path, tiny_bundle: Path, tmp_path: Path, keys: dict[str, Path], larger: int
) -> None:
    bundle, size = tiny_bundle, (40, 60)
    if larger > 1:
        height, width = size = 40 * larger, 60 * larger
        tiles = {"height": height // 3, "width": width // 3, "overlap": 12, "margin": 2}
        bundle = write_network(tmp_path / "bundle", height, width, tiles)
    expected: dict[str, list[str]] = {"watch": [], "navigation_consumer": [], "hazard_consumer": []}
    with service_with_keys(tmp_path, bundle, keys) as service:
        programs = {name: sanitized_build / f"rubblemap_{name}" for name in expected}
        with (
            example(programs["watch"], service, 3, size) as watch,
            example(programs["navigation_consumer"], service, 3, size) as navigation,
            example(programs["hazard_consumer"], service, 3, size) as hazard,
            service.subscriber(*TOPICS, newest=False) as products,
            service.camera() as camera,
        ):
            time.sleep(1.0)  # the examples' subscriptions
            for number in range(3):
                camera.send(body_frame(*size, larger * (12 + number), seed=number), centered=True)
                for _ in TOPICS:
                    product = products.receive(20)
                    assert product is not None
                    if product.topic == "map.navigation":
                        expected["navigation_consumer"].append(navigation_line(product))
                    else:
                        expected["watch"].append(clearance_line(product))
                        expected["hazard_consumer"].append(hazard_line(product))
                time.sleep(0.2)  # the examples take the newest only
    assert {"watch": watch, "navigation_consumer": navigation, "hazard_consumer": hazard} == expected
