"""The tables of a flight scenario's fields in docs/closed_loop.md."""

from __future__ import annotations

from flight.icd.generated_files import replace_between
from hil.fly.scenario import FlightScenario, Knowledge
from hil.scenarios.fields import describe_table, list_kinds
from hil.scenarios.table import format_kinds, format_table

BEGIN = "<!-- fields: written by python -m hil.scenarios.document -->"
END = "<!-- end of fields -->"
_ELSEWHERE = ("body", "trajectory", "knowledge", "camera", "target", "faults")


def fill_flight_fields(text: str) -> str:
    """A page with the tables of fields between their marks. Raises ValueError where it lacks them."""
    parts = [format_table(describe_table(FlightScenario, without=_ELSEWHERE))]
    for name in ("body", "trajectory"):
        parts += [f"`[{name}]`, one of these:", format_kinds(list_kinds(FlightScenario, name))]
    parts += ["`[knowledge]`:", format_table(describe_table(Knowledge))]
    return replace_between(text, BEGIN, END, "\n\n".join(parts))
