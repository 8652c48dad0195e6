"""Writes the parts of docs/ground_systems.md that are made from the code: application processes, packets, codes.

usage: python -m hil.bridge.document [--write]

Without --write it says whether the page differs from the code, and ends with exit code 1 if it does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from flight.icd.catalogue import COMMANDS, REPLY_CODES, SOCKETS
from flight.icd.generated_files import ROOT, fill_parts, write_or_compare
from hil.bridge.apids import BRIDGE, SOURCES, apid_of
from hil.bridge.layouts import EVENT_REPORTING, FAILURE_CODES, HOUSEKEEPING_REPORT, LAYOUTS, REPORTED, structure_id
from hil.bridge.own import BRIDGE_EVENTS, FAILURES
from hil.bridge.telecommands import argument_octets, services_of


def _table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def _format_service(service: tuple[int, int]) -> str:
    return f"[{service[0]},{service[1]}]"


def _format_services(services: Iterable[tuple[int, int]]) -> str:
    return ", ".join(map(_format_service, sorted(set(services)))) or "none"


def format_apids() -> str:
    """The table of application processes."""
    rows = []
    for source in SOURCES:
        carries = "the bridge itself" if source == BRIDGE else SOCKETS[source].carries
        sent = _format_services(layout.service for layout in LAYOUTS.values() if layout.source == source)
        rows.append(
            (
                f"{apid_of(source)} (0x{apid_of(source):03X})",
                source,
                carries,
                sent,
                _format_services(services_of(source)),
            )
        )
    return _table(("APID", "source", "of", "telemetry", "telecommands"), rows)


def format_packets() -> str:
    """The table of telemetry packets; events in one line each source."""
    rows: list[tuple[object, ...]] = [
        (_format_service(layout.service), layout.source, f"`{layout.name}`", structure_id(layout.name), layout.meaning)
        for layout in LAYOUTS.values()
        if layout.service == HOUSEKEEPING_REPORT
    ]
    for source in REPORTED:
        services = {layout.service for layout in LAYOUTS.values() if layout.source == source}
        events = sorted(service for service in services if service[0] == EVENT_REPORTING)
        if events:
            which = (
                "of the ICD"
                if source != BRIDGE
                else ", ".join(f"`{name}` ({e.id})" for name, e in BRIDGE_EVENTS.items())
            )
            rows.append((_format_services(events), source, "`event_...`", "", f"events {which}"))
    seen = set()
    for layout in LAYOUTS.values():
        if not layout.selectors and layout.service not in seen:
            seen.add(layout.service)
            sources = ", ".join(other.source for other in LAYOUTS.values() if other.service == layout.service)
            name = layout.name.removeprefix(f"{layout.source}_")
            rows.append((_format_service(layout.service), sources, f"`{name}`", "", layout.meaning))
    return _table(("service", "source", "packet", "structure", "what"), rows)


def format_functions() -> str:
    """The table of the commands as functions of service 8."""
    rows = []
    for name, command in COMMANDS.items():
        arguments = "; ".join(f"`{a.name}` {argument_octets(a)} octets" for a in command.arguments)
        rows.append((f"`{name}`", arguments or "none", command.effect))
    return _table(("function", "arguments", "effect"), rows)


def format_codes() -> str:
    """The table of failure codes."""
    meanings = {**FAILURES, **{name: code.meaning for name, code in REPLY_CODES.items()}}
    rows = [
        (number, f"`{name}`", meanings[name]) for number, name in enumerate(FAILURE_CODES) if name not in ("", "ok")
    ]
    return _table(("code", "name", "meaning"), rows)


_PROGRAM = "python -m hil.bridge.document"
_PARTS = {
    "apids": format_apids,
    "packets": format_packets,
    "functions": format_functions,
    "codes": format_codes,
}


def fill_in(text: str) -> str:
    """A page in Markdown with the parts that are made from the code. Raises ValueError as fill_parts."""
    return fill_parts(text, _PROGRAM, _PARTS)


def make_files() -> dict[Path, str]:
    """The page, and what it is to contain. Raises ValueError as fill_in."""
    page = ROOT / "docs" / "ground_systems.md"
    return {page: fill_in(page.read_text(encoding="utf-8"))}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or compare the page; returns the exit code."""
    description = "the parts of docs/ground_systems.md that are made from the code"
    return write_or_compare(_PROGRAM, description, make_files(), arguments)


if __name__ == "__main__":
    sys.exit(main())
