"""Runs the bridge: the service's sockets in threads, everything else in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flight.client import ConnectionClosed, Subscriber, TelemetryListener
from flight.icd.limits import PRODUCT_TOPICS
from flight.schema import format_text
from hil.bridge.addresses import GroundAddress
from hil.bridge.bridge import Bridge
from hil.bridge.links import GroundLinks
from hil.bridge.summaries import summarize_product
from hil.bridge.telecommands import TelecommandReader
from hil.bridge.telemetry import Packetizer
from hil.console.commanding import CommandDesk

_TICK_S = 1.0
_MOST_LINE = 300


@dataclass(frozen=True)
class BridgeOptions:
    """What a bridge is started with.

    Attributes:
        products: endpoint of the service's socket.
        telemetry: as products.
        commands: as products.
        keys: folder of the bridge's keys; None for a service without.
        apid: of the bridge.
        allowed: commands that ground systems may send.
        source_ids: that may send telecommands; None for any.
        tm: where telemetry goes.
        tc: where telecommands come from.
    """

    products: str
    telemetry: str
    commands: str
    keys: Path | None
    apid: int
    allowed: tuple[str, ...]
    source_ids: frozenset[int] | None
    tm: tuple[GroundAddress, ...]
    tc: tuple[GroundAddress, ...]


def _tell(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody reads it any more, which is no reason to end
        print(format_text(text, _MOST_LINE), flush=True)


async def serve(options: BridgeOptions) -> None:
    """Run a bridge until it is cancelled.

    Raises:
        OSError: an address cannot be used.
        KeyFileError, EndpointError: see flight.client.
    """
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as opened:
        desk = CommandDesk(options.commands, options.keys, at_once=1)
        opened.callback(desk.close)
        # Filled in below: links hand telecommands to the bridge, which sends its packets over the links.
        bridge: Bridge
        links = GroundLinks(lambda octets: bridge.take_telecommand(octets), _tell)
        opened.callback(links.close)
        reader = TelecommandReader(options.apid, options.allowed, options.source_ids)
        bridge = Bridge(links.send, _tell, desk, Packetizer(options.apid), reader)
        listener = opened.enter_context(TelemetryListener(options.telemetry, keys=options.keys))
        subscriber = opened.enter_context(Subscriber(options.products, PRODUCT_TOPICS, newest=False, keys=options.keys))
        await links.open(options.tm, options.tc)

        def hand_over_telemetry() -> None:
            received = listener.receive(None)
            if received is not None:
                loop.call_soon_threadsafe(bridge.take_telemetry, *received)

        def hand_over_product() -> None:
            product = subscriber.receive(None)
            if product is None:
                return
            try:
                summary = summarize_product(product)
            except Exception:
                # A map that nobody thought of costs its own packet, and not the bridge.
                bridge.malformed += 1
            else:
                loop.call_soon_threadsafe(bridge.take_product, *summary)

        async def tick() -> None:
            while True:
                counts = subscriber.statistics
                bridge.tick(links.count, links.dropped, counts.lost, counts.malformed + listener.malformed)
                await asyncio.sleep(_TICK_S)

        tasks = [
            loop.create_task(tick()),
            loop.create_task(asyncio.to_thread(_repeat, hand_over_telemetry)),
            loop.create_task(asyncio.to_thread(_repeat, hand_over_product)),
        ]
        try:
            # None of them ends by itself: one that does has failed, and says why.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            listener.close()  # wakes the threads, which asyncio waits for
            subscriber.close()
            for task in tasks:
                task.cancel()
            await bridge.close()


def _repeat(step: Callable[[], None]) -> None:
    """Do it until the connection is closed."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            step()
