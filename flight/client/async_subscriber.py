"""The consumer's client for asyncio: the same products, checks and counts as Subscriber's."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq
import zmq.asyncio

from flight.client.connection import LONGEST_WAIT_S, ConnectionClosed
from flight.client.subscriber import ProductConnection
from flight.icd.limits import DEFAULT_ENDPOINTS, MESSAGE_BYTES, TOPIC_NAVIGATION
from flight.icd.products import Product

# What the connection may hold beyond the queue; a call that has taken in so many more ends, even if more came.
_MOST_BEHIND_QUEUE = 256


class AsyncSubscriber(ProductConnection):
    """Receives products in an asyncio program, without a thread; reconnects by itself when the service restarts.

    In newest mode a task reads the socket all the time, as the thread of Subscriber does; while the program keeps the
    event loop from turning, it cannot. `async for product in subscriber` ends when the subscriber is closed. For the
    tasks of one event loop, close() included.

    Args:
        endpoint, topics, queue, largest_part, keys: see Subscriber.
        newest: True keeps only the newest product of each topic; False hands over every product in the order of
            arrival, to one task at a time.

    Raises:
        ValueError: unknown topic.
        EndpointError, KeyFileError, OSError: see Connection.
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
        super().__init__(endpoint, topics, queue, largest_part, keys)
        self._newest = newest
        self._most_at_once = queue + _MOST_BEHIND_QUEUE
        # Waits in the event loop; the messages are read off the socket itself, part by part.
        self._async_socket = zmq.asyncio.Socket.from_socket(self._socket)
        self._polls: set[asyncio.Future[Any]] = set()
        self._arrived = asyncio.Event()
        self._collector: asyncio.Task[None] | None = None
        with contextlib.suppress(RuntimeError):  # no event loop runs yet: receive() starts it
            self._start_collector()

    async def receive(self, timeout_s: float | None = None) -> Product | None:
        """Wait for the next product.

        Args:
            timeout_s: None waits without end.

        Returns:
            A verified product, or None if none came in time.

        Raises:
            ConnectionClosed: close() was called, before or meanwhile.
            ForkError: in a child that was forked after opening.
            RuntimeError: the task of newest mode has ended, with the event loop that it ran in or by a fault.
        """
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        self._check_usable()
        self._start_collector()
        while True:
            self._read(self._most_at_once if self._newest else 1)
            product = self._take()
            if product is not None:
                return product
            if self._collector is not None and self._collector.done():
                fault = None if self._collector.cancelled() else self._collector.exception()
                raise RuntimeError("subscriber: its task has ended") from fault
            left = deadline - time.monotonic()
            if left <= 0.0:
                return None
            await self._wait_for_product(min(left, LONGEST_WAIT_S))
            self._check_usable()

    async def _wait_for_product(self, timeout_s: float) -> None:
        if self._collector is None:
            await self._poll(timeout_s)
            return
        self._arrived.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), timeout_s)

    async def __aiter__(self) -> AsyncIterator[Product]:
        """Iterate over the products until close() is called."""
        while True:
            try:
                product = await self.receive()
            except ConnectionClosed:
                return
            if product is not None:
                yield product

    def _read(self, most: int) -> None:
        """Take in what has come: at most so many verified products, or malformed ones."""
        with contextlib.suppress(zmq.Again):
            for _ in range(most):
                product = self._receive_one()
                if product is not None:
                    self._keep(product)

    def _start_collector(self) -> None:
        """Start the task of newest mode. Raises RuntimeError where no event loop runs."""
        if self._newest and self._collector is None:
            asyncio.get_running_loop()
            self._collector = asyncio.create_task(self._collect(), name="rubblemap-subscriber")

    async def _collect(self) -> None:
        """Take in every product when it comes, whether or not receive() is called: full queues keep the oldest."""
        try:
            while not self.closed:
                if await self._poll(LONGEST_WAIT_S):
                    self._read(1)
                if self._waiting:
                    self._arrived.set()
                await asyncio.sleep(0)  # to others, also when messages come without a pause
        except ConnectionClosed:
            return
        finally:
            self._arrived.set()

    async def _poll(self, timeout_s: float) -> bool:
        """Wait until a message comes. Returns whether one has."""
        future = asyncio.ensure_future(self._async_socket.poll(math.ceil(timeout_s * 1000.0)))
        self._polls.add(future)
        try:
            return bool(await future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self.closed and task is not None and not task.cancelling():
                self._check_usable()  # close() ended the wait, and nobody the task
            raise
        finally:
            self._polls.discard(future)

    def close(self) -> None:
        """Close the socket, and wake the task that waits in receive()."""
        if self._process == os.getpid():
            self._closing.set()
            for future in self._polls:
                future.cancel()
            self._arrived.set()
        super().close()

    def _close_socket(self) -> None:
        self._async_socket.close()
        super()._close_socket()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
