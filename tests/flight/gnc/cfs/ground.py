"""The ground's side of the integration test: the app's packets by UDP, and the files of its table.

Layouts are those of rubblemap_msg.h and rubblemap_tbl.h on a little-endian computer; headers of packets and files are
big-endian, as the cFE has them.
"""

from __future__ import annotations

import functools
import operator
import re
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from spacepackets.ccsds.spacepacket import PacketType, SpacePacketHeader

ROOT = Path(__file__).parents[4]
APP = ROOT / "flight" / "gnc" / "cfs" / "rubblemap"
# Of a computer that does something else besides.
PATIENCE_S = 120.0
TABLE_NAME = "RUBBLEMAP.Config"
MOST_SITES = 3

_HEADER = 6
_TELEMETRY_HEADER = 16  # primary header, time, spare
_APID_EVENTS, _APID_TABLES = 8, 4
_TABLE_COMMANDS = {"load": 2, "validate": 4, "activate": 5, "abort": 9}
_EVENT = struct.Struct("<20sHHII122s2x")
_STAMP = "40sQQII"
_HK = (
    struct.Struct("<6B2xIII4x8Qdd"),
    "command_count command_error_count service_state sockets_open fix_refusal sites_refusal "
    "replies_completed replies_failed replies_timed_out products_received products_lost products_skipped "
    "products_malformed service_restarts frames_received frames_processed worker_restarts uptime_s latency_p99_ms",
)
_FIX = (
    struct.Struct(f"<{_STAMP}7dBB6x"),
    "source frame_id capture_time_ns epoch warnings x y covariance_xx covariance_xy covariance_yy diameter "
    "sun_angle_deg sun_source sun_sign_known",
)
_SITES = struct.Struct(f"<{_STAMP}IB3x{4 * MOST_SITES}d")
_CONFIG = struct.Struct("<128s128s128s128sd6I")
_FILE_HEADER = struct.Struct(">8I32s")
_TABLE_HEADER = struct.Struct(">3I40s")
_CFE_FILE, _TABLE_IMAGE = 0x63464531, 8


def read_numbers(header: str, ending: str) -> dict[str, int]:
    """Read the numbers that a header of the app defines.

    Args:
        header: its path in the app's folder.
        ending: of the names that are meant, with its underscore.

    Returns:
        The numbers by name, without RUBBLEMAP_ and the ending.
    """
    text = (APP / header).read_text(encoding="utf-8")
    found = re.findall(rf"^#define RUBBLEMAP_(\w+){ending} (0x[0-9A-F]+|\d+)", text, re.MULTILINE)
    return {name: int(number, 0) for name, number in found}


EVENTS = read_numbers("fsw/inc/rubblemap_eventids.h", "_EID")
COMMANDS = read_numbers("fsw/inc/rubblemap_fcncodes.h", "_CC")
TOPICS = read_numbers("config/default_rubblemap_topicids.h", "_TOPICID")


def write_table(path: Path, **values: Any) -> Path:
    """Write a file of the app's table, as elf2cfetbl would.

    Args:
        path: of the file.
        values: fields of RUBBLEMAP_Config_t that differ from a default without endpoints.

    Returns:
        The path.
    """
    texts = ("products_endpoint", "commands_endpoint", "products_keys", "commands_keys")
    numbers: dict[str, Any] = {
        "minimum_radius_px": 4.0,
        "most_sites": MOST_SITES,
        "status_period": 5,
        "command_timeout_ms": 5000,
        "slow_timeout_ms": 120_000,
        "max_height": 256,
        "max_width": 256,
    }
    assert values.keys() <= {*texts, *numbers}
    given = [values.get(name, "").encode() for name in texts]
    data = _CONFIG.pack(*given, *(values.get(name, number) for name, number in numbers.items()))
    table = _TABLE_HEADER.pack(0, 0, len(data), TABLE_NAME.encode())
    path.write_bytes(_FILE_HEADER.pack(_CFE_FILE, _TABLE_IMAGE, 64, 0, 0, 0, 0, 0, b"Test") + table + data)
    return path


def _text(field_bytes: bytes) -> str:
    return field_bytes.split(b"\0")[0].decode()


def _named(layout: tuple[struct.Struct, str], payload: bytes) -> dict[str, Any]:
    values = layout[0].unpack(payload)
    decoded = dict(zip(layout[1].split(), values, strict=True))
    return {name: _text(value) if isinstance(value, bytes) else value for name, value in decoded.items()}


def _sites(payload: bytes) -> dict[str, Any]:
    source, frame_id, capture_time_ns, epoch, warnings, count, complete, *numbers = _SITES.unpack(payload)
    sites = [numbers[i : i + 4] for i in range(0, len(numbers), 4)]
    stamp = {"source": _text(source), "frame_id": frame_id, "capture_time_ns": capture_time_ns, "epoch": epoch}
    return {**stamp, "warnings": warnings, "count": count, "complete": complete, "sites": sites}


@dataclass
class Ground:
    """Commands to the flight software and telemetry from it, by UDP on this computer.

    Attributes:
        command_port: of the ground link's socket.
        telemetry_port: of this one.
        events: names of the app's events with their messages, in order.
        hk, fixes, sites: decoded packets in order.
        is_flying: whether the flight software runs.
    """

    command_port: int = 0
    telemetry_port: int = 0
    events: list[tuple[str, str]] = field(default_factory=list)
    hk: list[dict[str, Any]] = field(default_factory=list)
    fixes: list[dict[str, Any]] = field(default_factory=list)
    sites: list[dict[str, Any]] = field(default_factory=list)
    is_flying: Callable[[], bool] = lambda: True

    def __enter__(self) -> Ground:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.telemetry_port = self._socket.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.command_port = free.getsockname()[1]
        self._sent = 0
        self._sequence: dict[int, int] = {}
        self._requested = 0.0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def _send(self, apid: int, function_code: int, payload: bytes) -> None:
        header = SpacePacketHeader(
            PacketType.TC, apid, self._sent & 0x3FFF, data_len=len(payload) + 1, sec_header_flag=True
        )
        self._sent += 1
        packet = header.pack() + bytes([function_code, 0]) + payload
        checksum = functools.reduce(operator.xor, packet, 0xFF)  # over the whole packet it is 0xFF then
        packet = packet[: _HEADER + 1] + bytes([checksum]) + packet[_HEADER + 2 :]
        self._socket.sendto(packet, ("127.0.0.1", self.command_port))

    def command(self, name: str, payload: bytes = b"") -> None:
        """Send a command of the app by its name in rubblemap_fcncodes.h; or `NONE_SUCH`."""
        self._send(TOPICS["CMD"], COMMANDS.get(name, 99), payload)

    def words(self, name: str, *words: str) -> None:
        """Send a command whose arguments are words of 40 bytes."""
        self.command(name, b"".join(struct.pack("40s", word.encode()) for word in words))

    def load_table(self, file: str) -> None:
        """Load, validate and activate the app's table by cFE's commands. file: as the flight software names it."""
        self._send(_APID_TABLES, _TABLE_COMMANDS["load"], struct.pack("64s", file.encode()))
        self._send(_APID_TABLES, _TABLE_COMMANDS["validate"], struct.pack("<H40s", 0, TABLE_NAME.encode()))
        # It is validated by the app with its next housekeeping.
        count = len(self.hk)
        self.wait_for(lambda: len(self.hk) > count + 1, "housekeeping")
        self._send(_APID_TABLES, _TABLE_COMMANDS["activate"], struct.pack("40s", TABLE_NAME.encode()))

    def abort_table(self) -> None:
        """Give up a table that was loaded and not activated: cFE takes no other one before."""
        self._send(_APID_TABLES, _TABLE_COMMANDS["abort"], struct.pack("40s", TABLE_NAME.encode()))

    def receive(self, seconds: float) -> None:
        """Take in packets for so long, asking for housekeeping now and then."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0.0:
            if time.monotonic() - self._requested > 0.5:
                self._requested = time.monotonic()
                self._send(TOPICS["SEND_HK"], 0, b"")
            self._socket.settimeout(min(left, 0.1))
            try:
                packet = self._socket.recv(65536)
            except TimeoutError:
                continue
            self._decode(packet)

    def _decode(self, packet: bytes) -> None:
        header = SpacePacketHeader.unpack(packet[:_HEADER])
        assert header.packet_type is PacketType.TM
        assert header.sec_header_flag
        assert header.packet_len == len(packet)
        expected = self._sequence.get(header.apid, header.seq_count)
        assert header.seq_count == expected, f"APID {header.apid}: {expected} is missing"
        self._sequence[header.apid] = (header.seq_count + 1) & 0x3FFF
        payload = packet[_TELEMETRY_HEADER:]
        if header.apid == _APID_EVENTS:
            app, number, _, spacecraft, _, message = _EVENT.unpack(payload)
            assert spacecraft == 0x42
            if _text(app) == "RUBBLEMAP":
                names = {number: name for name, number in EVENTS.items()}
                self.events.append((names[number], _text(message)))
        elif header.apid == TOPICS["HK_TLM"]:
            self.hk.append(_named(_HK, payload))
        elif header.apid == TOPICS["FIX_TLM"]:
            self.fixes.append(_named(_FIX, payload))
        else:
            assert header.apid == TOPICS["SITES_TLM"]
            self.sites.append(_sites(payload))

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Take in packets until the condition holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.is_flying(), "the flight software has ended; see core-cpu1.log"
            assert time.monotonic() < deadline, f"not so in {PATIENCE_S:g} s: {what}; events: {self.events[-5:]}"
            self.receive(0.1)

    def wait_for_event(self, name: str, since: int = 0) -> str:
        """Wait for an event of this name after the first `since` events; returns its message."""
        self.wait_for(lambda: any(event[0] == name for event in self.events[since:]), f"event {name}")
        return next(message for found, message in self.events[since:] if found == name)
