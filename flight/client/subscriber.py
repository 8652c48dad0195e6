"""Subscribing to map products: verified, losses counted, always the newest."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from flight.client.connection import Connection
from flight.icd.limits import DEFAULT_ENDPOINTS, PRODUCT_TOPICS, TOPIC_NAVIGATION
from flight.icd.products import Product, ProductError, decode_product

# How often the thread of newest mode looks whether it is to end.
_CLOSE_CHECK_MS = 50


@dataclass
class SubscriberStatistics:
    """What happened to the products of each topic.

    received: verified. lost: gaps in the sequence. skipped: verified, but replaced by a newer one before the
    caller asked. malformed: failed a check; never handed over. last_error: of the last malformed one.
    """

    received: int = 0
    lost: int = 0
    skipped: int = 0
    malformed: int = 0
    restarts: int = 0
    last_error: str = ""
    _next_sequence: dict[str, int] = field(default_factory=dict)

    def note(self, topic: str, sequence: int) -> None:
        """Count one verified product and the gap before it."""
        self.received += 1
        expected = self._next_sequence.get(topic)
        if expected is not None and sequence > expected:
            self.lost += sequence - expected
        elif expected is not None and sequence < expected:
            self.restarts += 1  # the service began anew
        self._next_sequence[topic] = sequence + 1


class Subscriber(Connection):
    """Receives products. Not safe for use from two threads at once.

    endpoint: the service's products socket. topics: any of map.navigation, map.hazard, map.full. newest: keep and
    hand over only the newest product of each topic (what guidance wants); False hands over every product that
    arrived, oldest first (what a recorder wants). keys: see Connection. Reconnects by itself when the service restarts.

    In newest mode a thread empties the socket all the time: queues, once full, keep the oldest messages, so that
    emptying them only when asked would hand over stale ones after a pause.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINTS["products"],
        topics: Sequence[str] = (TOPIC_NAVIGATION,),
        *,
        newest: bool = True,
        queue: int = 16,
        keys: Path | None = None,
    ) -> None:
        for topic in topics:
            if topic not in PRODUCT_TOPICS:
                raise ValueError(f"topic: expected {' | '.join(PRODUCT_TOPICS)}, got {topic}")
        super().__init__(zmq.SUB, endpoint, {zmq.RCVHWM: queue, zmq.LINGER: 0, zmq.RECONNECT_IVL_MAX: 1000}, keys)
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode("ascii"))
        self.statistics = SubscriberStatistics()
        self._waiting: dict[str, Product] = {}
        self._arrived = threading.Condition()
        self._closing = threading.Event()
        self._collector: threading.Thread | None = None
        if newest:
            self._collector = threading.Thread(target=self._collect, name="rubblemap-subscriber", daemon=True)
            self._collector.start()

    def receive(self, timeout_s: float | None = None) -> Product | None:
        """The next product, or None when none came within the time-out (None: wait without end)."""
        if self._collector is not None:
            with self._arrived:
                self._arrived.wait_for(lambda: self._waiting, timeout_s)
                if not self._waiting:
                    return None
                return self._waiting.pop(next(iter(self._waiting)))
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if not self._socket.poll(None if left is None else math.ceil(left * 1000.0)):
                return None
            product = self._take()
            if product is not None:
                return product

    def __iter__(self) -> Iterator[Product]:
        """Products without end."""
        while True:
            product = self.receive()
            if product is not None:
                yield product

    def close(self) -> None:
        """Close the socket, after ending the thread that reads it."""
        self._closing.set()
        if self._collector is not None:
            self._collector.join()
        super().close()

    def _collect(self) -> None:
        """Runs in the thread of newest mode, which alone uses the socket: a later product replaces a waiting one."""
        while not self._closing.is_set():
            if not self._socket.poll(_CLOSE_CHECK_MS):
                continue
            product = self._take()
            if product is None:
                continue
            with self._arrived:
                if self._waiting.pop(product.topic, None) is not None:
                    self.statistics.skipped += 1
                self._waiting[product.topic] = product
                self._arrived.notify()

    def _take(self) -> Product | None:
        """The next product off the socket; None when nothing is there or it failed a check."""
        try:
            product = decode_product(self._socket.recv_multipart(flags=zmq.NOBLOCK))
        except zmq.Again:
            return None
        except ProductError as error:
            self.statistics.malformed += 1
            self.statistics.last_error = str(error)
            return None
        self.statistics.note(product.topic, product.header["sequence"])
        return product
