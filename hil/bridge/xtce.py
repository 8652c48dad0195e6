"""The packets' description in XTCE 1.2 (CCSDS 660.0-B-2), made of the same layouts as the packets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.etree import ElementTree as ET

from flight.icd.catalogue import COMMANDS, Argument
from flight.icd.limits import SCHEMA_VERSION
from hil.bridge.apids import BRIDGE, DEFAULT_APID, apid_of
from hil.bridge.fields import OTHER, Field
from hil.bridge.layouts import (
    EVENT_REPORTING,
    HOUSEKEEPING,
    HOUSEKEEPING_REPORT,
    LAYOUTS,
    REPORTED,
    SOURCE_EVENTS,
    Layout,
    structure_id,
)
from hil.bridge.telecommands import (
    CONNECTION_TEST,
    DISABLE_EVENTS,
    DISABLE_REPORTS,
    ENABLE_EVENTS,
    ENABLE_REPORTS,
    FUNCTION_OCTETS,
    PERFORM,
    REQUEST_REPORTS,
    argument_octets,
    services_of,
)
from hil.bridge.telemetry import COARSE_OCTETS, FINE_OCTETS, TIME_PREAMBLE

NAMESPACE = "http://www.omg.org/spec/XTCE/20180204"
_SCHEMA = "https://www.omg.org/spec/XTCE/20180204/SpaceSystem.xsd"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
SPACE_SYSTEM = "Rubblemap"
ROOT_CONTAINER = "CCSDSPacket"
_SECONDARY_CONTAINER = "PUSTelemetry"
# Type and secondary header flag of a telecommand, and all verification reports wanted.
_TC_PACKET_ID, _TC_SECONDARY = 0x1800, 0x2F
_UNSEGMENTED = 0xC000
_TYPE_NAMES = {"unsigned": "Unsigned", "signed": "Signed", "number": "Number", "boolean": "Boolean", "flag": "Boolean"}
_NUMBER_TYPES = {"integer": "Signed64", "number": "Number64", "boolean": "Unsigned8"}

_PRIMARY = (
    Field("ccsds_version", "unsigned", 3),
    Field("ccsds_type", "unsigned", 1),
    Field("ccsds_secondary_header", "unsigned", 1),
    Field("ccsds_apid", "unsigned", 11),
    Field("ccsds_sequence_flags", "unsigned", 2),
    Field("ccsds_sequence_count", "unsigned", 14),
    Field("ccsds_length", "unsigned", 16),
)
_SECONDARY = (
    Field("pus_version", "unsigned", 4),
    Field("pus_time_reference", "unsigned", 4),
    Field("pus_service", "unsigned", 8),
    Field("pus_subtype", "unsigned", 8),
    Field("pus_message_counter", "unsigned", 16),
    Field("pus_destination", "unsigned", 16),
    Field("time_preamble", "unsigned", 8, f"of the time code, 0x{TIME_PREAMBLE:02X}"),
)
_TIME, _TIME_TYPE = "time", "CucTime"
_CRC = Field("packet_error_control", "unsigned", 16, "CRC-16 over everything before it")


class _Builder:
    """Collects types, parameters and containers, each once."""

    def __init__(self, base: int) -> None:
        ET.register_namespace("", NAMESPACE)
        ET.register_namespace("xsi", _INSTANCE)
        self._base = base
        self._types: dict[str, ET.Element] = {}
        self._parameters: dict[str, ET.Element] = {}
        self._containers: list[ET.Element] = []

    def make(self) -> ET.Element:
        system = _element("SpaceSystem", name=SPACE_SYSTEM)
        system.set(f"{{{_INSTANCE}}}schemaLocation", f"{NAMESPACE} {_SCHEMA}")
        header = {"version": str(SCHEMA_VERSION), "validationStatus": "Released"}
        system.append(_element("Header", **header))
        self._add_headers()
        for service, layouts in _by_head().items():
            self._add_service(service, layouts)
        telemetry = _child(system, "TelemetryMetaData")
        _child(telemetry, "ParameterTypeSet").extend(self._types.values())
        _child(telemetry, "ParameterSet").extend(self._parameters.values())
        _child(telemetry, "ContainerSet").extend(self._containers)
        system.append(_make_commands(self._base))
        return system

    def _add_headers(self) -> None:
        self._add_container(ROOT_CONTAINER, None, (), [self._parameter(field, field.name) for field in _PRIMARY], True)
        entries = [self._parameter(field, field.name) for field in _SECONDARY]
        kind = _element("AbsoluteTimeParameterType", name=_TIME_TYPE)
        encoding = _child(kind, "Encoding", units="seconds", scale=repr(2.0 ** (-8 * FINE_OCTETS)))
        bits = 8 * (COARSE_OCTETS + FINE_OCTETS)
        _child(encoding, "IntegerDataEncoding", sizeInBits=str(bits), encoding="unsigned")
        _child(_child(kind, "ReferenceTime"), "Epoch").text = "UNIX"
        self._types[_TIME_TYPE] = kind
        self._parameters[_TIME] = _element(
            "Parameter", name=_TIME, parameterTypeRef=_TIME_TYPE, shortDescription="of what the packet tells"
        )
        restrictions = (("ccsds_type", 0), ("ccsds_secondary_header", 1))
        self._add_container(_SECONDARY_CONTAINER, ROOT_CONTAINER, restrictions, [*entries, _TIME], True)

    def _add_service(self, name: str, layouts: list[Layout]) -> None:
        """Add a service's packets. A head that they share is a container; of other services there is none."""
        first = layouts[0]
        shared = len(first.selectors) > 0
        parent = _SECONDARY_CONTAINER
        if shared:
            parent = name
            reports = first.service == HOUSEKEEPING_REPORT
            entries = [entry for field in first.head for entry in self._entries(field, field.name)]
            of_service = [("pus_service", first.service[0]), *[("pus_subtype", first.service[1])] * reports]
            self._add_container(name, _SECONDARY_CONTAINER, of_service, entries, True)
        for layout in layouts:
            head = [] if shared else [entry for field in layout.head for entry in self._entries(field, field.name)]
            own = [entry for f in layout.fields for entry in self._entries(f, f"{layout.name}_{f.name}")]
            restrictions = (
                ("ccsds_apid", apid_of(layout.source, self._base)),
                ("pus_service", layout.service[0]),
                ("pus_subtype", layout.service[1]),
                *layout.selectors,
            )
            crc = self._parameter(_CRC, _CRC.name)
            self._add_container(layout.name, parent, restrictions, [*head, *own, crc], False, layout.meaning)

    def _add_container(
        self,
        name: str,
        base: str | None,
        restrictions: Iterable[tuple[str, int]],
        entries: Iterable[str],
        abstract: bool,
        meaning: str = "",
    ) -> None:
        container = _element("SequenceContainer", name=name, **_described(meaning))
        if abstract:
            container.set("abstract", "true")
        entry_list = _child(container, "EntryList")
        for entry in entries:
            _child(entry_list, "ParameterRefEntry", parameterRef=entry)
        if base is not None:
            criteria = _child(_child(container, "BaseContainer", containerRef=base), "RestrictionCriteria")
            comparisons = _child(criteria, "ComparisonList")
            for parameter, value in restrictions:
                _child(comparisons, "Comparison", parameterRef=parameter, value=str(value), useCalibratedValue="false")
        self._containers.append(container)

    def _entries(self, field: Field, name: str) -> Iterator[str]:
        """The parameters of a field: whether it is there, how long it is, and itself, as far as it has them."""
        if field.may_miss:
            known = Field(f"{name}_known", "boolean", 8, f"whether there is {name}")
            yield self._parameter(known, known.name)
        if field.kind == "text":
            length = Field(f"{name}_length", "unsigned", 16, f"octets of {name}")
            yield self._parameter(length, length.name)
        yield self._parameter(field, name)

    def _parameter(self, field: Field, name: str) -> str:
        if name not in self._parameters:
            kind = self._type(field, name)
            self._parameters[name] = _element(
                "Parameter", name=name, parameterTypeRef=kind, **_described(field.description)
            )
        return name

    def _type(self, field: Field, name: str) -> str:
        """The name of a parameter's type: shared, but of texts and choices, which are their parameter's own."""
        units = f"_{field.units.replace(' ', '_').replace('/', '_per_')}" if field.units else ""
        shared = {
            "unsigned": "Unsigned",
            "signed": "Signed",
            "number": "Number",
            "boolean": "Boolean",
            "flag": "Boolean",
        }
        type_name = f"{shared[field.kind]}{field.bits}{units}" if field.kind in shared else f"{name}_type"
        if type_name not in self._types:
            self._types[type_name] = _make_type(field, type_name, name)
        return type_name


def _make_type(field: Field, type_name: str, name: str) -> ET.Element:
    tags = {"number": "Float", "boolean": "Boolean", "flag": "Boolean", "choice": "Enumerated", "text": "String"}
    kind = _element(f"{tags.get(field.kind, 'Integer')}ParameterType", name=type_name)
    if field.kind == "unsigned":
        kind.set("signed", "false")
    if field.kind in ("unsigned", "signed", "number") and field.bits == 64:
        kind.set("sizeInBits", "64")
    if field.units:
        _child(_child(kind, "UnitSet"), "Unit").text = field.units
    if field.kind == "text":
        variable = _child(_child(kind, "StringDataEncoding"), "Variable", maxSizeInBits=str(8 * field.most))
        dynamic = _child(variable, "DynamicValue")
        _child(dynamic, "ParameterInstanceRef", parameterRef=f"{name}_length", useCalibratedValue="false")
        _child(dynamic, "LinearAdjustment", slope="8")
    elif field.kind == "number":
        _child(kind, "FloatDataEncoding", sizeInBits=str(field.bits))
    else:
        encoding = "twosComplement" if field.kind == "signed" else "unsigned"
        _child(kind, "IntegerDataEncoding", sizeInBits=str(field.bits), encoding=encoding)
    if field.kind == "choice":
        listed = _child(kind, "EnumerationList")
        for value, label in (*enumerate(field.choices), (2**field.bits - 1, OTHER)):
            if label:
                _child(listed, "Enumeration", value=str(value), label=label)
    return kind


def _by_head() -> dict[str, list[Layout]]:
    """The layouts by the container of their service; those without a shared head each by themselves."""
    names = {HOUSEKEEPING: "HousekeepingReport", EVENT_REPORTING: "EventReport"}
    groups: dict[str, list[Layout]] = {}
    for layout in LAYOUTS.values():
        name = names[layout.service[0]] if layout.selectors else layout.name
        groups.setdefault(name, []).append(layout)
    return groups


def _make_commands(base: int) -> ET.Element:
    meta = _element("CommandMetaData")
    types = _child(meta, "ArgumentTypeSet")
    for bits in (8, 16):
        kind = _child(types, "IntegerArgumentType", name=f"Unsigned{bits}", signed="false")
        _child(kind, "IntegerDataEncoding", sizeInBits=str(bits), encoding="unsigned")
    kind = _child(types, "IntegerArgumentType", name="Signed64", sizeInBits="64")
    _child(kind, "IntegerDataEncoding", sizeInBits="64", encoding="twosComplement")
    kind = _child(types, "FloatArgumentType", name="Number64", sizeInBits="64")
    _child(kind, "FloatDataEncoding", sizeInBits="64")
    arguments = [argument for command in COMMANDS.values() for argument in command.arguments]
    for octets in dict.fromkeys(argument_octets(a) for a in arguments if a.type not in _NUMBER_TYPES):
        kind = _child(types, "StringArgumentType", name=f"Text{octets}")
        size = _child(_child(kind, "StringDataEncoding"), "SizeInBits")
        _child(_child(size, "Fixed"), "FixedValue").text = str(8 * octets)
        _child(size, "TerminationChar").text = "00"
    _add_choices(types, "Structure", {name: structure_id(name) for names in REPORTED.values() for name in names}, 8)
    for source, events in SOURCE_EVENTS.items():
        _add_choices(types, f"Event_{source}", {name: event.id for name, event in events.items()}, 16)
    commands = _child(meta, "MetaCommandSet")
    commands.append(_make_base_command())
    for name, command in COMMANDS.items():
        entries = [("function", name.encode("ascii").ljust(FUNCTION_OCTETS, b"\0"))]
        listed = [(argument, _argument_type(argument)) for argument in command.arguments]
        arguments_of = [(a.name, kind, a.description) for a, kind in listed]
        _add_command(commands, name, "commands", PERFORM, base, entries, arguments_of, command.effect)
    _add_command(commands, "test_service", "commands", CONNECTION_TEST, base, (), (), "is the service there?")
    _add_command(commands, "test_bridge", BRIDGE, CONNECTION_TEST, base, (), (), "is the bridge there?")
    lists = {
        "enable_report": ENABLE_REPORTS,
        "disable_report": DISABLE_REPORTS,
        "request_report": REQUEST_REPORTS,
        "enable_event": ENABLE_EVENTS,
        "disable_event": DISABLE_EVENTS,
    }
    for source in REPORTED:
        for name, service in lists.items():
            if service in services_of(source):
                is_event = service[0] == EVENT_REPORTING
                one = [("count", b"\1")]
                argument = ("event", f"Event_{source}", "") if is_event else ("structure", "Structure", "")
                _add_command(commands, f"{source}_{name}", source, service, base, one, [argument], "of one")
    return meta


def _argument_type(argument: Argument) -> str:
    return _NUMBER_TYPES.get(argument.type) or f"Text{argument_octets(argument)}"


def _add_choices(types: ET.Element, name: str, choices: dict[str, int], bits: int) -> None:
    kind = _child(types, "EnumeratedArgumentType", name=name)
    _child(kind, "IntegerDataEncoding", sizeInBits=str(bits), encoding="unsigned")
    listed = _child(kind, "EnumerationList")
    for label, value in choices.items():
        _child(listed, "Enumeration", value=str(value), label=label)


def _make_base_command() -> ET.Element:
    """What all telecommands begin with. A ground system fills in length, sequence count and CRC."""
    command = _element("MetaCommand", name="Telecommand", abstract="true")
    listed = _child(command, "ArgumentList")
    for name, kind in (("packet_id", "Unsigned16"), ("service", "Unsigned8"), ("subtype", "Unsigned8")):
        _child(listed, "Argument", name=name, argumentTypeRef=kind)
    entries = _child(_child(command, "CommandContainer", name="Telecommand"), "EntryList")
    _child(entries, "ArgumentRefEntry", argumentRef="packet_id")
    _add_fixed(entries, "sequence", _UNSEGMENTED.to_bytes(2, "big"))
    _add_fixed(entries, "length", bytes(2))
    _add_fixed(entries, "version_and_acknowledgement", bytes((_TC_SECONDARY,)))
    _child(entries, "ArgumentRefEntry", argumentRef="service")
    _child(entries, "ArgumentRefEntry", argumentRef="subtype")
    _add_fixed(entries, "source_identifier", bytes(2))
    return command


def _add_command(
    commands: ET.Element,
    name: str,
    source: str,
    service: tuple[int, int],
    base: int,
    fixed: Iterable[tuple[str, bytes]],
    arguments: Iterable[tuple[str, str, str]],
    meaning: str,
) -> None:
    """Add a telecommand. fixed: names and octets. arguments: names, types and descriptions."""
    command = _child(commands, "MetaCommand", name=name, **_described(meaning))
    parent = _child(command, "BaseMetaCommand", metaCommandRef="Telecommand")
    assigned = _child(parent, "ArgumentAssignmentList")
    values = {"packet_id": _TC_PACKET_ID | apid_of(source, base), "service": service[0], "subtype": service[1]}
    for argument, value in values.items():
        _child(assigned, "ArgumentAssignment", argumentName=argument, argumentValue=str(value))
    arguments = tuple(arguments)
    if arguments:
        listed = _child(command, "ArgumentList")
        for argument, kind, description in arguments:
            _child(listed, "Argument", name=argument, argumentTypeRef=kind, **_described(description))
    container = _child(command, "CommandContainer", name=name)
    entries = _child(container, "EntryList")
    for entry, octets in fixed:
        _add_fixed(entries, entry, octets)
    for argument, _, _ in arguments:
        _child(entries, "ArgumentRefEntry", argumentRef=argument)
    _child(container, "BaseContainer", containerRef="Telecommand")


def _add_fixed(entries: ET.Element, name: str, octets: bytes) -> None:
    bits = str(8 * len(octets))
    _child(entries, "FixedValueEntry", name=name, binaryValue=octets.hex().upper(), sizeInBits=bits)


def _described(text: str) -> dict[str, str]:
    return {"shortDescription": text} if text else {}


def _element(tag: str, **attributes: str) -> ET.Element:
    return ET.Element(f"{{{NAMESPACE}}}{tag}", attributes)


def _child(parent: ET.Element, tag: str, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, f"{{{NAMESPACE}}}{tag}", attributes)


def make_xtce(base: int = DEFAULT_APID) -> bytes:
    """Make the description of all packets, as an XML file. base: APID of the bridge."""
    system = _Builder(base).make()
    ET.indent(system)
    text: bytes = ET.tostring(system, encoding="utf-8", xml_declaration=True)
    return text + b"\n"
