"""Connections with ground systems."""

from __future__ import annotations

import asyncio

import pytest

import hil.bridge.links
from hil.bridge.addresses import GroundAddress
from hil.bridge.links import GroundLinks

ANY_PORT = GroundAddress("tcp", "127.0.0.1", 0)


def port_in(lines: list[str]) -> int:
    return int(lines[0].rpartition(":")[2])


def test_one_that_does_not_read_is_dropped_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hil.bridge.links, "MOST_WAITING_BYTES", 100_000)
    packets = [number.to_bytes(2, "big") * 5_000 for number in range(3_000)]  # 30 MB, more than the kernel holds

    async def exchange() -> tuple[bytes, GroundLinks, list[str]]:
        lines: list[str] = []
        links = GroundLinks(lambda octets: None, lines.append)
        await links.open([ANY_PORT], [])
        reader, writer = await asyncio.open_connection("127.0.0.1", port_in(lines), limit=2**26)
        _, idle = await asyncio.open_connection("127.0.0.1", port_in(lines), limit=1)
        got = b""
        while links.count < 2:
            await asyncio.sleep(0.01)
        for packet in packets:
            links.send(packet)
            while len(got) < 10_000:
                got += await reader.readexactly(10_000)
            assert got == packet  # each as soon as it was sent
            got = b""
        assert links.count == 1
        writer.close()
        idle.close()
        links.close()
        return got, links, lines

    _, links, lines = asyncio.run(exchange())
    assert links.dropped == 1
    assert any("does not read telemetry, disconnected" in line for line in lines)


def test_connections_beyond_the_limit_are_closed() -> None:
    async def count() -> int:
        lines: list[str] = []
        links = GroundLinks(lambda octets: None, lines.append)
        await links.open([ANY_PORT], [])
        opened = [await asyncio.open_connection("127.0.0.1", port_in(lines)) for _ in range(20)]
        while sum("one too many" in line for line in lines) < 4:
            await asyncio.sleep(0.01)
        kept = links.count
        for _, writer in opened:
            writer.close()
        links.close()
        return kept

    assert asyncio.run(asyncio.wait_for(count(), 30)) == 16


def test_telecommands_on_a_telemetry_port_are_not_taken() -> None:
    async def exchange() -> list[bytes]:
        taken: list[bytes] = []
        lines: list[str] = []
        links = GroundLinks(taken.append, lines.append)
        await links.open([ANY_PORT], [])
        _, writer = await asyncio.open_connection("127.0.0.1", port_in(lines))
        writer.write(bytes(100))
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.close()
        links.close()
        return taken

    assert asyncio.run(exchange()) == []
