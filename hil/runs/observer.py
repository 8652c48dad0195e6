"""Listens to the service during a run: products measured as they come, events and housekeeping kept."""

from __future__ import annotations

import heapq
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.client import ConnectionClosed
from flight.icd.limits import TOPIC_EVENT, TOPIC_HAZARD, TOPIC_NAVIGATION
from flight.icd.products import Product
from flight.recomputation import product_digest
from flight.schema import format_text
from hil.runs import measures
from hil.runs.record import EventRecord, FrameRecord, HousekeepingRecord, RunRecord
from hil.runs.target import Target
from hil.sources.frames import TruthClass

# Truth masks of frames that wait for their products.
_WAITING = 64
_PICTURES = 6
_WAIT_S = 0.25
# Topic -> digest of the planes, header.
_Digests = dict[str, tuple[str, dict[str, Any]]]


@dataclass(order=True)
class Picture:
    """Planes of a frame that is among the best or worst. score: by which it is."""

    score: float
    index: int
    affine: list[float] = field(compare=False)
    class_map: NDArray[np.uint8] = field(compare=False)
    entropy: NDArray[Any] = field(compare=False)


class Observer:
    """Everything that a run hears, in two threads of its own.

    Args:
        target: to listen to.
        record: that is filled.
        source: name of the camera whose products count.
        classes: of the truth; empty without one.
        circles_radius_px: least radius of landing circles that are looked for; None: they are not.
    """

    def __init__(
        self,
        target: Target,
        record: RunRecord,
        source: str,
        classes: tuple[TruthClass, ...],
        circles_radius_px: float | None,
    ) -> None:
        self.record, self._source, self._classes = record, source, classes
        self._radius_px = circles_radius_px
        self.began = time.monotonic()
        self.digests: dict[int, _Digests] = {}
        self.best: list[Picture] = []
        self.worst: list[Picture] = []
        self.state = ""
        self.answered = 0
        self.malformed = 0
        self._frames: dict[tuple[int, int], FrameRecord] = {}
        self._truths: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._earlier: dict[str, int] = {}
        self._uptime = 0.0
        self._ending = threading.Event()
        self._news = threading.Condition()
        self._products, self._telemetry = target.subscriber(), target.telemetry()
        self._threads = [
            threading.Thread(target=run, name=f"observer-{run.__name__}", daemon=True)
            for run in (self._receive_products, self._receive_telemetry)
        ]
        self._faults: list[BaseException] = []

    def start(self) -> None:
        """Begin to listen; what was subscribed before may have queued up since."""
        for thread in self._threads:
            thread.start()

    def begin(self) -> None:
        """The run begins now: what was heard before is not its own, but for the state."""
        self.began = time.monotonic()
        self.record.events.clear()
        self.record.housekeeping.clear()
        self.record.states[:] = [(0.0, self.state)] if self.state else []

    def stop(self) -> None:
        """End listening. Raises what a thread ended by."""
        self._ending.set()
        for connection in (self._products, self._telemetry):
            connection.close()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(10.0)
        if self._faults:
            raise RuntimeError(f"observer: {self._faults[0]!r}") from self._faults[0]

    def seconds(self) -> float:
        """Since the run's begin."""
        return time.monotonic() - self.began

    def expect(self, frame: FrameRecord, truth: NDArray[np.uint8] | None) -> None:
        """Take note of a frame, before it is sent."""
        with self._news:
            self._frames[frame.epoch, frame.frame_id] = frame
            if truth is not None:
                self._truths[frame.index] = truth
                while len(self._truths) > _WAITING:
                    self._truths.popitem(last=False)

    def wait_for(self, frame: FrameRecord, timeout_s: float) -> bool:
        """Wait until a frame is answered; whether it was in time."""
        with self._news:
            return self._news.wait_for(lambda: frame.answered_s is not None, timeout_s)

    def wait_for_hazards(self, timeout_s: float = 1.0) -> None:
        """Wait until the last frame's hazard product came too, or for a while: it is sent after the other one."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            last = max(self.digests, default=None)
            if last is None or len(self.digests[last]) > 1:
                return
            time.sleep(0.02)

    def take_status(self, status: dict[str, Any]) -> None:
        """Take in the reply to get_status, as housekeeping."""
        self._take_housekeeping(status)

    def _receive_products(self) -> None:
        try:
            while not self._ending.is_set():
                product = self._products.receive(_WAIT_S)
                self.malformed = self._products.statistics.malformed
                if product is not None and product.header["source"] == self._source:
                    self._take(product, self.seconds())
        except ConnectionClosed:
            return
        except Exception as error:  # told at the end: without it, frames would only seem lost
            self._faults.append(error)

    def _take(self, product: Product, seconds: float) -> None:
        header = product.header
        with self._news:
            frame = self._frames.get((header["epoch"], header["frame_id"]))
            truth = self._truths.get(frame.index) if frame is not None else None
        if frame is None:
            return
        if product.planes:
            self.digests.setdefault(frame.index, {})[product.topic] = (product_digest(product), header)
        if product.topic == TOPIC_NAVIGATION:
            self._take_navigation(frame, product, truth)
            frame.answered_s = seconds
            self.answered += 1
            with self._news:
                self._news.notify_all()
        elif product.topic == TOPIC_HAZARD and self._radius_px is not None and truth is not None and product.planes:
            in_map = measures.truth_in_map(truth, product)
            count, pixels, hazards = measures.count_circle_pixels(product, in_map, self._classes, self._radius_px)
            frame.circles, frame.circle_pixels = count, (pixels, hazards)

    def _take_navigation(self, frame: FrameRecord, product: Product, truth: NDArray[np.uint8] | None) -> None:
        header = product.header
        frame.status, frame.passes_used = product.status, header["passes_used"]
        frame.flags = tuple(format_text(flag, 64) for flag in header["flags"])
        frame.bundle = header["bundle"]["sha256"]
        if not self.record.classes:
            self.record.classes = [format_text(entry["name"], 64) for entry in header["classes"]]
            self.record.roles = [str(entry["role"]) for entry in header["classes"]]
        if not product.planes:
            return
        frame.entropy = measures.mean_entropy(product)
        score = -frame.entropy
        if truth is not None:
            in_map = measures.truth_in_map(truth, product)
            frame.confusion = measures.count_confusion(
                in_map, np.asarray(product.planes["class_map"], np.uint8), len(self._classes), len(header["classes"])
            )
            frame.centroid_error_px, frame.fix = measures.centroid_error(product, truth, self._classes)
            if len(self._classes) == len(header["classes"]):
                score = measures.mean_iou(np.array(frame.confusion))
        self._keep_picture(score, frame.index, product)

    def _keep_picture(self, score: float, index: int, product: Product) -> None:
        """Keep the planes of a frame that is one of the best or worst so far."""
        if not np.isfinite(score):
            return
        for kept, sign in ((self.best, 1.0), (self.worst, -1.0)):
            if len(kept) == _PICTURES and sign * score <= kept[0].score:
                continue
            planes = product.planes
            picture = Picture(
                sign * score,
                index,
                list(product.header["map_to_sensor"]),
                np.array(planes["class_map"], np.uint8),
                planes["predictive_entropy"].copy(),
            )
            heapq.heappush(kept, picture)
            if len(kept) > _PICTURES:
                heapq.heappop(kept)

    def _receive_telemetry(self) -> None:
        try:
            while not self._ending.is_set():
                received = self._telemetry.receive(_WAIT_S)
                if received is None:
                    continue
                topic, fields = received
                if topic == TOPIC_EVENT:
                    self._take_event(fields)
                else:
                    self._take_housekeeping(fields)
        except ConnectionClosed:
            return
        except Exception as error:
            self._faults.append(error)

    def _take_event(self, fields: dict[str, Any]) -> None:
        event = EventRecord(
            self.seconds(),
            format_text(fields["name"], 64),
            str(fields["severity"]),
            format_text(fields["message"], 300),
            int(fields["count_suppressed"]),
        )
        self.record.events.append(event)

    def _take_housekeeping(self, fields: dict[str, Any]) -> None:
        seconds, state = self.seconds(), str(fields["state"])
        total = fields["latency_ms"].get("total") or {}
        latency = total.get("p50") if isinstance(total, dict) else None
        self.record.housekeeping.append(
            HousekeepingRecord(seconds, state, int(fields["resident_memory_bytes"]), latency)
        )
        if state != self.state:
            self.record.states.append((seconds, state))
            self.state = state
        if fields["uptime_s"] < self._uptime:  # another start, which counts from 0 again
            self._earlier = dict(_flatten(self.record.counters))
        self._uptime = fields["uptime_s"]
        self.record.counters = {
            name: value + self._earlier.get(name, 0) for name, value in _flatten(fields["counters"]).items()
        }


def _flatten(counters: dict[str, Any]) -> dict[str, int]:
    """Counters by name, those by reason as NAME.REASON."""
    flat: dict[str, int] = {}
    for name, value in counters.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{format_text(reason, 64)}": int(count) for reason, count in value.items()}
        else:
            flat[name] = int(value)
    return flat
