"""The input monitor's figures as tables for people, and as a record for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ground_tools.foundation.json_records import to_plain
from ground_tools.monitoring.judging import MonitorResult
from ground_tools.pages.blocks import Table, Text
from ground_tools.pages.markdown import markdown
from ground_tools.pages.sections import check_section, write_section

MARK = "monitor figures"


def summary(result: MonitorResult) -> dict[str, Any]:
    """The totals: frames of nonsense, those missed, circles on them, frames of bodies, those refused."""
    kinds, sets = result.nonsense.values(), result.bodies.values()
    return {
        "nonsense_frames": sum(kind.frames for kind in kinds),
        "nonsense_missed": sum(kind.missed for kind in kinds),
        "circles_on_nonsense": sum(kind.circles for kind in kinds),
        "real_frames": sum(figures.frames for figures in sets),
        "real_refused": sum(figures.refused for figures in sets),
    }


def monitor_section(result: MonitorResult) -> str:
    """Both tables, as Markdown."""
    totals = summary(result)
    nonsense = [
        [kind, str(figures.frames), str(figures.missed), str(figures.circles)]
        for kind, figures in result.nonsense.items()
    ]
    frames, missed = totals["nonsense_frames"], totals["nonsense_missed"]
    nonsense.append(["all", f"{frames:,}", _share(missed, frames), str(totals["circles_on_nonsense"])])
    bodies = [[name, f"{figures.frames:,}", str(figures.refused)] for name, figures in result.bodies.items()]
    bodies.append(["all", f"{totals['real_frames']:,}", _share(totals["real_refused"], totals["real_frames"])])
    return markdown(
        [
            Table(["nonsense", "frames", "missed", "landing circles"], nonsense),
            Table(["frames of bodies", "frames", "refused"], bodies),
            Text(f"Bundle {result.bundle}; landing circles were looked for on maps of {result.passes} passes."),
        ]
    )


def _share(part: int, whole: int) -> str:
    return f"{part} ({100.0 * part / max(whole, 1):.2f} %)"


def check_docs(docs: Path) -> None:
    """Raise ValueError unless results.md has the place for the tables."""
    check_section(docs / "results.md", MARK)


def write_figures(result: MonitorResult, docs: Path) -> None:
    """Write monitor.json, and the tables in results.md."""
    record = {**summary(result), **to_plain(result)}
    write_section(docs / "results.md", MARK, monitor_section(result), record, docs / "monitor.json")
