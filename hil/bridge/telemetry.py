"""Telemetry packets by the packet utilization standard, with their counters and times."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from spacepackets.ecss.tm import PusTm

from flight.schema import format_text
from hil.bridge.apids import DEFAULT_APID, apid_of
from hil.bridge.fields import MOST_TEXT, encode_fields, find_values
from hil.bridge.layouts import HOUSEKEEPING_REPORT, LAYOUTS, SOURCE_EVENTS, Layout, event_without_arguments
from hil.bridge.own import BRIDGE_EVENTS

# CCSDS 301.0-B-4, unsegmented time code (CUC): seconds in four octets and their fraction in three, counted from
# 1970-01-01 UTC as Unix does, without leap seconds, which is an agency-defined epoch. This octet states all of that.
TIME_PREAMBLE = 0x2F
COARSE_OCTETS, FINE_OCTETS = 4, 3
_MOST_TIME = 2 ** (8 * (COARSE_OCTETS + FINE_OCTETS)) - 1
_SEQUENCE_COUNTS = 2**14
_MESSAGE_COUNTS = 2**16


def encode_time(time_ns: int) -> bytes:
    """Encode a time as CUC with its preamble. time_ns: since 1970; what is beyond the year 2106 is its end."""
    fine = 2 ** (8 * FINE_OCTETS)
    units = min(max(time_ns, 0) * fine // 1_000_000_000, _MOST_TIME)
    return bytes((TIME_PREAMBLE,)) + units.to_bytes(COARSE_OCTETS + FINE_OCTETS, "big")


class Packetizer:
    """Makes telemetry packets. Counters rise by one per packet: of each APID, and of each of its kinds of message.

    Args:
        base: APID of the bridge; those of the sources follow.

    Attributes:
        made: packets so far.
    """

    def __init__(self, base: int = DEFAULT_APID) -> None:
        self.base = base
        self.made = 0
        self._sequences: Counter[int] = Counter()
        self._messages: Counter[tuple[int, int, int]] = Counter()

    def make(self, layout: Layout, values: Mapping[str, Any], time_ns: int, destination: int = 0) -> bytes:
        """Make a packet.

        Args:
            layout: of the packet.
            values: by name of the field.
            time_ns: of what it tells.
            destination: source identifier of the telecommand that it answers.

        Raises:
            ValueError: a value is missing or does not fit.
        """
        data = encode_fields((*layout.head, *layout.fields), values)
        apid, (service, subtype) = apid_of(layout.source, self.base), layout.service
        packet = PusTm(
            service=service,
            message_subtype=subtype,
            timestamp=encode_time(time_ns),
            source_data=data,
            apid=apid,
            seq_count=self._sequences[apid] % _SEQUENCE_COUNTS,
            message_counter=self._messages[apid, service, subtype] % _MESSAGE_COUNTS,
            destination_id=destination,
        )
        self._sequences[apid] += 1
        self._messages[apid, service, subtype] += 1
        self.made += 1
        return bytes(packet.pack())

    def report(self, name: str, values: Mapping[str, Any], time_ns: int) -> bytes:
        """Make the packet of a structure of service 3. Arguments and errors as of `make`."""
        layout = LAYOUTS[name]
        if layout.service != HOUSEKEEPING_REPORT:
            raise ValueError(f"{name}: expected a structure that is reported")
        return self.make(layout, {**values, "structure_id": name}, time_ns)

    def event(self, source: str, message: Mapping[str, Any]) -> bytes:
        """Make the packet of an event.

        Args:
            source: "telemetry" for the service's own, "bridge".
            message: of the ICD. An event that the catalogue does not have goes without arguments.

        Raises:
            ValueError: its severity, say, is none of the ICD's.
        """
        head = {f"event_{name}": message[name] for name in ("id", "severity", "time_ns", "message")}
        head["event_suppressed"] = message["count_suppressed"]
        time_ns = message["time_ns"]
        definition = SOURCE_EVENTS[source].get(message["name"])
        if definition is not None and (definition.id, definition.severity) == (message["id"], message["severity"]):
            layout = LAYOUTS[f"event_{definition.name}"]
            arguments = {name: _as_field(value) for name, value in message["arguments"].items()}
            values = {**head, "event_has_arguments": True, **find_values(arguments, layout.fields)}
            with contextlib.suppress(ValueError):  # of another version of the service: its message says what they are
                return self.make(layout, values, time_ns)
        layout = LAYOUTS[event_without_arguments(source, message["severity"])]
        return self.make(layout, {**head, "event_has_arguments": False}, time_ns)


def read_housekeeping(message: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], int]]:
    """The structures in a housekeeping message: their names, values and times."""
    for name, content in (("housekeeping", message), *(("camera", each) for each in message.get("cameras", ()))):
        yield name, find_values(content, LAYOUTS[name].fields), message["time_ns"]


def _as_field(value: Any) -> Any:
    """An argument of an event as its field has it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def make_event(name: str, time_ns: int, **arguments: Any) -> dict[str, Any]:
    """Make an event of the bridge's own, as events of the ICD are. Arguments: as its definition has them."""
    definition = BRIDGE_EVENTS[name]
    form = definition.choose_format(set(arguments)) or ""
    return {
        "id": definition.id,
        "name": name,
        "severity": definition.severity,
        "time_ns": time_ns,
        "message": format_text(form.format_map(arguments), MOST_TEXT),
        "arguments": arguments,
        "count_suppressed": 0,
    }
