"""Telemetry packets, read by other libraries: by the XTCE, and as PUS packets."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import lxml.etree
import pytest
from space_packet_parser.xtce.validation import validate_xtce

from flight.client.hazard import landing_circles
from flight.client.navigation import NavigationFix, navigation_fix
from flight.icd.catalogue import EVENTS, FLAGS, REJECTION_REASONS
from flight.icd.catalogue.events import find_fields
from flight.icd.control import decode_message, describe_event, event_values
from flight.icd.limits import PRODUCT_TOPICS
from flight.icd.products import decode_product
from hil.bridge.apids import SOURCES, apid_of
from hil.bridge.fields import Field
from hil.bridge.layouts import LAYOUTS, REPORTED, STRUCTURES, Layout
from hil.bridge.own import BRIDGE_EVENTS
from hil.bridge.summaries import summarize_product
from hil.bridge.telemetry import Packetizer, make_event, read_housekeeping
from hil.bridge.xtce import make_xtce
from tests.golden.vectors import VECTORS, product
from tests.hil.bridge.ground import decode

TIME_NS = 1_700_000_000_123_456_789


def lowest(field: Field) -> Any:
    values = {"signed": -(2 ** (field.bits - 1)), "number": -1e308, "text": "", "choice": first_choice(field)}
    return None if field.may_miss else values.get(field.kind, 0 if field.kind == "unsigned" else False)


def highest(field: Field) -> Any:
    text = "é\U0001f680" * (field.most // 6)
    values = {"signed": 2 ** (field.bits - 1) - 1, "number": 1e308, "text": text, "choice": field.choices[-1:]}
    value = values.get(field.kind, 2**field.bits - 1 if field.kind == "unsigned" else True)
    return value[0] if isinstance(value, tuple) else value


def other(field: Field) -> Any:
    """A value whose bits are not all the same."""
    values = {"number": 1 / 3, "text": field.name, "choice": first_choice(field), "boolean": True}
    return values.get(field.kind, (2**field.bits - 1) // 3 if field.kind in ("unsigned", "signed") else False)


def first_choice(field: Field) -> str:
    return next((choice for choice in field.choices if choice), "")


def named(layout: Layout) -> dict[str, Field]:
    """A layout's fields by the names of their parameters in XTCE."""
    head = {field.name: field for field in layout.head}
    return head | {f"{layout.name}_{field.name}": field for field in layout.fields}


@pytest.mark.parametrize("values_of", [lowest, highest, other])
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_xtce_gives_back_what_was_put_in(name: str, values_of: Callable[[Field], Any]) -> None:
    layout = LAYOUTS[name]
    values = {field.name: values_of(field) for field in (*layout.head, *layout.fields)}
    for field, value in layout.selectors:
        values[field] = STRUCTURES[value - 1] if field == "structure_id" else value
        values[field] = bool(value) if field == "event_has_arguments" else values[field]
    packet = decode(Packetizer().make(layout, values, TIME_NS))
    assert (packet["pus_service"], packet["pus_subtype"]) == layout.service
    assert packet["ccsds_apid"] == apid_of(layout.source)
    for parameter, field in named(layout).items():
        expected = values[field.name]
        if field.may_miss:
            assert packet[f"{parameter}_known"] == (expected is not None)
        if expected is not None:
            assert packet[parameter] == expected, parameter


def test_the_xtce_is_valid_by_the_standards_schema() -> None:
    result = validate_xtce(
        lxml.etree.parse(io.BytesIO(make_xtce())), level="schema", print_results=False, allow_schema_download=False
    )
    assert result
    assert not result.errors


def test_counters_rise_by_one_and_begin_anew() -> None:
    packetizer, seen, messages = Packetizer(), [], []
    event = make_event("service_gone", TIME_NS, age_s=4.0)
    status = {field.name: 0 for field in LAYOUTS["bridge_status"].fields} | {"service_is_there": True}
    for _ in range(2):  # two kinds of message of one application process
        packetizer.event("bridge", event)
    for _ in range(2**14 + 3):
        octets = packetizer.report("bridge_status", status, TIME_NS)
        seen.append(int.from_bytes(octets[2:4], "big") & 0x3FFF)
        messages.append(int.from_bytes(octets[9:11], "big"))
    assert seen == [(2 + number) % 2**14 for number in range(len(seen))]
    assert messages == list(range(len(messages)))
    other = decode(packetizer.make(LAYOUTS["commands_alive"], {}, TIME_NS))
    assert other["ccsds_sequence_count"] == 0


def test_a_packet_that_cannot_be_made_takes_no_number() -> None:
    packetizer = Packetizer()
    with pytest.raises(ValueError, match="uptime_s"):
        packetizer.report("bridge_status", {}, TIME_NS)
    with pytest.raises(ValueError, match="alive"):
        packetizer.report("commands_alive", {}, TIME_NS)
    assert packetizer.made == 0
    event = make_event("service_found", TIME_NS, state="ready")
    assert decode(packetizer.event("bridge", event))["ccsds_sequence_count"] == 0


@pytest.mark.parametrize("time_ns", [0, 1, TIME_NS, 2**32 * 10**9 - 1, 2**64 - 1])
def test_times_are_seconds_since_1970(time_ns: int) -> None:
    packet = decode(Packetizer().make(LAYOUTS["commands_alive"], {}, time_ns))
    assert packet["time_preamble"] == 0x2F
    assert packet["time"] == pytest.approx(min(time_ns / 1e9, 2**32), abs=1e-6)


def arguments_of(name: str) -> Iterator[dict[str, Any]]:
    """Arguments with which the service can send an event: those of each of its formats, and all of them."""
    event = EVENTS[name]
    values = {"text": "é why", "texts": ["a", "b"], "map": {"passes": 3}, "integer": 7, "number": 2.5, "boolean": True}
    given = {argument.name: values[argument.type] for argument in event.arguments}
    yield given
    for text in event.formats:
        wanted = find_fields(text)
        yield {key: value for key, value in given.items() if key in wanted or key not in event.optional}


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_of_the_icd_goes_with_its_arguments(name: str) -> None:
    for given in arguments_of(name):
        check_event(name, given)


def check_event(name: str, given: dict[str, Any]) -> None:
    message, arguments = describe_event(name, given)
    event = event_values(name, message, arguments, TIME_NS, 3)
    packet = decode(Packetizer().event("telemetry", event))
    assert packet["event_id"] == EVENTS[name].id
    assert packet["event_severity"] == EVENTS[name].severity
    assert packet["event_message"] == message
    assert packet["event_suppressed"] == 3
    assert packet["pus_subtype"] == {"warning_low": 2, "warning_high": 3, "fatal": 4}.get(EVENTS[name].severity, 1)
    for argument in EVENTS[name].arguments:
        value = arguments.get(argument.name)
        if argument.name in EVENTS[name].optional:
            assert packet[f"event_{name}_{argument.name}_known"] == (value is not None)
        if value is not None:
            got = packet[f"event_{name}_{argument.name}"]
            assert (json.loads(got) if argument.type in ("texts", "map") else got) == value


@pytest.mark.parametrize("source", ["telemetry", "bridge"])
@pytest.mark.parametrize("severity", ["diagnostic", "info", "warning_low", "warning_high", "fatal"])
def test_events_of_another_version_go_without_arguments(source: str, severity: str) -> None:
    unknown = {
        "id": 999,
        "name": "later",
        "severity": severity,
        "time_ns": TIME_NS,
        "message": "of a later version",
        "arguments": {"anything": [1]},
        "count_suppressed": 0,
    }
    packet = decode(Packetizer().event(source, unknown))
    assert (packet["event_id"], packet["event_message"]) == (999, "of a later version")
    assert not packet["event_has_arguments"]
    changed = event_values("worker_ready", "pid many", {"pid": "many"}, TIME_NS, 0)
    assert not decode(Packetizer().event("telemetry", changed))["event_has_arguments"]


def test_housekeeping_and_cameras_carry_every_value() -> None:
    message = decode_message("housekeeping", VECTORS["housekeeping"]()[1])
    message["cameras"] = [
        {"source": "navcam", "epoch": 7, "newest_epoch": None, "accepted": 5, "rejected": {"crc_mismatch": 2}},
        {"source": "other", "epoch": 8, "newest_epoch": 9, "accepted": 6, "rejected": {"of_a_later_version": 1}},
    ]
    packetizer = Packetizer()
    packets = [decode(packetizer.report(*found)) for found in read_housekeeping(message)]
    assert [packet["structure_id"] for packet in packets] == ["housekeeping", "camera", "camera"]
    first = packets[0]
    assert first["housekeeping_state"] == message["state"]
    assert first["time"] == pytest.approx(message["time_ns"] / 1e9, abs=1e-6)
    for name, value in message["counters"].items():
        if isinstance(value, dict):
            for key, count in value.items():
                assert first[f"housekeeping_counters_{name}_{key.replace('.', '_')}"] == count
        else:
            assert first[f"housekeeping_counters_{name}"] == value
    for stage, latencies in message["latency_ms"].items():
        assert all(first[f"housekeeping_latency_ms_{stage}_{key}"] == value for key, value in latencies.items())
    assert first["housekeeping_parameters_passes"] == message["parameters"]["passes"]
    assert packets[1]["camera_rejected_crc_mismatch"] == 2
    assert not packets[1]["camera_newest_epoch_known"]
    assert packets[2]["camera_newest_epoch"] == 9
    assert not any(packets[2][f"camera_rejected_{reason}_known"] for reason in REJECTION_REASONS)


@pytest.mark.parametrize("topic", PRODUCT_TOPICS)
def test_a_product_is_summarized_as_consumers_see_it(topic: str) -> None:
    flags = ["deadline", "of_a_later_version"]
    taken = decode_product(product(topic, flags=flags, risk=0.01))
    name, values = summarize_product(taken)
    packet = decode(Packetizer().report(name, values, taken.header["published_time_ns"]))
    assert packet[f"{name}_frame_id"] == taken.header["frame_id"]
    assert packet[f"{name}_seed"] == taken.header["seed"]
    assert packet[f"{name}_status"] == "degraded"
    assert packet[f"{name}_risk"] == 0.01
    assert not packet[f"{name}_engine_known"]
    assert [packet[f"{name}_map_to_sensor_{number}"] for number in range(6)] == taken.header["map_to_sensor"]
    raised = {flag for flag in (*FLAGS, "unknown") if packet[f"{name}_flag_{flag}"]}
    assert raised == {"deadline", "unknown"}
    assert (packet[f"{name}_height"], packet[f"{name}_width"]) == (4, 6)
    # Class 3 of three classes, in the golden product a fourth of the pixels, is none.
    assert [packet[f"{name}_pixels_{role}"] for role in ("background", "safe", "hazard", "unknown")] == [6, 6, 6, 6]
    if topic == "map.navigation":
        fix = navigation_fix(taken)
        assert isinstance(fix, NavigationFix)
        assert packet[f"{name}_fix_x"] == fix.x
        assert packet[f"{name}_fix_covariance_xy"] == fix.covariance_xy
        assert not packet[f"{name}_sun_x_known"]
    if topic == "map.hazard":
        found = landing_circles(taken, 1.0, 1)
        assert bool(packet[f"{name}_circle_radius_known"]) == bool(found.circles)


def test_a_map_that_must_not_be_used_is_told_by_its_refusal() -> None:
    dark = decode_product(product("map.navigation", flags=["dark"]))
    name, values = summarize_product(dark)
    packet = decode(Packetizer().report(name, values, TIME_NS))
    assert packet["map_navigation_refusal"] == "dark"
    assert not packet["map_navigation_fix_x_known"]
    no_map = decode_product(product("map.hazard", status="invalid", flags=["safe_state"], planes=[])[:2])
    name, values = summarize_product(no_map)
    packet = decode(Packetizer().report(name, values, TIME_NS))
    assert packet["map_hazard_refusal"] == "invalid_product"
    assert not packet["map_hazard_height_known"]


def test_numbers_of_structures_stay() -> None:
    # Ground systems keep what they have received: only what is new may be appended.
    assert STRUCTURES[:6] == ("housekeeping", "camera", "bridge_status", "map_navigation", "map_hazard", "map_full")
    assert sorted(name for names in REPORTED.values() for name in names) == sorted(STRUCTURES)
    assert [event.id for event in BRIDGE_EVENTS.values()] == [1, 2]
    assert SOURCES == ("bridge", "frames", "products", "telemetry", "commands")


def test_texts_are_cut_between_characters() -> None:
    packet = decode(
        Packetizer().make(
            LAYOUTS["commands_acceptance_failure"],
            {"request_packet_id": 0, "request_sequence": 0, "failure_code": "later", "failure_text": "ü" * 600 + "x"},
            TIME_NS,
        )
    )
    assert packet["failure_text"] == "ü" * 512
    assert packet["failure_code"] == "other"


def test_numbers_that_are_none_are_not_known() -> None:
    message = decode_message("housekeeping", VECTORS["housekeeping"]()[1])
    message["parameters"] |= {"gamma": math.nan, "passes": 10**6, "engine": 3, "publish_full": "yes"}
    _, values, time_ns = next(read_housekeeping(message))
    packet = decode(Packetizer().report("housekeeping", values, time_ns))
    for name in ("gamma", "passes", "engine", "publish_full"):
        assert not packet[f"housekeeping_parameters_{name}_known"]


def test_the_page_says_what_the_code_says() -> None:
    from hil.bridge.document import make_files

    for path, text in make_files().items():
        assert path.read_text(encoding="utf-8") == text, "run `python -m hil.bridge.document --write`"
