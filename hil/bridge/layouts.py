"""The packets: application processes, services and fields, all of them derived from the ICD's catalogue.

Names, numbers and types stand in flight.icd.catalogue and in the JSON Schemas of flight.icd and of the configuration.
What is added here is what the packet utilization standard (ECSS-E-ST-70-41C) needs beside them.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from types import UnionType
from typing import Any

from flight.client.hazard import LandingCircle
from flight.client.navigation import NavigationFix, SunDirection
from flight.icd.catalogue import (
    CLASS_ROLES,
    COMMANDS,
    EVENTS,
    FLAGS,
    REJECTION_REASONS,
    REPLY_CODES,
    Argument,
    EventDefinition,
)
from flight.icd.limits import PRODUCT_TOPICS, TOPIC_HAZARD, TOPIC_NAVIGATION
from flight.schema import load_schema
from hil.bridge.apids import BRIDGE, SOURCES
from hil.bridge.fields import Field, from_schema
from hil.bridge.own import BRIDGE_EVENTS, FAILURES, BridgeStatus

# Of the packet utilization standard.
VERIFICATION, HOUSEKEEPING, EVENT_REPORTING, FUNCTIONS, TEST = 1, 3, 5, 8, 17
HOUSEKEEPING_REPORT = (HOUSEKEEPING, 25)
ALIVE_REPORT = (TEST, 2)
# Subtypes from 128 on are a mission's own: the standard has no report of what a function gave.
RESULT_REPORT = (FUNCTIONS, 129)

# By position from 1 on: what a report of service 3 is of. Append only.
STRUCTURES = ("housekeeping", "camera", "bridge_status", *(topic.replace(".", "_") for topic in PRODUCT_TOPICS))
_EVENT_SUBTYPES = {"diagnostic": 1, "info": 1, "warning_low": 2, "warning_high": 3, "fatal": 4}
SEVERITIES = tuple(_EVENT_SUBTYPES)
_FLAG_BITS = 32  # as many as a product may have; the last one says that there is a flag of a later version
# Own reasons for a failure come first; the ICD's reply codes begin here.
_FIRST_REPLY_CODE = 256
FAILURE_CODES = (*FAILURES, *("",) * (_FIRST_REPLY_CODE - len(FAILURES)), *REPLY_CODES)
MOST_RESULT = 32 * 1024

VERIFICATIONS: dict[str, int] = {
    "acceptance_success": 1,
    "acceptance_failure": 2,
    "start_success": 3,
    "completion_success": 7,
    "completion_failure": 8,
}


@dataclass(frozen=True)
class Layout:
    """One kind of packet.

    Attributes:
        name: unique.
        source: whose application process it comes from: "bridge" or one of the catalogue's sockets.
        service: of the packet utilization standard, type and subtype.
        head: fields that all packets of this service share.
        fields: what follows them; parameters in XTCE are called as they, behind the packet's name.
        selectors: fields of the head by whose values the packet is known among those of its service.
        meaning: in words.
    """

    name: str
    source: str
    service: tuple[int, int]
    head: tuple[Field, ...]
    fields: tuple[Field, ...]
    selectors: tuple[tuple[str, int], ...]
    meaning: str


def structure_id(name: str) -> int:
    """The number of a structure that service 3 reports."""
    return STRUCTURES.index(name) + 1


STRUCTURE_FIELD = Field("structure_id", "choice", 8, "which structure is reported", choices=("", *STRUCTURES))
REQUEST_FIELDS = (
    Field("request_packet_id", "unsigned", 16, "first two octets of the telecommand"),
    Field("request_sequence", "unsigned", 16, "its sequence flags and count"),
)
FAILURE_FIELDS = (
    Field("failure_code", "choice", 16, "why it failed", choices=FAILURE_CODES),
    Field("failure_text", "text", 16, "the same in words"),
)
EVENT_FIELDS = (
    Field("event_id", "unsigned", 16, "of the event in its source's list"),
    Field("event_severity", "choice", 8, "of the ICD, finer than the standard's", choices=SEVERITIES),
    Field("event_time_ns", "unsigned", 64, "spacecraft clock", "ns"),
    Field("event_suppressed", "unsigned", 64, "how many of this event were held back since the last one"),
    Field("event_message", "text", 16, "in words"),
    Field("event_has_arguments", "boolean", 8, "whether the event's arguments follow"),
)
RESULT_FIELDS = (
    *REQUEST_FIELDS,
    Field("function", "text", 16, "the ICD's name of the command"),
    Field("result_is_whole", "boolean", 8, "whether nothing was cut off the result"),
    Field("result", "text", 16, "of the reply, as JSON", most=MOST_RESULT),
)


def _icd(name: str) -> dict[str, Any]:
    return load_schema("flight.icd.schemas", name)


def _of_keys(keys: Iterable[str], schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict.fromkeys(keys, schema)}


def _housekeeping_fields() -> tuple[Field, ...]:
    schema = _icd("housekeeping")
    properties = schema["properties"]
    counters = properties["counters"]["properties"]
    counters["frames_rejected"] = _of_keys(REJECTION_REASONS, counters["frames_received"])
    counters["products_published"] = _of_keys(PRODUCT_TOPICS, counters["frames_received"])
    parameters = load_schema("flight.schemas", "configuration")["properties"]["parameters"]["properties"]
    mode = _icd("map")["properties"]["mode"]
    properties["parameters"] = {"type": "object", "properties": {"mode": mode, **parameters}}
    return tuple(from_schema(schema, ""))


def _camera_fields() -> tuple[Field, ...]:
    schema = _icd("housekeeping")["properties"]["cameras"]["items"]
    schema["properties"]["rejected"] = _of_keys(REJECTION_REASONS, schema["properties"]["accepted"])
    return tuple(from_schema(schema, ""))


def _product_fields(topic: str) -> tuple[Field, ...]:
    flags = [Field(f"flag_{name}", "flag", 1, flag.cause) for name, flag in FLAGS.items()]
    spare = [Field(f"spare_{number}", "flag", 1) for number in range(_FLAG_BITS - len(flags) - 1)]
    unknown = Field("flag_unknown", "flag", 1, "one that this version does not know")
    return (
        *(field for field in from_schema(_icd("map"), "") if field.name != "topic"),
        *flags,
        *spare,
        unknown,
        *_optional(
            Field("height", "unsigned", 16, "of the map", "pixel"),
            Field("width", "unsigned", 16, "of the map", "pixel"),
            *(Field(f"pixels_{role}", "unsigned", 32, meaning, "pixel") for role, meaning in CLASS_ROLES.items()),
            Field("pixels_unknown", "unsigned", 32, "uncertain, or outside of the camera's frame", "pixel"),
            Field("mean_entropy", "number", 64, "predictive, over the map", "nat"),
            Field("refusal", "text", 16, "why a consumer must not use the map"),
        ),
        *_result_fields(topic),
    )


def _result_fields(topic: str) -> tuple[Field, ...]:
    """What consumers make of a map."""
    if topic == TOPIC_NAVIGATION:
        return (*dataclass_fields(NavigationFix, "fix", True), *dataclass_fields(SunDirection, "sun", True))
    return tuple(dataclass_fields(LandingCircle, "circle", True)) if topic == TOPIC_HAZARD else ()


def _optional(*made: Field) -> tuple[Field, ...]:
    return tuple(Field(**{**vars(field), "may_miss": True}) for field in made)


def dataclass_fields(kind: type, prefix: str = "", may_miss: bool = False) -> Iterator[Field]:
    """The fields of a dataclass that are numbers, texts and booleans, those that may be None among them."""
    hints = typing.get_type_hints(kind)
    for item in fields(kind):
        hint = hints[item.name]
        options = set(typing.get_args(hint)) if isinstance(hint, UnionType) else {hint}
        missing = may_miss or type(None) in options
        name = f"{prefix}_{item.name}" if prefix else item.name
        common = {"path": (item.name,), "may_miss": missing}
        for python_type, field_kind, bits in (
            (bool, "boolean", 8),
            (int, "unsigned", 64),
            (float, "number", 64),
            (str, "text", 16),
        ):
            if python_type in options:
                yield Field(name, field_kind, bits, **common)  # type: ignore[arg-type]


def _argument_field(argument: Argument, event: EventDefinition) -> Field:
    """An argument of an event; lists and maps are texts in JSON."""
    kinds = {"number": ("number", 64), "boolean": ("boolean", 8)}
    kinds["integer"] = ("unsigned" if argument.low is not None and argument.low >= 0 else "signed", 64)
    kind, bits = kinds.get(argument.type, ("text", 16))
    return Field(
        argument.name,
        kind,  # type: ignore[arg-type]
        bits,
        argument.description,
        argument.units,
        path=(argument.name,),
        may_miss=argument.name in event.optional,
    )


def event_without_arguments(source: str, severity: str) -> str:
    """The layout of an event that the catalogue does not have, or not with these arguments."""
    return f"{source}_other_{'info' if severity == 'diagnostic' else severity}"


def _event_layouts(source: str, events: Mapping[str, EventDefinition]) -> Iterator[Layout]:
    for event in events.values():
        service = (EVENT_REPORTING, _EVENT_SUBTYPES[event.severity])
        own = tuple(_argument_field(argument, event) for argument in event.arguments)
        selectors = (("event_id", event.id), ("event_has_arguments", 1))
        yield Layout(f"event_{event.name}", source, service, EVENT_FIELDS, own, selectors, event.cause)
    for severity, subtype in _EVENT_SUBTYPES.items():
        if severity == "diagnostic":
            continue  # of the same subtype as "info"
        yield Layout(
            event_without_arguments(source, severity),
            source,
            (EVENT_REPORTING, subtype),
            EVENT_FIELDS,
            (),
            (("event_has_arguments", 0),),
            "an event whose arguments are not in this catalogue",
        )


def _structure_layout(name: str, source: str, made: Iterable[Field], meaning: str) -> Layout:
    selectors = (("structure_id", structure_id(name)),)
    return Layout(name, source, HOUSEKEEPING_REPORT, (STRUCTURE_FIELD,), tuple(made), selectors, meaning)


def _make_layouts() -> Iterator[Layout]:
    yield _structure_layout("housekeeping", "telemetry", _housekeeping_fields(), "the service's state, every second")
    yield _structure_layout("camera", "telemetry", _camera_fields(), "of a camera, one packet each, with housekeeping")
    for topic in PRODUCT_TOPICS:
        yield _structure_layout(
            topic.replace(".", "_"), "products", _product_fields(topic), f"summary of a product of {topic}"
        )
    yield _structure_layout(
        "bridge_status", BRIDGE, dataclass_fields(BridgeStatus), "the bridge's own state, every second"
    )
    yield from _event_layouts("telemetry", EVENTS)
    yield from _event_layouts(BRIDGE, BRIDGE_EVENTS)
    for source in dict.fromkeys(("commands", BRIDGE, "telemetry", "products")):
        for name, subtype in VERIFICATIONS.items():
            more = FAILURE_FIELDS if name.endswith("failure") else ()
            yield Layout(
                f"{source}_{name}",
                source,
                (VERIFICATION, subtype),
                (*REQUEST_FIELDS, *more),
                (),
                (),
                "of a telecommand",
            )
    for source in ("commands", BRIDGE):
        yield Layout(f"{source}_alive", source, ALIVE_REPORT, (), (), (), "the answer to a connection test")
    yield Layout("function_result", "commands", RESULT_REPORT, RESULT_FIELDS, (), (), "what a command gave")


LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in _make_layouts()}
# The structures that a source reports by service 3.
REPORTED: dict[str, tuple[str, ...]] = {
    source: tuple(
        layout.name for layout in LAYOUTS.values() if layout.source == source and layout.service == HOUSEKEEPING_REPORT
    )
    for source in SOURCES
}
SOURCE_EVENTS = {"telemetry": EVENTS, BRIDGE: BRIDGE_EVENTS}
FUNCTION_NAMES = tuple(COMMANDS)
