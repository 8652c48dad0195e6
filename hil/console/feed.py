"""What the console has received, newest first in mind: one thread puts it in, another looks at it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flight.client.bit_depth import FrameImage
from flight.icd.frames import FrameError, decode_frame
from flight.icd.limits import TOPIC_FULL, TOPIC_NAVIGATION
from flight.icd.products import Product, ProductError, decode_product
from hil.recording.channels import read_header

# What is kept of what has gone by.
_MOST_EVENTS = 300
_MOST_POINTS = 600
# Frames that wait for their maps.
_MOST_FRAMES = 16
_FRAME_BYTES = 96 << 20
# Maps of which one product has come, and the other not yet.
_MOST_MAPS = 4

FrameKey = tuple[str, int, int]  # source, epoch, frame_id


@dataclass
class Numbered:
    """What was taken in, with a number that counts up: whoever has seen one asks for those after it."""

    number: int
    value: dict[str, Any]


@dataclass
class Maps:
    """The products of one frame.

    Attributes:
        frame_id: of the frame.
        number: changes whenever something is added.
        received: time.monotonic() of the last one.
        products: by topic.
        frame: the frame itself; None if it is not known.
    """

    frame_id: int
    number: int
    received: float
    products: dict[str, Product] = field(default_factory=dict)
    frame: FrameImage | None = None


class ConsoleFeed:
    """Takes messages of the wire, malformed ones too, and keeps what the page shows. For any threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._malformed = 0
        self._housekeeping: tuple[float, dict[str, Any]] | None = None
        self._events: deque[Numbered] = deque(maxlen=_MOST_EVENTS)
        self._points: deque[Numbered] = deque(maxlen=_MOST_POINTS)
        self._frames: OrderedDict[FrameKey, FrameImage] = OrderedDict()
        self._maps: OrderedDict[FrameKey, Maps] = OrderedDict()

    def add(self, kind: str, parts: Sequence[bytes]) -> None:
        """Take in a message. kind: one of hil.recording.channels.KINDS."""
        with self._lock:
            if kind == "frame":
                self._add_frame(parts)
            elif kind == "product":
                self._add_product(parts)
            elif kind == "telemetry":
                self._add_telemetry(parts)

    def _next_number(self) -> int:
        self._count += 1
        return self._count

    def _add_frame(self, parts: Sequence[bytes]) -> None:
        try:
            frame = decode_frame(parts)
        except FrameError:
            self._malformed += 1
            return
        header = frame.header
        key = (header["source"], header["epoch"], header["frame_id"])
        self._frames[key] = FrameImage(frame.pixels, header["bit_depth"])
        while len(self._frames) > 1 and (
            len(self._frames) > _MOST_FRAMES
            or sum(image.pixels.nbytes for image in self._frames.values()) > _FRAME_BYTES
        ):
            self._frames.popitem(last=False)

    def _add_product(self, parts: Sequence[bytes]) -> None:
        try:
            product = decode_product(parts)
        except ProductError:
            self._malformed += 1
            return
        if product.topic == TOPIC_FULL:
            return
        key = product.frame_key
        maps = self._maps.setdefault(key, Maps(key[2], 0, 0.0, frame=self._frames.get(key)))
        maps.number, maps.received = self._next_number(), time.monotonic()
        maps.products[product.topic] = product
        while len(self._maps) > _MOST_MAPS:
            self._maps.popitem(last=False)
        if product.topic == TOPIC_NAVIGATION:
            header = product.header
            point = {
                "time_ms": header["published_time_ns"] / 1e6,
                "latency_ms": (header["published_time_ns"] - header["received_time_ns"]) / 1e6,
                "status": product.status,
            }
            self._points.append(Numbered(self._next_number(), point))

    def _add_telemetry(self, parts: Sequence[bytes]) -> None:
        found = read_header("telemetry", parts)
        if found is None:
            self._malformed += 1
            return
        name, values = found
        if name == "housekeeping":
            self._housekeeping = (time.monotonic(), values)
            point = {"time_ms": values["time_ns"] / 1e6, "state": values["state"]}
            self._points.append(Numbered(self._next_number(), point))
        else:
            self._events.append(Numbered(self._next_number(), values))

    @property
    def malformed(self) -> int:
        """Messages that broke the contract."""
        return self._malformed

    def housekeeping(self) -> tuple[float, dict[str, Any]] | None:
        """Seconds since the newest housekeeping came, and its fields; None before any came."""
        with self._lock:
            if self._housekeeping is None:
                return None
            received, values = self._housekeeping
        return time.monotonic() - received, values

    def newer(self, number: int) -> tuple[list[Numbered], list[Numbered]]:
        """The events, and the points of the plots, with a larger number."""
        with self._lock:
            return (
                [event for event in self._events if event.number > number],
                [point for point in self._points if point.number > number],
            )

    def newest_maps(self) -> Maps | None:
        """The newest frame's products: of the newest frame with a navigation product, valid or not; None for none."""
        with self._lock:
            for maps in reversed(self._maps.values()):
                if TOPIC_NAVIGATION in maps.products:
                    return replace(maps, products=dict(maps.products))
            return None
