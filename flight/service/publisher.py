"""Products: the header around the worker's planes, numbered and sent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import zmq

from flight.bundle import Bundle
from flight.icd.catalogue import status_of
from flight.icd.limits import PRODUCT_TOPICS, SCHEMA_VERSION, TOPIC_HAZARD, TOPIC_NAVIGATION
from flight.icd.products import ProductError, decode_product, encode_product
from flight.schema import shown
from flight.service.intake import PendingFrame
from flight.service.parameters import Parameters
from flight.service.statistics import Counters, Latencies


@dataclass(frozen=True)
class Work:
    """A frame, what it was to be processed with and for, and when the worker got it (monotonic, s)."""

    job: int
    pending: PendingFrame
    bundle: Bundle
    parameters: Parameters
    seed: int
    topics: tuple[str, ...]
    dispatched: float


class Publisher:
    """Sends products, numbered per topic, and counts them."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._sequences = dict.fromkeys(PRODUCT_TOPICS, 0)

    def maps(
        self,
        work: Work,
        message: dict[str, Any],
        planes: list[bytes],
        flags: list[str],
        counters: Counters,
        latencies: Latencies,
    ) -> None:
        """Publish what the worker answered. flags: further ones than the worker's.

        Every product is checked as a consumer would before any is sent: a worker whose memory was upset may answer
        anything. Raises ProductError, KeyError, TypeError or ValueError for an answer that makes no products.
        """
        answered = time.monotonic()
        timing = {
            "queue": 1e3 * (work.dispatched - work.pending.received),
            "center": message["timing_ms"]["center"],
            "passes": message["timing_ms"]["passes"],
            "fuse": message["timing_ms"]["fuse"],
        }
        inside = timing["center"] + timing["passes"] + timing["fuse"]
        # What the worker's answer took beyond its own stages: making the planes and carrying both ways.
        timing["publish"] = max(1e3 * (answered - work.dispatched) - inside, 0.0)
        header = _header(work, [*message["flags"], *flags], timing)
        header["passes_used"] = message["passes_used"]
        header["map_to_sensor"] = message["map_to_sensor"]
        if tuple(message["topics"]) != work.topics:
            raise ProductError(f"topics: expected {', '.join(work.topics)}, got {shown(message['topics'])}")
        products, taken = [], 0
        for topic, entries in message["topics"].items():
            product = self._product(topic, {**header, "planes": entries}, planes[taken : taken + len(entries)])
            decode_product(product)
            products.append((topic, product))
            taken += len(entries)
        for topic, product in products:
            self._send(topic, product, counters)
        counters.frames_processed += 1
        latencies.add({**timing, "total": 1e3 * (time.monotonic() - work.pending.received)})

    def invalid(self, work: Work, flag: str, counters: Counters) -> None:
        """Say that there is no map for a frame."""
        timing = dict.fromkeys(("center", "passes", "fuse", "publish"), 0.0)
        timing["queue"] = 1e3 * (work.dispatched - work.pending.received)
        header = _header(work, [flag], timing)
        for topic in (TOPIC_NAVIGATION, TOPIC_HAZARD):
            self._send(topic, self._product(topic, header, []), counters)

    def _product(self, topic: str, header: dict[str, Any], planes: list[bytes]) -> list[bytes]:
        numbers = {"sequence": self._sequences[topic], "published_time_ns": time.time_ns()}
        return encode_product({**header, "topic": topic, **numbers}, planes)

    def _send(self, topic: str, product: list[bytes], counters: Counters) -> None:
        self._sequences[topic] += 1
        self._socket.send_multipart(product, flags=zmq.NOBLOCK, copy=False)
        counters.products_published[topic] += 1


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
