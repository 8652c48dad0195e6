"""Closing a client wakes who waits on it; after a fork a client says so at once; and the client for asyncio."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flight.client import (
    AsyncSubscriber,
    Commander,
    ConnectionClosed,
    ForkError,
    FrameSender,
    Subscriber,
    TelemetryListener,
)
from flight.client.connection import Connection
from tests.flight.client.test_client import Publisher

FRAME = np.zeros((16, 16), dtype=np.uint8)
# Each opens a client of a service that is not there, and waits with it for as long as that takes.
CLIENTS: dict[str, tuple[Callable[[str], Any], Callable[[Any], object]]] = {
    "newest": (lambda endpoint: Subscriber(endpoint), lambda client: client.receive()),
    "every": (lambda endpoint: Subscriber(endpoint, newest=False), lambda client: client.receive()),
    "telemetry": (lambda endpoint: TelemetryListener(endpoint), lambda client: client.receive(None)),
    "command": (lambda endpoint: Commander(endpoint, timeout_s=60.0), lambda client: client.send("no_op")),
    "frame": (lambda endpoint: FrameSender(endpoint), lambda client: client.send(FRAME, timeout_s=60.0)),
    "report": (lambda endpoint: FrameSender(endpoint, telemetry=endpoint), lambda client: client.report(60.0)),
}


@pytest.fixture(params=CLIENTS)
def waiting(request: pytest.FixtureRequest, tmp_path: Path):
    open_client, wait = CLIENTS[request.param]
    with open_client(f"ipc://{tmp_path}/nobody") as client:
        yield client, lambda: wait(client)


@pytest.fixture
def publisher(tmp_path: Path):
    publisher = Publisher(tmp_path)
    yield publisher
    publisher.close()


def test_close_wakes_a_thread_that_waits(waiting: tuple[Connection, Callable[[], object]]) -> None:
    client, wait = waiting
    caught: list[BaseException] = []

    def run() -> None:
        try:
            wait()
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.2)
    client.close()
    thread.join(2.0)
    assert not thread.is_alive()
    assert isinstance(caught[0], ConnectionClosed)
    with pytest.raises(ConnectionClosed, match="closed"):
        wait()
    client.close()


def test_close_wakes_who_waits_in_the_same_thread(waiting: tuple[Connection, Callable[[], object]]) -> None:
    """A signal handler may close what the main thread waits on."""
    client, wait = waiting
    before = signal.signal(signal.SIGUSR2, lambda *_: client.close())
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR2))
    timer.start()
    try:
        with pytest.raises(ConnectionClosed):
            wait()
    finally:
        timer.join()
        signal.signal(signal.SIGUSR2, before)


def test_iterating_ends_with_close(publisher: Publisher) -> None:
    for newest in (True, False):
        with Subscriber(publisher.endpoint, newest=newest) as subscriber:
            timer = threading.Timer(0.3, subscriber.close)
            timer.start()
            assert list(subscriber) == []


def test_a_cancelled_task_leaves_no_thread(tmp_path: Path) -> None:
    async def watch(newest: bool) -> None:
        with Subscriber(f"ipc://{tmp_path}/nobody", newest=newest) as subscriber:
            task = asyncio.create_task(asyncio.to_thread(subscriber.receive))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    began = time.monotonic()
    for newest in (True, False):
        asyncio.run(watch(newest))  # which waits for the threads
    assert time.monotonic() - began < 30.0


def in_child(run: Callable[[], None]) -> None:
    """Run in a forked child, which must end within a few seconds and without an error."""
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:
            run()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of Python 3.12, about the fork itself
def test_after_a_fork_a_client_says_so_at_once(waiting: tuple[Connection, Callable[[], object]]) -> None:
    client, wait = waiting

    # As it is when another thread uses it at the moment of the fork.
    def wait_for_close() -> None:
        with pytest.raises(ConnectionClosed):
            wait()

    busy = threading.Thread(target=wait_for_close)
    busy.start()
    time.sleep(0.2)

    def use() -> None:
        with pytest.raises(ForkError, match=rf"{type(client).__name__}: expected use in process .* open another"):
            wait()
        client.close()

    in_child(use)
    assert busy.is_alive()
    client.close()
    busy.join(2.0)
    assert not busy.is_alive()


def test_async_the_newest_of_a_backlog_or_every_product(publisher: Publisher) -> None:
    async def run() -> None:
        async with (
            AsyncSubscriber(publisher.endpoint, queue=4) as newest,
            AsyncSubscriber(publisher.endpoint, newest=False, queue=1000) as every,
        ):
            await asyncio.sleep(0.3)
            assert await newest.receive(0.05) is None
            for sequence in range(300):
                publisher.publish(sequence)
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.3)
            product = await newest.receive(30)
            assert product is not None
            assert product.header["sequence"] == 299
            received = [await every.receive(30) for _ in range(300)]
            assert [one.header["sequence"] for one in received if one is not None] == list(range(300))
            publisher.publish(300, damage=True)
            assert await newest.receive(0.2) is None
            assert newest.statistics.malformed == 1

    asyncio.run(run())


@pytest.mark.parametrize("newest", [True, False])
def test_async_iterating_ends_with_close_and_a_task_with_cancel(publisher: Publisher, newest: bool) -> None:
    async def collect(subscriber: AsyncSubscriber) -> list[int]:
        return [product.header["sequence"] async for product in subscriber]

    async def run() -> None:
        subscriber = AsyncSubscriber(publisher.endpoint, newest=newest)
        task = asyncio.create_task(collect(subscriber))
        await asyncio.sleep(0.3)
        publisher.publish(7)
        await asyncio.sleep(0.3)
        subscriber.close()
        assert await asyncio.wait_for(task, 30.0) == [7]
        with pytest.raises(ConnectionClosed):
            await subscriber.receive()

        async with AsyncSubscriber(publisher.endpoint, newest=newest) as other:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(other.receive(), 0.1)
            task = asyncio.create_task(collect(other))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0.2)
            publisher.publish(8)
            product = await other.receive(30)
            assert product is not None
            assert product.header["sequence"] == 8

    asyncio.run(run())


def test_async_opened_before_or_used_after_an_event_loop(publisher: Publisher) -> None:
    opened = AsyncSubscriber(publisher.endpoint)
    time.sleep(0.3)
    publisher.publish(1)
    product = asyncio.run(opened.receive(30.0))
    assert product is not None
    assert product.header["sequence"] == 1
    with pytest.raises(RuntimeError, match="its task has ended"):
        asyncio.run(opened.receive(2.0))
    opened.close()


def test_the_listing_for_asyncio_runs(publisher: Publisher, tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "gnc.md").read_text(encoding="utf-8")
    section = page.split("## In an asyncio program")[1].split("\n## ")[0]
    (listing,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    script = tmp_path / "watch.py"
    script.write_text(listing, encoding="utf-8")
    command = [sys.executable, str(script), publisher.endpoint]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
    stop = threading.Event()

    def publish() -> None:
        for sequence in range(100_000):
            publisher.publish(sequence, "map.hazard")
            if stop.wait(0.05):
                return

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        assert process.stdout is not None
        assert re.fullmatch(r"\d+ (valid|degraded)\n", process.stdout.readline())
    finally:
        stop.set()
        thread.join()
        process.kill()
        process.communicate()
