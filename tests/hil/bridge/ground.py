"""A ground system for tests: reads packets by the XTCE alone, and sends telecommands."""

from __future__ import annotations

import io
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from space_packet_parser.xtce.definitions import XtcePacketDefinition
from spacepackets.ecss.tc import PusTc
from spacepackets.ecss.tm import PusTm

from hil.bridge.apids import DEFAULT_APID, apid_of
from hil.bridge.telecommands import PERFORM, encode_function
from hil.bridge.xtce import make_xtce

Packet = dict[str, Any]
TIME_OCTETS = 8


@cache
def definition(base: int = DEFAULT_APID) -> XtcePacketDefinition:
    return XtcePacketDefinition.from_xtce(io.BytesIO(make_xtce(base)))


def decode(octets: bytes, base: int = DEFAULT_APID) -> Packet:
    """All parameters of a packet by the XTCE; every bit must be one of a parameter, and the CRC right."""
    PusTm.unpack(octets, TIME_OCTETS)  # another library's reading: lengths and CRC
    packet = definition(base).parse_bytes(octets)
    return dict(packet)


def telecommand(source: str, service: tuple[int, int], data: bytes = b"", count: int = 0, **fields: Any) -> bytes:
    base = fields.pop("base", DEFAULT_APID)
    apid = fields.pop("apid", apid_of(source, base))
    packet = PusTc(service=service[0], message_subtype=service[1], apid=apid, app_data=data, seq_count=count, **fields)
    return bytes(packet.pack())


def function(name: str, arguments: Mapping[str, Any] | None = None, count: int = 0, **fields: Any) -> bytes:
    return telecommand("commands", PERFORM, encode_function(name, arguments or {}), count, **fields)


class GroundSystem:
    """What has come from a bridge, packet by packet."""

    def __init__(self, base: int = DEFAULT_APID) -> None:
        self.packets: list[Packet] = []
        self.octets: list[bytes] = []
        self._base = base
        self._changed = threading.Condition()

    def take(self, octets: bytes) -> None:
        packet = decode(octets, self._base)
        with self._changed:
            self.packets.append(packet)
            self.octets.append(octets)
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[Packet], bool], since: int = 0, timeout_s: float = 30.0) -> Packet:
        """The first packet from number `since` on of which the condition holds."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for packet in self.packets[since:]:
                    if condition(packet):
                        return packet
                left = deadline - time.monotonic()
                kinds = [(p["pus_service"], p["pus_subtype"]) for p in self.packets[since:]]
                assert left > 0, f"not in {timeout_s} s; of services {kinds}"
                self._changed.wait(left)

    def answers(self, octets: bytes, last: int, since: int = 0, timeout_s: float = 30.0) -> list[Packet]:
        """The verification reports of a telecommand, up to the one of a subtype."""
        request = (int.from_bytes(octets[:2], "big"), int.from_bytes(octets[2:4], "big"))

        def is_answer(packet: Packet) -> bool:
            return packet["pus_service"] == 1 and (packet["request_packet_id"], packet["request_sequence"]) == request

        self.wait_for(lambda packet: is_answer(packet) and packet["pus_subtype"] == last, since, timeout_s)
        return [packet for packet in self.packets[since:] if is_answer(packet)]


def is_structure(name: str) -> Callable[[Packet], bool]:
    return lambda packet: packet.get("structure_id") == name


def is_event(name: str) -> Callable[[Packet], bool]:
    return lambda packet: any(key.startswith(f"event_{name}_") for key in packet) or packet.get("event") == name


@contextmanager
def connected(port: int, ground: GroundSystem | None = None) -> Iterator[socket.socket]:
    """A connection to the bridge, whose telemetry goes to a ground system."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as link:
        thread = None
        if ground is not None:
            thread = threading.Thread(target=_read, args=(link, ground))
            thread.start()
        yield link
        link.shutdown(socket.SHUT_RDWR)
        if thread is not None:
            thread.join(timeout=30)


def _read(link: socket.socket, ground: GroundSystem) -> None:
    link.settimeout(None)
    stream = link.makefile("rb")
    while True:
        header = stream.read(6)
        if len(header) < 6:
            return
        ground.take(header + stream.read(int.from_bytes(header[4:], "big") + 1))


@contextmanager
def running_bridge(endpoints: dict[str, str], *options: str) -> Iterator[tuple[dict[str, int], list[str]]]:
    """Start `hil bridge` on free ports; gives the ports by what is there, and the lines that it has printed."""
    sockets = [word for name in ("products", "telemetry", "commands") for word in (f"--{name}", endpoints[name])]
    tm = () if "--tm" in options else ("--tm", "tcp://127.0.0.1:0")
    tc = () if "--tc" in options else ("--tc", "tcp://localhost:0")
    process = subprocess.Popen(
        [sys.executable, "-m", "hil.cli", "bridge", *sockets, *tm, *tc, *options], stdout=subprocess.PIPE, text=True
    )
    lines: list[str] = []
    ports: dict[str, int] = {}
    try:
        assert process.stdout is not None
        while "telecommands" not in " ".join(ports):
            line = process.stdout.readline()
            found = re.fullmatch(r"(tele.*): \w+://\S+:(\d+)\n", line)
            assert found, line
            ports[found[1]] = int(found[2])
        stdout = process.stdout
        thread = threading.Thread(target=lambda: lines.extend(stdout), daemon=True)
        thread.start()
        yield ports, lines
        assert process.poll() is None, "the bridge has ended"
        process.terminate()
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
