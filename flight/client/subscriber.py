"""The consumer's client: receives map products, verifies them and counts losses."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from flight.client.connection import LONGEST_WAIT_S, Connection, ConnectionClosed
from flight.icd.limits import DEFAULT_ENDPOINTS, LARGEST_GAP, MESSAGE_BYTES, PRODUCT_TOPICS, TOPIC_NAVIGATION
from flight.icd.products import MOST_PARTS, Product, ProductError, decode_product
from flight.schema import format_text


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


def check_topics(topics: Sequence[str]) -> None:
    """Check topics of products. Raises ValueError naming the first that is none."""
    for topic in topics:
        if topic not in PRODUCT_TOPICS:
            raise ValueError(f"topic: expected {' | '.join(PRODUCT_TOPICS)}, got {topic}")


class ProductConnection(Connection):
    """What the two subscribers share: a subscribed socket, the newest product of each topic, and the counts.

    Args:
        endpoint, topics, queue, largest_part, keys: see Subscriber.

    Attributes:
        statistics: counts since opening.
    """

    def __init__(self, endpoint: str, topics: Sequence[str], queue: int, largest_part: int, keys: Path | None) -> None:
        check_topics(topics)
        options: dict[int, int] = {zmq.RCVHWM: queue, zmq.LINGER: 0, zmq.RECONNECT_IVL_MAX: 1000}
        super().__init__(zmq.SUB, endpoint, options, largest_part, keys)
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode("ascii"))
        self.statistics = SubscriberStatistics()
        self._waiting: dict[str, Product] = {}

    def _keep(self, product: Product) -> None:
        """Let a product wait for the caller, in place of an older one of its topic."""
        if self._waiting.pop(product.topic, None) is not None:
            self.statistics.skipped += 1
        self._waiting[product.topic] = product

    def _take(self) -> Product | None:
        """The product that has waited longest; None if none waits."""
        return self._waiting.pop(next(iter(self._waiting))) if self._waiting else None

    def _receive_one(self) -> Product | None:
        """The next product from the socket; None if it failed a check. Raises zmq.Again if there is none."""
        try:
            product = decode_product(self._receive_parts(MOST_PARTS))
        except (ProductError, MemoryError) as error:
            self.statistics.count_malformed(error)
            return None
        self.statistics.count_product(product.topic, product.header["sequence"])
        return product


class Subscriber(ProductConnection):
    """Receives products; reconnects by itself when the service restarts. For one thread at a time; any may close it.

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
        EndpointError, KeyFileError, OSError: see Connection.
    """

    _collector: threading.Thread | None = None

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
        super().__init__(endpoint, topics, queue, largest_part, keys)
        self._arrived = threading.Condition()
        self._failure: Exception | None = None
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
            ConnectionClosed: close() was called, before or meanwhile.
            ForkError: in a child that was forked after opening.
            RuntimeError: the thread of newest mode has ended by a fault, its cause: nothing will come any more.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._using():
            return self._receive_next(deadline) if self._collector is None else self._await_newest(deadline)

    def _receive_next(self, deadline: float | None) -> Product | None:
        while self._wait(zmq.POLLIN, None if deadline is None else deadline - time.monotonic()):
            with contextlib.suppress(zmq.Again):
                product = self._receive_one()
                if product is not None:
                    return product
            if deadline is not None and time.monotonic() >= deadline:
                break
        return None

    def _await_newest(self, deadline: float | None) -> Product | None:
        with self._arrived:
            while True:
                self._check_usable()
                product = self._take()
                if product is not None:
                    return product
                if self._failure is not None:
                    raise RuntimeError("subscriber: its thread has ended") from self._failure
                left = math.inf if deadline is None else deadline - time.monotonic()
                if left <= 0.0:
                    return None
                self._arrived.wait(min(left, LONGEST_WAIT_S))

    def __iter__(self) -> Iterator[Product]:
        """Iterate over the products until close() is called."""
        while True:
            try:
                product = self.receive()
            except ConnectionClosed:
                return
            if product is not None:
                yield product

    def close(self) -> None:
        """Stop the thread of newest mode, wake who waits in receive(), and close the socket."""
        if self._process != os.getpid():
            return  # its lock may be held by a thread that the child does not have
        self._closing.set()
        with self._arrived:
            self._arrived.notify_all()
        super().close()

    def _close_socket(self) -> None:
        if self._collector is not None:
            self._collector.join()
        super()._close_socket()

    def _collect(self) -> None:
        """Body of the thread of newest mode, the only user of the socket: a newer product replaces a waiting one."""
        try:
            while self._wait(zmq.POLLIN, None):
                with contextlib.suppress(zmq.Again):
                    product = self._receive_one()
                    if product is not None:
                        with self._arrived:
                            self._keep(product)
                            self._arrived.notify()
        except ConnectionClosed:
            return
        except Exception as error:
            # No message is the cause, they are dealt with in _receive_one. A caller must not wait for nothing.
            with self._arrived:
                self._failure = error
                self._arrived.notify_all()
