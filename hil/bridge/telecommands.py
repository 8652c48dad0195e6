"""Telecommand packets: taken from a stream, checked, and read as requests."""

from __future__ import annotations

import json
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from spacepackets.ccsds.spacepacket import PacketType, SequenceFlags, SpacePacketHeader
from spacepackets.ecss.tc import InvalidTcCrc16Error, PusTc, PusTcDataFieldHeader

from flight.icd.catalogue import COMMANDS, Argument, check_arguments
from flight.schema import SchemaError, format_value
from hil.bridge.apids import BRIDGE, DEFAULT_APID, apid_of
from hil.bridge.layouts import EVENT_REPORTING, FUNCTIONS, HOUSEKEEPING, REPORTED, SOURCE_EVENTS, STRUCTURES, TEST

HEADER_OCTETS = 6
# Primary header, secondary header, CRC.
_LEAST_OCTETS = HEADER_OCTETS + PusTcDataFieldHeader.PUS_C_SEC_HEADER_LEN + 2
FUNCTION_OCTETS = 32
# Of the arguments, zeros behind them included; those of another kind are JSON as text.
ARGUMENT_OCTETS = {"text": 256, "scalar": 64, "map": 2048, "texts": 2048}
_NUMBERS = {"integer": ">q", "number": ">d", "boolean": ">?"}

PERFORM = (FUNCTIONS, 1)
CONNECTION_TEST = (TEST, 1)
ENABLE_REPORTS, DISABLE_REPORTS, REQUEST_REPORTS = (HOUSEKEEPING, 5), (HOUSEKEEPING, 6), (HOUSEKEEPING, 27)
ENABLE_EVENTS, DISABLE_EVENTS = (EVENT_REPORTING, 5), (EVENT_REPORTING, 6)
_REPORT_SERVICES = (ENABLE_REPORTS, DISABLE_REPORTS, REQUEST_REPORTS)
_EVENT_SERVICES = (ENABLE_EVENTS, DISABLE_EVENTS)


class TelecommandError(ValueError):
    """A telecommand that is rejected.

    Attributes:
        code: one of hil.bridge.layouts.FAILURE_CODES.
        octets: of the packet, as many as there are.
    """

    def __init__(self, code: str, message: str, octets: bytes) -> None:
        self.code = code
        self.octets = octets
        super().__init__(message)


@dataclass(frozen=True)
class Telecommand:
    """A telecommand that has passed all checks.

    Attributes:
        octets: of the packet.
        source: whose application process it is for.
        service: type and subtype.
        acknowledge: which verification reports are wanted, as its header has them.
        source_id: who sent it.
        function: of service 8, name of the command; else "".
        arguments: of the function.
        items: of services 3 and 5, names of structures or events.
    """

    octets: bytes
    source: str
    service: tuple[int, int]
    acknowledge: int
    source_id: int
    function: str = ""
    arguments: Mapping[str, Any] | None = None
    items: tuple[str, ...] = ()


def services_of(source: str) -> tuple[tuple[int, int], ...]:
    """Services and subtypes that an application process takes telecommands of."""
    reports = _REPORT_SERVICES if REPORTED[source] else ()
    events = _EVENT_SERVICES if source in SOURCE_EVENTS else ()
    own = {"commands": (PERFORM, CONNECTION_TEST), BRIDGE: (CONNECTION_TEST,)}.get(source, ())
    return (*own, *reports, *events)


SOURCES = tuple(source for source in REPORTED if services_of(source))


class TelecommandReader:
    """Checks telecommands.

    Args:
        base: APID of the bridge.
        allowed: commands of the ICD that may be sent.
        source_ids: that may send telecommands; None for any.
    """

    def __init__(
        self,
        base: int = DEFAULT_APID,
        allowed: Collection[str] = tuple(COMMANDS),
        source_ids: Collection[int] | None = None,
    ) -> None:
        self._sources = {apid_of(source, base): source for source in SOURCES}
        self._allowed = frozenset(allowed)
        self._source_ids = source_ids

    def find_source(self, octets: bytes) -> str:
        """The application process that answers a telecommand: its own, or that of commands where it has none."""
        return self._sources.get(int.from_bytes(octets[:2], "big") & 0x7FF, "commands")

    def read(self, octets: bytes) -> Telecommand:
        """Check a packet.

        Args:
            octets: of one packet.

        Raises:
            TelecommandError: it is rejected, and why; nothing else is raised, whatever the octets are.
        """

        def fail(code: str, message: str) -> TelecommandError:
            return TelecommandError(code, message, octets)

        if len(octets) < _LEAST_OCTETS:
            raise fail("wrong_length", f"telecommand: expected {_LEAST_OCTETS} octets or more, got {len(octets)}")
        header = SpacePacketHeader.unpack(octets)
        if header.packet_len != len(octets):
            raise fail("wrong_length", f"telecommand: expected {header.packet_len} octets, got {len(octets)}")
        shape = (header.ccsds_version, header.packet_type, header.sec_header_flag, header.seq_flags)
        if shape != (0, PacketType.TC, True, SequenceFlags.UNSEGMENTED):
            raise fail("wrong_header", "telecommand: expected version 0, type 1, a secondary header, unsegmented")
        if header.apid not in self._sources:
            known = ", ".join(f"0x{apid:03X}" for apid in self._sources)
            raise fail("wrong_apid", f"APID: expected {known}, got 0x{header.apid:03X}")
        try:
            packet = PusTc.unpack(octets)
        except InvalidTcCrc16Error:
            raise fail("wrong_checksum", "CRC-16: expected that of the packet, got another") from None
        except ValueError:
            raise fail("wrong_version", f"PUS version: expected 2, got {octets[HEADER_OCTETS] >> 4}") from None
        if self._source_ids is not None and packet.source_id not in self._source_ids:
            raise fail("wrong_source", f"source identifier: not allowed, got {packet.source_id}")
        source, service = self._sources[header.apid], (packet.service, packet.message_subtype)
        if service not in services_of(source):
            known = ", ".join(map(_format_service, services_of(source)))
            raise fail("unknown_service", f"service: expected {known}, got {_format_service(service)}")
        made = Telecommand(octets, source, service, packet.pus_tc_sec_header.ack_flags, packet.source_id)
        return self._read_content(made, packet.app_data)

    def _read_content(self, made: Telecommand, data: bytes) -> Telecommand:
        """Read what follows the header. Raises TelecommandError."""

        def fail(code: str, message: str) -> TelecommandError:
            return TelecommandError(code, message, made.octets)

        try:
            if made.service == PERFORM:
                name = _read_text(data[:FUNCTION_OCTETS])
                if name not in COMMANDS:
                    raise fail("unknown_command", f"function: expected one of the ICD's, got {format_value(name)}")
                if name not in self._allowed:
                    raise fail("not_allowed", f"{name}: not allowed by the bridge")
                arguments = decode_arguments(name, data[FUNCTION_OCTETS:])
                check_arguments(name, arguments)
                return Telecommand(**{**vars(made), "function": name, "arguments": arguments})
            if made.service == CONNECTION_TEST:
                if data:
                    raise fail("wrong_length", f"connection test: expected no data, got {len(data)} octets")
                return made
            return Telecommand(**{**vars(made), "items": self._read_items(made, data)})
        except LengthError as error:
            raise fail("wrong_length", str(error)) from None
        except (SchemaError, ValueError) as error:
            if isinstance(error, TelecommandError):
                raise
            raise fail("invalid_argument", str(error)) from None

    def _read_items(self, made: Telecommand, data: bytes) -> tuple[str, ...]:
        """Names of structures or events that a telecommand lists by number. Raises TelecommandError, LengthError."""
        is_event = made.service[0] == EVENT_REPORTING
        octets = 2 if is_event else 1
        count = data[0] if data else 0
        if len(data) != 1 + count * octets or not count:
            raise LengthError(f"list: expected a number and so many identifiers of {8 * octets} bits, got {len(data)}")
        numbers = [int.from_bytes(data[1 + i * octets : 1 + (i + 1) * octets], "big") for i in range(count)]
        if is_event:
            known = {event.id: name for name, event in SOURCE_EVENTS[made.source].items()}
            what, code = "event", "unknown_event"
        else:
            known = {STRUCTURES.index(name) + 1: name for name in REPORTED[made.source]}
            what, code = "structure", "unknown_structure"
        for number in numbers:
            if number not in known:
                raise TelecommandError(
                    code, f"{what}: expected {', '.join(map(str, known))}, got {number}", made.octets
                )
        return tuple(known[number] for number in numbers)


class LengthError(ValueError):
    """Data of another length than the service says."""


def _format_service(service: tuple[int, int]) -> str:
    return f"[{service[0]},{service[1]}]"


def _read_text(data: bytes) -> str:
    """A text with zeros behind it. Raises ValueError if it is none."""
    text, _, rest = data.partition(b"\0")
    if rest.strip(b"\0"):
        raise ValueError(f"text: expected zeros behind it, got {format_value(rest)}")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"text: expected UTF-8, got {format_value(text)}") from None


def argument_octets(argument: Argument) -> int:
    """Octets of an argument of a function."""
    return ARGUMENT_OCTETS.get(argument.type) or struct.calcsize(_NUMBERS[argument.type])


def encode_function(name: str, arguments: Mapping[str, Any]) -> bytes:
    """The data of a telecommand of service 8: name and arguments of a command of the ICD.

    Raises:
        ValueError: a text is longer than its place.
    """
    parts = [name.encode("ascii").ljust(FUNCTION_OCTETS, b"\0")]
    for argument in COMMANDS[name].arguments:
        value, octets = arguments[argument.name], argument_octets(argument)
        if argument.type in _NUMBERS:
            parts.append(struct.pack(_NUMBERS[argument.type], value))
            continue
        text = value if argument.type == "text" else json.dumps(value, ensure_ascii=False)
        data = text.encode("utf-8")
        if len(data) > octets:
            raise ValueError(f"{name}.{argument.name}: expected at most {octets} octets, got {len(data)}")
        parts.append(data.ljust(octets, b"\0"))
    return b"".join(parts)


def decode_arguments(name: str, data: bytes) -> dict[str, Any]:
    """Read the arguments of a command of the ICD.

    Raises:
        LengthError: the data are shorter or longer.
        ValueError: a text is none, or no JSON where it should be.
    """
    arguments: dict[str, Any] = {}
    expected = sum(map(argument_octets, COMMANDS[name].arguments))
    if len(data) != expected:
        raise LengthError(f"{name}: expected {expected} octets of arguments, got {len(data)}")
    for argument in COMMANDS[name].arguments:
        octets = argument_octets(argument)
        own, data = data[:octets], data[octets:]
        if argument.type in _NUMBERS:
            (arguments[argument.name],) = struct.unpack(_NUMBERS[argument.type], own)
            continue
        text = _read_text(own)
        arguments[argument.name] = text if argument.type == "text" else _read_json(argument, text)
    return arguments


def _read_json(argument: Argument, text: str) -> Any:
    """A value in JSON; a scalar that is none is a text, as of `flight command`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        if argument.type == "scalar" and text:
            return text
        raise ValueError(f"{argument.name}: expected JSON, got {format_value(text)}") from None


class PacketSplitter:
    """Cuts a stream into packets by the lengths in their headers.

    A length that is wrong makes what follows unreadable. Nothing is looked for in it, as a packet's data may look like
    a packet: what is not whole when the stream falls silent is given up, and the next octet begins a packet.
    """

    def __init__(self) -> None:
        self._octets = bytearray()

    def add(self, octets: bytes) -> list[bytes]:
        """Take in octets; returns the packets that are whole."""
        self._octets += octets
        packets = []
        while len(self._octets) >= HEADER_OCTETS:
            length = HEADER_OCTETS + 1 + int.from_bytes(self._octets[4:6], "big")
            if len(self._octets) < length:
                break
            packets.append(bytes(self._octets[:length]))
            del self._octets[:length]
        return packets

    def give_up(self) -> bytes:
        """Forget what is not whole; returns it."""
        rest = bytes(self._octets)
        self._octets.clear()
        return rest
