"""The catalogue: typed arguments of events and commands, and agreement with the JSON Schemas beside it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flight.icd.catalogue import (
    CLASS_ROLES,
    COMMANDS,
    EVENTS,
    FLAGS,
    REPLY_CODES,
    SOCKETS,
    STATUSES,
    TOPIC_PLANES,
    Argument,
    check_arguments,
    flags_forbidding,
    worst_status,
)
from flight.icd.catalogue.events import find_fields
from flight.icd.control import decode_message, describe_event, encode_message, event_values
from flight.icd.limits import PRODUCT_TOPICS
from flight.schema import SchemaError, check, load_schema

SHA = "5a" * 32
# Every form that a message takes: name, arguments, text.
MESSAGES: list[tuple[str, dict[str, Any], str]] = [
    ("service_started", {"pid": 7, "name": "unet_h", "version": "0.2.0"}, "bundle unet_h 0.2.0"),
    ("service_stopped", {"uptime_s": 12.345}, "after 12.3 s"),
    ("service_stopped", {"uptime_s": 2, "fault": "OSError: x"}, "after 2.0 s by a fault of its own: OSError: x"),
    (
        "service_stopped",
        {"uptime_s": 12.345, "fault": "KeyError: 'x'"},
        "after 12.3 s by a fault of its own: KeyError: 'x'",
    ),
    (
        "safe_state_entered",
        {"restart_limit": 5, "restart_window_s": 60.0},
        "more than 5 worker restarts in 60 s",
    ),
    (
        "safe_state_entered",
        {"restart_limit": 5, "restart_window_s": 60.0, "problem": "pid 41: exit status 1"},
        "more than 5 worker restarts in 60 s, the last one: pid 41: exit status 1",
    ),
    ("safe_state_left", {}, "by command"),
    ("worker_ready", {"pid": 41}, "pid 41"),
    ("worker_died", {"pid": 41, "ending": "signal SIGKILL"}, "pid 41: signal SIGKILL"),
    ("worker_died", {"error": "no more processes"}, "could not be started: no more processes"),
    (
        "worker_timeout",
        {"pid": 41, "state": "busy", "quiet_s": 2.04, "limit_s": 1.5},
        "pid 41: busy, no sign of life for 2.0 s, limit 1.5 s",
    ),
    ("worker_refused", {"problem": "ValueError: mode"}, "ValueError: mode"),
    ("self_test_passed", {"agreement_percent": 99.876}, "99.88 % of the pixels as recorded"),
    ("self_test_failed", {"problem": "not the known one"}, "not the known one"),
    (
        "self_test_reference_set",
        {"digest": SHA, "sha256": "ab" * 32},
        "5a5a5a5a5a5a5a5a... of bundle abababababababab...",
    ),
    (
        "self_test_reference_replaced",
        {"digest": SHA, "sha256": "ab" * 32},
        "5a5a5a5a5a5a5a5a... of bundle abababababababab...",
    ),
    ("worker_answer_malformed", {"problem": "KeyError: 'type'"}, "KeyError: 'type'"),
    ("worker_upset", {"problem": "memory: 1 pages"}, "memory: 1 pages"),
    ("memory_unguarded", {"pid": 41}, "pid 41"),
    ("frame_rejected", {"reason": "crc_mismatch", "problem": "frame.crc32: {x}"}, "frame.crc32: {x}"),
    ("command_rejected", {"code": "busy", "problem": "another command"}, "another command"),
    (
        "parameter_changed",
        {"names": ["mode", "gamma"], "values": {"mode": "UNetH", "gamma": 3.0}},
        "mode = UNetH, gamma = 3.0",
    ),
    ("counters_reset", {}, "all counters and latencies begin anew"),
    ("record_copy_damaged", {"problem": "record.a: CRC-32"}, "record.a: CRC-32"),
    ("record_lost", {"problems": ["record.a: CRC-32", "record.b: gone"]}, "record.a: CRC-32; record.b: gone"),
    ("record_not_written", {"path": "/state/record.a", "error": "No space left"}, "/state/record.a: No space left"),
    ("record_not_written", {"bundle": "/bundle", "error": "No space left"}, "no copy of /bundle: No space left"),
    ("record_moved", {"place": "0123:/var/lib/a"}, "the record was written in 0123:/var/lib/a"),
    ("record_not_applicable", {"problem": "passes: no such parameter"}, "passes: no such parameter"),
    ("bundle_refused", {"problem": "sha256"}, "sha256"),
    ("bundle_loaded", {"folder": "next", "sha256": SHA}, "next, 5a5a5a5a5a5a5a5a..."),
    ("bundle_validated", {"name": "next", "version": "2", "sha256": SHA}, "next 2, 5a5a5a5a5a5a5a5a..."),
    (
        "bundle_activated",
        {"name": "next", "version": "2", "sha256": SHA, "previous_name": "unet_h", "previous_version": "1"},
        "next 2 after unet_h 1",
    ),
    (
        "bundle_fell_back",
        {"failed_name": "next", "failed_version": "2", "problem": "pid 4", "name": "unet_h", "version": "1"},
        "next 2 failed (pid 4); unet_h 1 serves",
    ),
    ("bundle_confirmed", {"name": "next", "version": "2"}, "next 2"),
    ("bundle_restored", {"name": "next", "version": "2", "sha256": SHA}, "next 2, 5a5a5a5a5a5a5a5a..."),
    ("bundle_damaged", {"problem": "first.tflite: sha256"}, "first.tflite: sha256"),
    ("bundle_damaged", {"given_problem": "no manifest"}, "no manifest; its copy is used"),
    ("bundle_damaged", {"write_error": "full"}, "and could not be written anew: full"),
    ("bundle_damaged", {"repair_error": "no worker"}, "not repaired: no worker"),
    ("bundle_repaired", {"name": "next", "version": "2", "folder": "/state/x"}, "next 2 from /state/x"),
    (
        "handshake_failed",
        {"socket": "frames", "key": "k" * 40, "address": "10.0.0.9", "role": "camera"},
        f"frames: key {'k' * 40} from 10.0.0.9 is not allowed as camera",
    ),
    (
        "handshake_failed",
        {"socket": "frames", "key": "k" * 40, "address": None, "role": "camera"},
        f"frames: key {'k' * 40} is not allowed as camera",
    ),
    ("handshake_failed", {"socket": "commands", "problem": "no valid handshake"}, "commands: no valid handshake"),
    ("handshake_failed", {"problem": "a handshake without a CURVE key"}, "a handshake without a CURVE key"),
]


@pytest.mark.parametrize(("name", "given", "text"), MESSAGES)
def test_an_events_message_is_made_from_its_arguments(name: str, given: dict[str, Any], text: str) -> None:
    message, arguments = describe_event(name, given)
    assert message == text
    assert arguments == {key: value for key, value in given.items() if value is not None}
    assert list(arguments) == [a.name for a in EVENTS[name].arguments if a.name in arguments]
    event = decode_message("event", encode_message("event", event_values(name, message, arguments, 5, 0)))
    assert (event["message"], event["arguments"]) == (text, arguments)


def test_every_form_of_every_message_was_tried() -> None:
    forms = {(name, text) for name, event in EVENTS.items() for text in event.formats}
    tried = {
        (name, EVENTS[name].choose_format({key for key, value in given.items() if value is not None}))
        for name, given, _ in MESSAGES
    }
    assert tried == forms


@pytest.mark.parametrize("name", EVENTS)
def test_every_argument_in_a_format_is_declared(name: str) -> None:
    event = EVENTS[name]
    declared = {argument.name for argument in event.arguments}
    assert event.formats
    assert set().union(*map(find_fields, event.formats)) <= declared
    assert len(declared) == len(event.arguments)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("worker_ready", {"pid": "41"}, "worker_ready.pid: expected integer, got '41'"),
        ("worker_ready", {"pid": True}, "worker_ready.pid: expected integer, got True"),
        ("worker_ready", {"pid": -1}, "worker_ready.pid: expected >= 0, got -1"),
        ("worker_ready", {}, "worker_ready.pid: expected a value, got None"),
        ("worker_ready", {"pid": 1, "name": "x"}, "worker_ready.name: expected pid, got 'x'"),
        ("safe_state_left", {"pid": 1}, "safe_state_left.pid: expected no arguments, got 1"),
        ("self_test_passed", {"agreement_percent": 101.0}, "expected 0..100, got 101.0"),
        ("parameter_changed", {"names": [1], "values": {}}, "parameter_changed.names[0]: expected string, got 1"),
        ("worker_died", {"pid": 1}, "worker_died.arguments: expected those of one of"),
        ("record_not_written", {"path": "/x"}, "record_not_written.error: expected a value"),
    ],
)
def test_an_event_with_wrong_arguments_is_refused(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=re.escape(message)):
        describe_event(name, given)


def test_long_texts_of_an_event_are_cut() -> None:
    message, arguments = describe_event("record_lost", {"problems": ["é" * 2000, "b"]})
    assert arguments["problems"] == ["é" * 512, "b"]
    event = decode_message("event", encode_message("event", event_values("record_lost", message, arguments, 0, 0)))
    assert event["message"] == "é" * 512


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("no_op", {}),
        ("set_parameter", {"name": "passes", "value": 5}),
        ("set_parameter", {"name": "centering", "value": "off"}),
        ("set_parameter", {"name": "publish_full", "value": True}),
        ("set_parameters", {"values": {"passes": 5}}),
        ("set_mode", {"mode": "UNetH"}),
        ("load_bundle", {"path": "next"}),
    ],
)
def test_right_arguments_of_a_command_pass(name: str, given: dict[str, Any]) -> None:
    check_arguments(name, given)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("no_op", {"x": 1}, "no_op.x: expected no arguments, got 1"),
        ("set_parameter", {"name": "passes"}, "set_parameter.value: expected a value, got None"),
        ("set_parameter", {"name": 5, "value": 1}, "set_parameter.name: expected string, got 5"),
        ("set_parameter", {"name": "passes", "value": [1]}, "set_parameter.value: expected boolean or integer or"),
        ("set_parameters", {"values": 5}, "set_parameters.values: expected object, got 5"),
        ("set_mode", {"mode": "a", "gamma": 3}, "set_mode.gamma: expected mode, got 3"),
        ("load_bundle", {"path": ""}, "load_bundle.path: expected 1..255 characters, got ''"),
        ("load_bundle", {"path": "x" * 256}, "load_bundle.path: expected 1..255 characters"),
    ],
)
def test_wrong_arguments_of_a_command_are_refused(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=re.escape(message)):
        check_arguments(name, given)


@pytest.mark.parametrize(
    ("argument", "good", "bad"),
    [
        (Argument("a", "text", ""), "", 1),
        (Argument("a", "texts", ""), ["x", ""], ["x", 1]),
        (Argument("a", "integer", "", low=0, high=9), 9, 10),
        (Argument("a", "number", "", low=0.5), 1, 0.25),
        (Argument("a", "boolean", ""), False, 0),
        (Argument("a", "map", ""), {}, []),
        (Argument("a", "scalar", ""), 1.5, None),
    ],
)
def test_an_arguments_type_and_range(argument: Argument, good: Any, bad: Any) -> None:
    check(good, argument.schema, "a")
    with pytest.raises(SchemaError):
        check(bad, argument.schema, "a")


def test_the_json_schemas_name_the_same_things() -> None:
    product = load_schema("flight.icd.schemas", "map")["properties"]
    manifest = load_schema("flight.schemas", "manifest")["properties"]
    planes = product["planes"]["items"]["properties"]
    dtypes = {plane.dtype for planes in TOPIC_PLANES.values() for plane in planes}
    assert product["topic"]["enum"] == list(TOPIC_PLANES) == list(PRODUCT_TOPICS)
    assert product["status"]["enum"] == list(STATUSES)
    assert product["classes"]["items"]["properties"]["role"]["enum"] == list(CLASS_ROLES)
    assert manifest["classes"]["items"]["properties"]["role"]["enum"] == list(CLASS_ROLES)
    assert set(planes["dtype"]["enum"]) == dtypes
    assert max(map(len, TOPIC_PLANES.values())) <= product["planes"]["maxItems"]
    statuses = load_schema("flight.icd.schemas", "reply")["properties"]["status"]["enum"]
    assert {code.status for code in REPLY_CODES.values()} == set(statuses)
    severities = load_schema("flight.icd.schemas", "event")["properties"]["severity"]["enum"]
    assert {event.severity for event in EVENTS.values()} == set(severities)
    endpoints = load_schema("flight.schemas", "configuration")["properties"]["endpoints"]["properties"]
    assert set(SOCKETS) == set(endpoints)


def test_names_fit_their_fields() -> None:
    assert all(len(name) <= 64 for name in (*COMMANDS, *EVENTS, *REPLY_CODES, *FLAGS))
    planes = [plane for planes in TOPIC_PLANES.values() for plane in planes]
    assert all(len(plane.name) <= 32 and len(plane.units) <= 16 for plane in planes)


def test_a_products_status_is_the_worst_of_its_flags() -> None:
    assert worst_status([]) == "valid"
    assert worst_status(["body_cut", "single_pass"]) == "valid"
    assert worst_status(["body_cut", "dark"]) == "degraded"
    assert worst_status(["safe_state", "dark"]) == "invalid"


def test_flags_forbid_maps_to_consumers() -> None:
    of_both = {"body_not_found", "dark", "empty_sky", "not_a_body"}
    assert set(flags_forbidding("navigation_fix")) == of_both
    assert set(flags_forbidding("landing_circles")) == of_both | {"saturated", "body_small", "high_entropy"}
    assert all(flag.status != "invalid" for flag in FLAGS.values() if flag.forbids)
