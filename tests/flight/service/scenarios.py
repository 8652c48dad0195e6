"""What tests of flight operations share: other bundles, damage, a journal of the events, a stream of frames."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from flight.bundle import Bundle, write_sums
from flight.client import Commander
from flight.icd.catalogue import EVENTS
from flight.icd.products import Product
from flight.inference.engine import Engine
from flight.inference.planes import topic_planes
from flight.service.events import Event
from flight.settings import default_settings
from tests.flight.service_process import RunningService, running_service
from tests.tiny_bundle import body_frame

FRAME = body_frame(40, 60, 14)
_LINE = re.compile(r"\w+ +(\w+): (.*)")


def variant(bundle: Path, folder: Path, version: str, **defaults: Any) -> Path:
    """A copy of a bundle with another version and other default parameters: another identity, the same networks."""
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["version"] = version
    manifest["defaults"].update(defaults)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_sums(folder)
    return folder


def damage(path: Path) -> None:
    """Flip one bit in the middle of a file, leaving its length."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def storage(folder: Path) -> str:
    """Configuration lines: state in `folder`/state, bundles to load in `folder`/uplink."""
    (folder / "uplink").mkdir(exist_ok=True)
    return f'[storage]\nstate = "{folder / "state"}"\nbundles = "{folder / "uplink"}"\n'


class RecordingSink:
    """A sink that keeps what it is sent, in place of the service's."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def send(self, name: str, /, **arguments: Any) -> None:
        self.send_event(Event(name, **arguments))

    def send_event(self, event: Event, times: int = 1) -> None:
        self.sent += [(event.name, event.message)] * times


class Journal:
    """The events that a service has written to its standard error, those of its start included."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def text(self) -> str:
        """Everything that was written so far."""
        return self._path.read_text(errors="replace")

    def events(self) -> list[tuple[str, str]]:
        """(name, message) of every event so far."""
        matches = map(_LINE.match, self.text().splitlines())
        return [(match[1], match[2]) for match in matches if match and match[1] in EVENTS]

    def messages(self, name: str) -> list[str]:
        """The messages of every event of one name."""
        return [message for event, message in self.events() if event == name]

    def wait_for(self, name: str, count: int = 1, timeout_s: float = 60.0) -> str:
        """Wait until an event has come `count` times; its last message."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            messages = self.messages(name)
            if len(messages) >= count:
                return messages[-1]
            time.sleep(0.05)
        raise AssertionError(f"no {name}; events: {self.events()}")


@contextmanager
def journaled_service(
    folder: Path,
    bundle: Path,
    settings: str = "",
    ready: str = "ready",
    environment: dict[str, str] | None = None,
) -> Iterator[tuple[RunningService, Journal]]:
    """A running service and its events from this start on."""
    path = folder / f"events{time.monotonic_ns()}.log"
    with (
        path.open("w") as log,
        running_service(folder, bundle, settings, ready, log.fileno(), environment) as service,
    ):
        yield service, Journal(path)


def command(service: RunningService, name: str, /, **arguments: Any) -> dict[str, Any]:
    """Send a command that takes time."""
    with Commander(service.endpoints["commands"], timeout_s=60.0) as commander:
        return commander.send(name, **arguments)


def wait_for_storage(service: RunningService) -> None:
    """Wait until what the service has noted so far is written: a change comes after it."""
    service.command("set_parameter", name="publish_full", value=False)


def answer(service: RunningService, source: str, count: int = 1) -> list[Product]:
    """Send frames one by one; the navigation product of each."""
    products = []
    with service.subscriber("map.navigation") as subscriber, service.camera(source=source) as camera:
        for _ in range(count):
            frame_id = camera.send(FRAME, centered=True)
            product = subscriber.receive(120)
            assert product is not None
            assert product.header["frame_id"] == frame_id
            products.append(product)
    return products


def assert_offline_answer(product: Product, bundle: Bundle, frame: np.ndarray = FRAME) -> None:
    """A product is, bit for bit, what the engine gives for its seed with the bundle's defaults."""
    assert product.status == "valid"
    assert product.header["bundle"] == bundle.identity
    settings = default_settings(bundle)
    maps = Engine(bundle).segment(frame, bit_depth=8, centered=True, seed=product.header["seed"], settings=settings)
    for name, plane, _ in topic_planes(maps, bundle.classes, product.topic, settings):
        assert plane.tobytes() == product.planes[name].tobytes(), name


@dataclass
class Stream:
    """Frames at a rate from one camera, and every navigation product, until the block ends.

    sent: how many frames. products: in the order of their coming.
    """

    service: RunningService
    per_second: float = 10.0
    source: str = "stream"

    def __post_init__(self) -> None:
        self.sent = 0
        self.products: list[Product] = []
        self.lost = 0
        self._last = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._receive, self._send)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
            time.sleep(0.5)
        return self

    def __exit__(self, *_: object) -> None:
        self._last.set()
        for thread in reversed(self._threads):
            thread.join(timeout=60)
            assert not thread.is_alive()

    def wait_for(self, condition: Callable[[list[Product]], bool], timeout_s: float = 60.0) -> None:
        """Wait until the products so far fulfil a condition."""
        deadline = time.monotonic() + timeout_s
        while not condition(self.products):
            assert time.monotonic() < deadline, f"{len(self.products)} products"
            time.sleep(0.05)

    def _send(self) -> None:
        with self.service.camera(source=self.source) as camera:
            while not self._last.is_set():
                camera.send(FRAME, centered=True)
                self.sent += 1
                time.sleep(1.0 / self.per_second)

    def _receive(self) -> None:
        with self.service.subscriber("map.navigation", newest=False) as products:
            quiet = 0
            # After the last frame was sent: until its product is there, or nothing comes any more.
            while quiet < 20:
                product = products.receive(0.25)
                if product is not None:
                    self.products.append(product)
                    quiet = 0
                elif self._last.is_set():
                    quiet += 1
                if self._last.is_set() and self.products and self.products[-1].header["frame_id"] == self.sent - 1:
                    break
            self.lost = products.statistics.lost + products.statistics.malformed
