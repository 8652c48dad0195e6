"""Connections with ground systems: TCP, to which they connect, and UDP, a datagram for each packet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

from hil.bridge.addresses import GroundAddress
from hil.bridge.telecommands import PacketSplitter

# What may wait for a ground system that does not read; one that lets more wait is disconnected.
MOST_WAITING_BYTES = 8 << 20
# A telecommand comes within this time after its last octet but one.
SILENCE_S = 2.0
_MOST_CONNECTIONS = 16


class GroundLinks:
    """All connections with ground systems. For the tasks of one event loop.

    Args:
        take: gets the octets of each telecommand, and what was no whole one.
        tell: gets a line of text when something changes.

    Attributes:
        dropped: connections that took telemetry too slowly.
    """

    def __init__(self, take: Callable[[bytes], None], tell: Callable[[str], None]) -> None:
        self.dropped = 0
        self.take = take
        self.tell = tell
        self.listening: set[asyncio.Transport] = set()
        self.connections = 0
        self._servers: list[asyncio.Server] = []
        self._senders: list[asyncio.DatagramTransport] = []
        self._receivers: list[asyncio.DatagramTransport] = []

    @property
    def count(self) -> int:
        """Over how many links telemetry goes."""
        return len(self.listening) + len(self._senders)

    async def open(self, telemetry: Iterable[GroundAddress], telecommands: Iterable[GroundAddress]) -> None:
        """Listen; an address of TCP that is given for both carries both.

        Raises:
            OSError: an address cannot be used; the message names it.
        """
        telemetry, telecommands = tuple(dict.fromkeys(telemetry)), tuple(dict.fromkeys(telecommands))
        for address in dict.fromkeys((*telemetry, *telecommands)):
            sends, takes = address in telemetry, address in telecommands
            what = " and ".join(("telemetry",) * sends + ("telecommands",) * takes)
            try:
                opened = await self._open(address, sends, takes)
            except OSError as error:
                raise OSError(f"cannot use {address} for {what}: {error.strerror or error}") from error
            self.tell(f"{what}: {opened}")

    async def _open(self, address: GroundAddress, sends: bool, takes: bool) -> GroundAddress:
        loop = asyncio.get_running_loop()
        if address.scheme == "tcp":
            server = await loop.create_server(lambda: _Connection(self, sends, takes), address.host, address.port)
            self._servers.append(server)
            return GroundAddress("tcp", address.host, server.sockets[0].getsockname()[1])
        if sends:
            there = (address.host, address.port)
            sender, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=there)
            self._senders.append(sender)
            return address
        here = (address.host, address.port)
        receiver, _ = await loop.create_datagram_endpoint(lambda: _Receiver(self), local_addr=here)
        self._receivers.append(receiver)
        return GroundAddress("udp", address.host, receiver.get_extra_info("sockname")[1])

    def send(self, packet: bytes) -> None:
        """Send a telemetry packet to all ground systems, whole or not at all; never waits."""
        for transport in list(self.listening):
            if transport.get_write_buffer_size() > MOST_WAITING_BYTES:
                self.dropped += 1
                self.tell(f"ground system {_peer(transport)}: does not read telemetry, disconnected")
                self.listening.discard(transport)
                transport.abort()
            else:
                transport.write(packet)
        for sender in self._senders:
            sender.sendto(packet)

    def close(self) -> None:
        """Close all connections, after what waits was sent where that is possible at once."""
        for server in self._servers:
            server.close()
        for transport in (*self.listening, *self._senders, *self._receivers):
            transport.close()


def _peer(transport: asyncio.BaseTransport) -> str:
    name = transport.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if name else "?"


class _Connection(asyncio.Protocol):
    """A ground system on TCP."""

    def __init__(self, links: GroundLinks, sends: bool, takes: bool) -> None:
        self._links = links
        self._sends = sends
        self._takes = takes
        self._splitter = PacketSplitter()
        self._silence: asyncio.TimerHandle | None = None
        self._peer = ""
        self._counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connected = cast(asyncio.Transport, transport)
        self._peer = _peer(connected)
        if self._links.connections >= _MOST_CONNECTIONS:
            self._links.tell(f"ground system {self._peer}: one too many, disconnected")
            connected.abort()
            return
        self._links.connections += 1
        self._counted = True
        if self._sends:
            self._links.listening.add(connected)
        self._transport = connected
        self._links.tell(f"ground system {self._peer}: connected")

    def data_received(self, data: bytes) -> None:
        if not self._takes or not self._counted:
            return
        for packet in self._splitter.add(data):
            self._links.take(packet)
        if self._silence is not None:
            self._silence.cancel()
        self._silence = asyncio.get_running_loop().call_later(SILENCE_S, self._give_up)

    def _give_up(self) -> None:
        rest = self._splitter.give_up()
        if rest:
            self._links.take(rest)

    def connection_lost(self, error: Exception | None) -> None:
        if self._silence is not None:
            self._silence.cancel()
        if self._counted:
            self._links.connections -= 1
            self._links.listening.discard(self._transport)
            self._links.tell(f"ground system {self._peer}: disconnected")
        self._give_up()


class _Receiver(asyncio.DatagramProtocol):
    """Telecommands on UDP."""

    def __init__(self, links: GroundLinks) -> None:
        self._links = links

    def datagram_received(self, data: bytes, address: Any) -> None:
        self._links.take(data)
