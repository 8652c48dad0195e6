"""The parts of docs/hil.md that are about scenarios: their fields, and their latest verdicts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from flight.files import write_whole
from hil.camera_model import CameraModel
from hil.scenarios.fields import FieldDescription, describe_table, list_kinds
from hil.scenarios.scenario import Command, Scenario, Target
from hil.scenarios.source_tables import RenderedSource

_VERDICTS = "verdicts: written by hil run --all --write docs"
_FIELDS = "fields: written by python -m hil.scenarios.document"


def fill_fields(text: str) -> str:
    """A page with the tables of fields between their marks. Raises ValueError where it lacks them."""
    return _put(text, _FIELDS, "fields", format_fields())


def write_verdicts(page: Path, rows: list[VerdictRow]) -> None:
    """Put the latest verdicts between their marks in a page; rows of scenarios that were not run now stay.

    Args:
        page: docs/hil.md.
        rows: of the scenarios that were run.

    Raises:
        ValueError: the page lacks the marks.
    """
    text = page.read_text(encoding="utf-8")
    known = {
        match[1]: match[0] for match in re.finditer(r"^\| `(\w+)` \|.*$", _between(text, _VERDICTS, "verdicts"), re.M)
    }
    known |= {row.name: row.as_markdown() for row in rows}
    lines = ["| scenario | what it is about | form | verdict | criteria kept |", "|---|---|---|---|---|"]
    lines += [known[name] for name in sorted(known)]
    write_whole(page, _put(text, _VERDICTS, "verdicts", "\n".join(lines)).encode("utf-8"))


@dataclass(frozen=True)
class VerdictRow:
    """A row of the table of verdicts.

    Attributes:
        name: of the scenario.
        title: what it is about.
        short: whether its short form was run.
        verdict: passed, failed, or not run.
        detail: how many criteria hold, and which do not; or why it was not run.
    """

    name: str
    title: str
    short: bool
    verdict: str
    detail: str

    def as_markdown(self) -> str:
        """The row in Markdown."""
        cells = (f"`{self.name}`", self.title, "short" if self.short else "whole", self.verdict, self.detail)
        return f"| {' | '.join(map(format_cell, cells))} |"


def format_fields() -> str:
    """The tables of all fields of a scenario file, in Markdown."""
    tables = ("source", "camera", "target", "commands", "faults", "criteria")
    parts = [format_table(describe_table(Scenario, without=tables))]
    for heading, field, about in (
        ("`[source]`", "source", "One of these; `kind` says which."),
        ("`[[faults]]`", "faults", "Any number of these."),
        ("`[[criteria]]`", "criteria", "One or more of these. `from_s` and `to_s` are scenario seconds."),
    ):
        parts.append(f"### {heading}\n\n{about}")
        parts.append(format_kinds(list_kinds(Scenario, field)))
        if field == "source":
            parts += _describe_ways()
            parts += ["### `[camera]`", format_table(describe_table(CameraModel))]
            parts += ["### `[target]`", format_table(describe_table(Target))]
            parts += ["### `[[commands]]`", format_table(describe_table(Command))]
    return "\n\n".join(parts)


def _describe_ways() -> list[str]:
    """Of the sources that have a camera's way: its kinds."""
    about = "Of the sources `rendered` and `remote`: one of these."
    return ["### `[source.trajectory]`", about, format_kinds(list_kinds(RenderedSource, "trajectory"))]


def format_kinds(kinds: dict[str, type]) -> str:
    """Tables of a list by their kind, in Markdown."""
    rows = ["| kind | what it is | fields |", "|---|---|---|"]
    for kind, table in kinds.items():
        about_it = " ".join((table.__doc__ or "").split())
        rows.append(f"| `{kind}` | {format_cell(about_it)} | {format_cell(format_inline(describe_table(table)))} |")
    return "\n".join(rows)


def format_table(fields: list[FieldDescription]) -> str:
    """Fields as a table in Markdown."""
    rows = ["| field | takes | default | meaning |", "|---|---|---|---|"]
    for field in fields:
        default = f"`{field.default}`" if field.default not in ("", "none") else field.default or "required"
        rows.append(f"| `{field.path}` | {format_cell(field.takes)} | {default} | {format_cell(field.meaning)} |")
    return "\n".join(rows)


def format_inline(fields: list[FieldDescription]) -> str:
    """Fields in a line."""
    parts = []
    for field in fields:
        takes = "name of the catalogue" if len(field.takes) > 120 else field.takes
        default = "required" if not field.default else f"default {field.default}"
        parts.append(f"`{field.path}` {field.meaning} ({takes}; {default})")
    return "; ".join(parts) or "none"


def format_cell(text: str) -> str:
    """A text as a cell of a table in Markdown."""
    return text.replace("|", "\\|")


def _marks(text: str, begin_text: str, name: str) -> tuple[str, str]:
    """The marks of a part of a page. Raises ValueError where the page lacks them."""
    begin, end = f"<!-- {begin_text} -->", f"<!-- end of {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"docs/hil.md: expected once each: {begin} and {end}")
    return begin, end


def _between(text: str, begin_text: str, name: str) -> str:
    begin, end = _marks(text, begin_text, name)
    return text.partition(begin)[2].partition(end)[0]


def _put(text: str, begin_text: str, name: str, content: str) -> str:
    begin, end = _marks(text, begin_text, name)
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n\n{content}\n\n{end}{rest.partition(end)[2]}"
