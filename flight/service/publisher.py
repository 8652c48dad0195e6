"""Products: the header around the worker's planes, numbered and sent."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import zmq

from flight.bundle import Bundle
from flight.icd.catalogue import status_of
from flight.icd.limits import PRODUCT_TOPICS, SCHEMA_VERSION, TOPIC_HAZARD, TOPIC_NAVIGATION
from flight.icd.products import ProductError, decode_product, encode_product
from flight.service.intake import PendingFrame
from flight.service.parameters import Parameters
from flight.service.protocol import MapsAnswer
from flight.service.statistics import Counters, Latencies


@dataclass(frozen=True)
class Work:
    """A frame, what it was to be processed with and for, and when the worker got it (monotonic, s)."""

    pending: PendingFrame
    bundle: Bundle
    parameters: Parameters
    seed: int
    topics: tuple[str, ...]
    dispatched: float


class Publisher:
    """Sends products, numbered per topic, and counts them."""

    def __init__(self, socket: zmq.Socket[bytes], counters: Counters, latencies: Latencies) -> None:
        self._socket = socket
        self._counters = counters
        self._latencies = latencies
        self._sequences = dict.fromkeys(PRODUCT_TOPICS, 0)

    def publish_maps(self, work: Work, answer: MapsAnswer, flags: list[str]) -> None:
        """Publish what the worker answered. flags: further ones than the worker's.

        Every product is checked as a consumer would before any is sent: a worker whose memory was upset may answer
        anything. Raises ProductError for an answer that makes no products.
        """
        answered = time.monotonic()
        timing = {
            "queue": 1e3 * (work.dispatched - work.pending.received),
            **{stage: answer.timing_ms[stage] for stage in ("center", "passes", "fuse")},
        }
        inside = timing["center"] + timing["passes"] + timing["fuse"]
        # What the worker's answer took beyond its own stages: making the planes and carrying both ways.
        timing["publish"] = max(1e3 * (answered - work.dispatched) - inside, 0.0)
        header = _header(work, [*answer.flags, *flags], timing)
        header["passes_used"] = answer.passes_used
        header["map_to_sensor"] = answer.map_to_sensor
        if tuple(answer.topics) != work.topics:
            raise ProductError(f"topics: expected {', '.join(work.topics)}, got {', '.join(answer.topics)}")
        products, taken = [], 0
        for topic, entries in answer.topics.items():
            planes = answer.planes[taken : taken + len(entries)]
            product = self._product(topic, {**header, "planes": entries}, planes)
            decode_product(product)
            products.append((topic, product))
            taken += len(entries)
        for topic, product in products:
            self._send(topic, product)
        self._counters.count("frames_processed")
        self._latencies.add({**timing, "total": 1e3 * (time.monotonic() - work.pending.received)})

    def publish_invalid(self, work: Work, flag: str) -> None:
        """Say that there is no map for a frame."""
        timing = dict.fromkeys(("center", "passes", "fuse", "publish"), 0.0)
        timing["queue"] = 1e3 * (work.dispatched - work.pending.received)
        header = _header(work, [flag], timing)
        for topic in (TOPIC_NAVIGATION, TOPIC_HAZARD):
            self._send(topic, self._product(topic, header, ()))

    def _product(self, topic: str, header: dict[str, Any], planes: Sequence[bytes]) -> list[bytes]:
        numbers = {"sequence": self._sequences[topic], "published_time_ns": time.time_ns()}
        return encode_product({**header, "topic": topic, **numbers}, planes)

    def _send(self, topic: str, product: list[bytes]) -> None:
        self._sequences[topic] += 1
        self._socket.send_multipart(product, flags=zmq.NOBLOCK, copy=False)
        self._counters.count("products_published", topic)


def _header(work: Work, flags: list[str], timing_ms: dict[str, float]) -> dict[str, Any]:
    frame = work.pending.frame.header
    return {
        "schema": SCHEMA_VERSION,
        "type": "map",
        "topic": "",
        "sequence": 0,
        "source": frame["source"],
        "epoch": frame["epoch"],
        "frame_id": frame["frame_id"],
        "capture_time_ns": frame["capture_time_ns"],
        "received_time_ns": work.pending.received_time_ns,
        "published_time_ns": 0,
        "status": status_of(flags),
        "flags": flags,
        "bundle": work.bundle.identity,
        "mode": work.parameters.mode,
        "gamma": work.parameters.gamma,
        "passes_requested": work.parameters.passes,
        "passes_used": 0,
        "seed": work.seed,
        "uncertainty_threshold": work.parameters.uncertainty_threshold,
        "map_to_sensor": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "classes": [{"index": c.index, "name": c.name, "role": c.role} for c in work.bundle.classes],
        "timing_ms": timing_ms,
        "planes": [],
    }
