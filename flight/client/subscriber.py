"""The consumer's client: receives map products, verifies them and counts losses."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from flight.client.connection import Connection
from flight.icd.limits import DEFAULT_ENDPOINTS, LARGEST_GAP, MESSAGE_BYTES, PRODUCT_TOPICS, TOPIC_NAVIGATION
from flight.icd.products import MOST_PARTS, Product, ProductError, decode_product
from flight.schema import format_text

# How often the thread of newest mode checks whether to end.
_CLOSE_CHECK_MS = 50


@dataclass
class SubscriberStatistics:
    """Counts over all topics of a subscriber.

    Attributes:
        received: verified products.
        lost: products missing in the sequences. A gap of more than a million is none, but a restart: one wrong number
            does not count as losses for good.
        skipped: verified products that a newer one replaced before the caller asked for them.
        malformed: products that failed a check; they are never returned.
        restarts: how often a sequence went back, or further ahead than losses explain, because the service restarted.
        last_error: message of the last malformed product, one line of at most 1000 characters.
    """

    received: int = 0
    lost: int = 0
    skipped: int = 0
    malformed: int = 0
    restarts: int = 0
    last_error: str = ""
    _next_sequence: dict[str, int] = field(default_factory=dict)

    def count_product(self, topic: str, sequence: int) -> None:
        """Count a verified product, and the gap in its topic's sequence before it."""
        self.received += 1
        expected = self._next_sequence.get(topic)
        if expected is not None and 0 <= sequence - expected <= LARGEST_GAP:
            self.lost += sequence - expected
        elif expected is not None:
            self.restarts += 1  # of the service, which counts from 0 again
        self._next_sequence[topic] = sequence + 1

    def count_malformed(self, error: Exception) -> None:
        """Count a product that failed a check, and keep why."""
        self.malformed += 1
        self.last_error = format_text(error if str(error) else type(error).__name__, 1000)


class Subscriber(Connection):
    """Receives products; reconnects by itself when the service restarts. Not thread-safe.

    In newest mode a thread reads the socket all the time. Full ZeroMQ queues keep the oldest messages: read only on
    demand, they would give stale products after a pause.

    Args:
        endpoint: the service's products socket.
        topics: any of map.navigation, map.hazard, map.full.
        newest: True keeps only the newest product of each topic, as guidance wants it; False keeps every product in
            the order of arrival, as a recorder wants it.
        queue: messages that ZeroMQ queues at most; later ones are lost.
        largest_part: bytes of the largest part of a message, a plane or the header. The default is the ICD's limit;
            with the size of the maps that are expected, a false service can take less memory.
        keys: see Connection.

    Raises:
        ValueError: unknown topic.
        KeyFileError: see Connection.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINTS["products"],
        topics: Sequence[str] = (TOPIC_NAVIGATION,),
        *,
        newest: bool = True,
        queue: int = 16,
        largest_part: int = MESSAGE_BYTES,
        keys: Path | None = None,
    ) -> None:
        for topic in topics:
            if topic not in PRODUCT_TOPICS:
                raise ValueError(f"topic: expected {' | '.join(PRODUCT_TOPICS)}, got {topic}")
        options: dict[int, int] = {zmq.RCVHWM: queue, zmq.LINGER: 0, zmq.RECONNECT_IVL_MAX: 1000}
        super().__init__(zmq.SUB, endpoint, options, largest_part, keys)
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode("ascii"))
        self.statistics = SubscriberStatistics()
        self._waiting: dict[str, Product] = {}
        self._arrived = threading.Condition()
        self._closing = threading.Event()
        self._failure: Exception | None = None
        self._collector: threading.Thread | None = None
        if newest:
            self._collector = threading.Thread(target=self._collect, name="rubblemap-subscriber", daemon=True)
            self._collector.start()

    def receive(self, timeout_s: float | None = None) -> Product | None:
        """Wait for the next product.

        Args:
            timeout_s: None waits without end.

        Returns:
            A verified product, or None if none came in time.

        Raises:
            RuntimeError: the thread of newest mode has ended by a fault, its cause: nothing will come any more.
        """
        if self._collector is not None:
            with self._arrived:
                self._arrived.wait_for(lambda: self._waiting or self._failure, timeout_s)
                if not self._waiting and self._failure is not None:
                    raise RuntimeError("subscriber: its thread has ended") from self._failure
                if not self._waiting:
                    return None
                return self._waiting.pop(next(iter(self._waiting)))
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if not self._socket.poll(None if left is None else math.ceil(left * 1000.0)):
                return None
            product = self._receive_one()
            if product is not None:
                return product

    def __iter__(self) -> Iterator[Product]:
        """Iterate over the products without end."""
        while True:
            product = self.receive()
            if product is not None:
                yield product

    def close(self) -> None:
        """Stop the thread of newest mode and close the socket."""
        self._closing.set()
        if self._collector is not None:
            self._collector.join()
        super().close()

    def _collect(self) -> None:
        """Body of the thread of newest mode, the only user of the socket: a newer product replaces a waiting one."""
        try:
            while not self._closing.is_set():
                if self._socket.poll(_CLOSE_CHECK_MS):
                    self._keep_newest(self._receive_one())
        except Exception as error:
            # No message is the cause, they are dealt with in _receive_one. A caller must not wait for nothing.
            with self._arrived:
                self._failure = error
                self._arrived.notify_all()

    def _keep_newest(self, product: Product | None) -> None:
        if product is None:
            return
        with self._arrived:
            if self._waiting.pop(product.topic, None) is not None:
                self.statistics.skipped += 1
            self._waiting[product.topic] = product
            self._arrived.notify()

    def _receive_one(self) -> Product | None:
        """The next product from the socket; None if there is none or it failed a check."""
        try:
            product = decode_product(self._receive_parts(MOST_PARTS))
        except zmq.Again:
            return None
        except (ProductError, MemoryError) as error:
            self.statistics.count_malformed(error)
            return None
        self.statistics.count_product(product.topic, product.header["sequence"])
        return product
