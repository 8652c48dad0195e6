"""Publishes products: the header around the worker's planes, with sequence numbers per topic."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import zmq

from flight.bundle import Bundle
from flight.icd.catalogue import worst_status
from flight.icd.limits import PRODUCT_TOPICS, SCHEMA_VERSION
from flight.icd.product_message import ProductError, check_product, encode_product
from flight.service.answer_check import check_maps
from flight.service.intake import PendingFrame
from flight.service.parameters import Parameters
from flight.service.protocol import MapsAnswer
from flight.service.statistics import Counters, Latencies
from flight.settings import describe_rule


@dataclass(frozen=True)
class OpenJob:
    """The job of a frame, until its products are published.

    Attributes:
        pending: the frame.
        bundle: that serves.
        parameters: in force when the job was made.
        seed: of the dropout masks.
        topics: products that are wanted.
        dispatched: when the job was made, monotonic clock, s.
    """

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

    def publish_maps(self, job: OpenJob, answer: MapsAnswer, flags: list[str]) -> None:
        """Publish what the worker answered.

        Every product is checked as a consumer would check it before any is sent: a worker whose memory is corrupted may
        answer anything.

        Args:
            job: that the worker answered.
            answer: of the worker.
            flags: to add to the worker's.

        Raises:
            ProductError: the answer makes no valid products; nothing is sent.
        """
        answered = time.monotonic()
        timing = {
            "queue": 1e3 * (job.dispatched - job.pending.received),
            **{stage: answer.timing_ms[stage] for stage in ("center", "passes", "fuse")},
        }
        inside = timing["center"] + timing["passes"] + timing["fuse"]
        # The rest of the worker's time: making the planes, and the transfer of frame and planes.
        timing["publish"] = max(1e3 * (answered - job.dispatched) - inside, 0.0)
        header = _header(job, [*answer.flags, *flags], timing)
        header["passes_used"] = answer.passes_used
        header["engine"] = answer.engine
        header["map_to_sensor"] = answer.map_to_sensor
        if tuple(answer.topics) != job.topics:
            raise ProductError(f"topics: expected {', '.join(job.topics)}, got {', '.join(answer.topics)}")
        products, taken = [], 0
        for topic, entries in answer.topics.items():
            planes = answer.planes[taken : taken + len(entries)]
            product = self._product(topic, {**header, "planes": entries}, planes)
            check_maps(check_product(product), job.pending.frame.header)
            products.append((topic, product))
            taken += len(entries)
        for topic, product in products:
            self._send(topic, product)
        self._counters.count("frames_processed")
        self._latencies.add({**timing, "total": 1e3 * (time.monotonic() - job.pending.received)})

    def publish_invalid(self, job: OpenJob, flag: str) -> None:
        """Publish that there is no map for a frame, on every topic that was wanted. flag: why."""
        timing = dict.fromkeys(("center", "passes", "fuse", "publish"), 0.0)
        timing["queue"] = 1e3 * (job.dispatched - job.pending.received)
        header = _header(job, [flag], timing)
        for topic in job.topics:
            self._send(topic, self._product(topic, header, ()))

    def _product(self, topic: str, header: dict[str, Any], planes: Sequence[bytes]) -> list[bytes]:
        numbers = {"sequence": self._sequences[topic], "published_time_ns": time.time_ns()}
        return encode_product({**header, "topic": topic, **numbers}, planes)

    def _send(self, topic: str, product: list[bytes]) -> None:
        self._sequences[topic] += 1
        self._socket.send_multipart(product, flags=zmq.NOBLOCK, copy=False)
        self._counters.count("products_published", topic)


def _header(job: OpenJob, flags: list[str], timing_ms: dict[str, float]) -> dict[str, Any]:
    frame = job.pending.frame.header
    return {
        "schema": SCHEMA_VERSION,
        "type": "map",
        "topic": "",
        "sequence": 0,
        "source": frame["source"],
        "epoch": frame["epoch"],
        "frame_id": frame["frame_id"],
        "capture_time_ns": frame["capture_time_ns"],
        "received_time_ns": job.pending.received_time_ns,
        "published_time_ns": 0,
        "status": worst_status(flags),
        "flags": flags,
        "bundle": job.bundle.identity,
        "mode": job.parameters.mode,
        "gamma": job.parameters.gamma,
        "passes_requested": job.parameters.passes,
        "passes_used": 0,
        "seed": job.seed,
        **describe_rule(job.bundle, job.parameters),
        "map_to_sensor": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "classes": [{"index": c.index, "name": c.name, "role": c.role} for c in job.bundle.classes],
        "timing_ms": timing_ms,
        "planes": [],
    }
