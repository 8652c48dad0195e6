"""Telecommands: which are taken, how the others are rejected, and that the XTCE makes the right ones."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from fastcrc import crc16
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.icd.catalogue import COMMANDS, EVENTS
from hil.bridge.apids import apid_of
from hil.bridge.layouts import REPORTED, STRUCTURES, structure_id
from hil.bridge.telecommands import (
    CONNECTION_TEST,
    DISABLE_EVENTS,
    DISABLE_REPORTS,
    ENABLE_EVENTS,
    PERFORM,
    REQUEST_REPORTS,
    SOURCES,
    PacketSplitter,
    TelecommandError,
    TelecommandReader,
    encode_function,
    services_of,
)
from hil.bridge.xtce import NAMESPACE, make_xtce
from tests.hil.bridge.ground import function, telecommand

READER = TelecommandReader()
EXAMPLES: dict[str, dict[str, Any]] = {
    "set_parameter": {"name": "passes", "value": 7},
    "set_parameters": {"values": {"gamma": 2.5, "centering": "off", "mode": "Fusé"}},
    "set_mode": {"mode": "Fused"},
    "load_bundle": {"path": "bundles/newé"},
}


def seal(octets: bytes) -> bytes:
    """The same packet with its right CRC."""
    return octets[:-2] + crc16.ibm_3740(octets[:-2]).to_bytes(2, "big")


def rejection(octets: bytes, reader: TelecommandReader = READER) -> TelecommandError:
    with pytest.raises(TelecommandError) as caught:
        reader.read(octets)
    assert caught.value.octets == octets
    return caught.value


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_icd_is_a_function(name: str) -> None:
    arguments = EXAMPLES.get(name, {})
    assert set(arguments) == {argument.name for argument in COMMANDS[name].arguments}
    read = READER.read(function(name, arguments, count=77, source_id=3))
    assert (read.source, read.service, read.function) == ("commands", PERFORM, name)
    assert read.arguments == arguments
    assert (read.source_id, read.acknowledge) == (3, 0b1111)


@pytest.mark.parametrize("value", [7, 0.25, True, "risk", "a b", "1 of 2"])
def test_a_scalar_keeps_its_type(value: Any) -> None:
    read = READER.read(function("set_parameter", {"name": "x", "value": value})).arguments
    assert read is not None
    assert read["value"] == value
    assert type(read["value"]) is type(value)


def test_a_scalar_without_quotes_is_a_text() -> None:
    data = encode_function("set_parameter", {"name": "uncertain_rule", "value": "x"}).replace(b'"x"', b"risk\0"[:3])
    read = READER.read(telecommand("commands", PERFORM, data)).arguments
    assert read == {"name": "uncertain_rule", "value": "ris"}


GOOD = function("set_mode", {"mode": "Fused"})
WRONG: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "wrong_length"),
    "a header alone": (GOOD[:6], "wrong_length"),
    "cut": (GOOD[:-1], "wrong_length"),
    "one octet too many": (GOOD + b"\0", "wrong_length"),
    "wrong CRC": (GOOD[:-1] + bytes((GOOD[-1] ^ 1,)), "wrong_checksum"),
    "a flipped bit": (GOOD[:20] + bytes((GOOD[20] ^ 8,)) + GOOD[21:], "wrong_checksum"),
    "telemetry": (seal(bytes((GOOD[0] & ~0x10,)) + GOOD[1:]), "wrong_header"),
    "no secondary header": (seal(bytes((GOOD[0] & ~0x08,)) + GOOD[1:]), "wrong_header"),
    "version 1": (seal(bytes((GOOD[0] | 0x20,)) + GOOD[1:]), "wrong_header"),
    "segmented": (seal(GOOD[:2] + bytes((GOOD[2] & 0x3F,)) + GOOD[3:]), "wrong_header"),
    "PUS-A": (seal(GOOD[:6] + b"\x1f" + GOOD[7:]), "wrong_version"),
    "another APID": (function("no_op", apid=5), "wrong_apid"),
    "of frames": (telecommand("frames", CONNECTION_TEST), "wrong_apid"),
    "idle": (function("no_op", apid=0x7FF), "wrong_apid"),
    "unknown service": (telecommand("commands", (6, 2), b"x"), "unknown_service"),
    "unknown subtype": (telecommand("commands", (8, 2), b"x"), "unknown_service"),
    "a function of the bridge": (telecommand("bridge", PERFORM, encode_function("no_op", {})), "unknown_service"),
    "events of products": (telecommand("products", DISABLE_EVENTS, b"\1\0\1"), "unknown_service"),
    "unknown function": (telecommand("commands", PERFORM, b"self_destruct".ljust(32, b"\0")), "unknown_command"),
    "no function": (telecommand("commands", PERFORM), "unknown_command"),
    "a function that is no text": (telecommand("commands", PERFORM, b"\xff" * 32), "invalid_argument"),
    "something behind the name": (telecommand("commands", PERFORM, b"no_op\0x".ljust(32, b"\0")), "invalid_argument"),
    "arguments missing": (telecommand("commands", PERFORM, b"set_mode".ljust(32, b"\0")), "wrong_length"),
    "arguments too many": (telecommand("commands", PERFORM, b"no_op".ljust(33, b"\0")), "wrong_length"),
    "no JSON": (
        telecommand("commands", PERFORM, b"set_parameters".ljust(32, b"\0") + b"{x".ljust(2048, b"\0")),
        "invalid_argument",
    ),
    "no map": (
        telecommand("commands", PERFORM, b"set_parameters".ljust(32, b"\0") + b"[1]".ljust(2048, b"\0")),
        "invalid_argument",
    ),
    "nested without end": (
        telecommand("commands", PERFORM, b"set_parameters".ljust(32, b"\0") + b"[" * 2048),
        "invalid_argument",
    ),
    "an empty path": (function("load_bundle", {"path": ""}), "invalid_argument"),
    "data in a test": (telecommand("bridge", CONNECTION_TEST, b"x"), "wrong_length"),
    "no structures": (telecommand("telemetry", DISABLE_REPORTS), "wrong_length"),
    "none of them": (telecommand("telemetry", DISABLE_REPORTS, b"\0"), "wrong_length"),
    "fewer structures than said": (telecommand("telemetry", DISABLE_REPORTS, b"\2\1"), "wrong_length"),
    "another's structure": (telecommand("telemetry", DISABLE_REPORTS, b"\1\4"), "unknown_structure"),
    "unknown structure": (telecommand("products", REQUEST_REPORTS, b"\1\xff"), "unknown_structure"),
    "unknown event": (telecommand("telemetry", ENABLE_EVENTS, b"\1\xff\xff"), "unknown_event"),
    "half an event": (telecommand("telemetry", ENABLE_EVENTS, b"\1\0"), "wrong_length"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_ones_are_rejected_with_a_code(name: str) -> None:
    octets, code = WRONG[name]
    error = rejection(octets)
    assert error.code == code
    assert "\n" not in str(error)


def test_who_may_send_what_is_limited() -> None:
    reader = TelecommandReader(allowed=("no_op", "get_status"), source_ids=(3, 4))
    assert reader.read(function("no_op", source_id=3)).function == "no_op"
    assert rejection(function("no_op", source_id=5), reader).code == "wrong_source"
    assert rejection(function("shutdown", source_id=4), reader).code == "not_allowed"
    assert rejection(function("no_op"), TelecommandReader(allowed=())).code == "not_allowed"


def test_apids_are_counted_from_the_bridges() -> None:
    reader = TelecommandReader(base=100)
    assert reader.read(telecommand("bridge", CONNECTION_TEST, base=100)).source == "bridge"
    assert reader.read(function("no_op", base=100)).function == "no_op"
    assert rejection(function("no_op"), reader).code == "wrong_apid"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_octets_of_any_kind_are_rejected_or_read(octets: bytes) -> None:
    for packet in (octets, seal(GOOD[:6] + octets + b"\0\0"), seal(GOOD[:11] + octets + b"\0\0")):
        whole = packet
        if len(packet) >= 7:
            whole = seal(packet[:4] + (len(packet) - 7).to_bytes(2, "big") + packet[6:])
        for candidate in (packet, whole):
            try:
                READER.read(candidate)
            except TelecommandError as error:
                assert error.code  # noqa: PT017
            assert READER.find_source(candidate) in SOURCES


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.lists(st.integers(1, 60), max_size=12))
def test_a_stream_is_cut_into_its_packets(counts: list[int], pieces: list[int]) -> None:
    sent = [telecommand("bridge", CONNECTION_TEST, bytes(count)) for count in counts]
    stream, splitter, got = b"".join(sent), PacketSplitter(), []
    for piece in (*pieces, len(stream)):
        got += splitter.add(stream[:piece])
        stream = stream[piece:]
    assert got == sent
    assert splitter.give_up() == b""


def test_what_is_not_whole_is_given_up() -> None:
    splitter = PacketSplitter()
    assert splitter.add(GOOD + GOOD[:9]) == [GOOD]
    assert splitter.give_up() == GOOD[:9]
    assert splitter.add(GOOD) == [GOOD]


class XtceCommands:
    """Makes telecommands by the XCTE alone, as a ground system does: entries, then length, count and CRC."""

    def __init__(self) -> None:
        root = ET.fromstring(make_xtce())
        meta = root.find(self._tag("CommandMetaData"))
        assert meta is not None
        self._types = {kind.attrib["name"]: kind for kind in meta.find(self._tag("ArgumentTypeSet")) or ()}
        self.commands = {each.attrib["name"]: each for each in meta.find(self._tag("MetaCommandSet")) or ()}

    @staticmethod
    def _tag(name: str) -> str:
        return f"{{{NAMESPACE}}}{name}"

    def make(self, name: str, arguments: dict[str, str]) -> bytes:
        command, values, types, entries = self.commands[name], dict(arguments), {}, []
        while True:
            for each in command.iter(self._tag("ArgumentAssignment")):
                values[each.attrib["argumentName"]] = each.attrib["argumentValue"]
            for each in command.iter(self._tag("Argument")):
                types[each.attrib["name"]] = each.attrib["argumentTypeRef"]
            entries = list(next(command.iter(self._tag("EntryList")))) + entries
            parent = command.find(self._tag("BaseMetaCommand"))
            if parent is None:
                break
            command = self.commands[parent.attrib["metaCommandRef"]]
        octets = b""
        for entry in entries:
            if entry.tag == self._tag("FixedValueEntry"):
                octets += bytes.fromhex(entry.attrib["binaryValue"])
                assert int(entry.attrib["sizeInBits"]) == 4 * len(entry.attrib["binaryValue"])
            else:
                argument = entry.attrib["argumentRef"]
                octets += self._encode(self._types[types[argument]], values[argument])
        octets = octets[:4] + (len(octets) + 2 - 7).to_bytes(2, "big") + octets[6:]
        return seal(octets + b"\0\0")

    def _encode(self, kind: ET.Element, value: str) -> bytes:
        fixed = next(kind.iter(self._tag("FixedValue")), None)
        if fixed is not None:
            assert next(kind.iter(self._tag("TerminationChar"))).text == "00"
            return value.encode().ljust(int(fixed.text or "") // 8, b"\0")
        for choice in kind.iter(self._tag("Enumeration")):
            if choice.attrib["label"] == value:
                value = choice.attrib["value"]
        bits = int(next(kind.iter(self._tag("IntegerDataEncoding"))).attrib["sizeInBits"])
        return int(value).to_bytes(bits // 8, "big")


def test_a_ground_system_makes_commands_by_the_xtce() -> None:
    xtce = XtceCommands()
    typed = {
        "set_parameter": {"name": "passes", "value": "7"},
        "set_parameters": {"values": '{"gamma": 2.5, "centering": "off", "mode": "Fusé"}'},
        "set_mode": {"mode": "Fused"},
        "load_bundle": {"path": "bundles/newé"},
    }
    for name in COMMANDS:
        read = READER.read(xtce.make(name, typed.get(name, {})))
        assert (read.source, read.function, read.arguments) == ("commands", name, EXAMPLES.get(name, {}))
        assert read.acknowledge == 0b1111


def test_a_ground_system_makes_the_other_requests_by_the_xtce() -> None:
    xtce = XtceCommands()
    assert READER.read(xtce.make("test_bridge", {})).source == "bridge"
    assert READER.read(xtce.make("test_service", {})).source == "commands"
    made = {(PERFORM, name) for name in COMMANDS} | {(CONNECTION_TEST, "bridge"), (CONNECTION_TEST, "commands")}
    for source in SOURCES:
        for service in services_of(source):
            if service[0] == 3:
                for name in REPORTED[source]:
                    word = {5: "enable", 6: "disable", 27: "request"}[service[1]]
                    read = READER.read(xtce.make(f"{source}_{word}_report", {"structure": name}))
                    assert (read.source, read.service, read.items) == (source, service, (name,))
                made.add((service, source))
            if service[0] == 5:
                name = "worker_died" if source == "telemetry" else "service_gone"
                word = {5: "enable", 6: "disable"}[service[1]]
                read = READER.read(xtce.make(f"{source}_{word}_event", {"event": name}))
                assert (read.source, read.service, read.items) == (source, service, (name,))
                made.add((service, source))
    assert len(made) == len(xtce.commands) - 1  # all of them but the abstract one


def test_several_structures_and_events_at_once() -> None:
    numbers = bytes((2, structure_id("housekeeping"), structure_id("camera")))
    assert READER.read(telecommand("telemetry", DISABLE_REPORTS, numbers)).items == ("housekeeping", "camera")
    ids = b"".join(EVENTS[name].id.to_bytes(2, "big") for name in ("worker_died", "frame_rejected"))
    assert READER.read(telecommand("telemetry", DISABLE_EVENTS, b"\2" + ids)).items == ("worker_died", "frame_rejected")
    assert len(STRUCTURES) < 2**8
    assert apid_of("commands") < 2**11
