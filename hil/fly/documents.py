"""docs/closed_loop.md and closed_loop.json: the figures of the last run of each scenario."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flight.files import write_whole
from flight.icd.generated_files import replace_between
from hil.fly.figures import (
    RANGE_NAMES,
    RANGES,
    descent_figures,
    flyby_figures,
    recovery_figures,
)
from hil.fly.measurement import KIND_NAMES, KINDS
from hil.fly.page import number, percent
from hil.fly.record import DrawRecord
from hil.fly.scenario import FlightScenario, Flyby

PAGE, FILE = "closed_loop.md", "closed_loop.json"
FILM, PICTURE = "images/closed_loop.gif", "images/closed_loop.png"


def write_documents(
    folder: Path, scenario: FlightScenario, draws: Sequence[DrawRecord], film: bytes, picture: bytes
) -> None:
    """Put the figures of a run into the documents; those of other runs stay.

    Args:
        folder: docs/.
        scenario: that was flown.
        draws: that were flown.
        film: GIF; empty leaves the one that is there.
        picture: PNG; the same.

    Raises:
        ValueError: the page lacks the marks.
    """
    path = folder / FILE
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if scenario.faults:
        section, record["faults"] = "faults", recovery_figures(draws)
        content = _describe_faults(record["faults"])
    elif isinstance(scenario.trajectory, Flyby):
        section = "flyby"
        record |= flyby_figures(draws)
        content = _describe_flyby(record)
    else:
        touchdowns = [entry for draw in draws for entry in draw.touchdowns]
        by_maps, by_variance = (
            descent_figures([entry for entry in touchdowns if entry.kind == kind]) for kind in ("maps", "variance")
        )
        section, record["descents"] = "descent", {**by_maps, "by_variance": by_variance}
        content = _describe_descents(record["descents"])
    page = folder / PAGE
    text = page.read_text(encoding="utf-8")
    begin, end = f"<!-- {section} figures: begin -->", f"<!-- {section} figures: end -->"
    changed = replace_between(text, begin, end, content)
    write_whole(page, changed.encode("utf-8"))
    write_whole(path, (json.dumps(record, indent=1) + "\n").encode("utf-8"))
    for name, data in ((FILM, film), (PICTURE, picture)):
        if data and section == "flyby":
            write_whole(folder / name, data)


def _describe_flyby(record: dict[str, Any]) -> str:
    many = f"{record['draws']} draws" if record["draws"] != 1 else "One draw"
    lines = [
        f"![Left: pointed by the class map; right: by brightness]({FILM})",
        "",
        f"{many}; bodies: {', '.join(record['bodies'])}; bundle: {', '.join(record['bundles']) or 'none'}. An exposure "
        f"took {number(record['loop_s'])} s from drawing to the fix, in the median.",
        "",
        "| pointing error, degrees, at phase angles of | " + " | ".join(RANGE_NAMES[name] for name in RANGES) + " |",
        "|---|" + "---:|" * len(RANGES),
    ]
    for kind in KINDS:
        cells = [number(record["pointing"][name][f"{kind}_deg"]) for name in RANGES]
        lines.append(f"| {KIND_NAMES[kind]} | {' | '.join(cells)} |")
    lines += [
        "",
        "| measurement | body out of the field | position error within 3 sigma | position error over the extent "
        "| NEES inside | NEES above |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for kind in KINDS:
        entry = record["kinds"][kind]
        cells = [percent(entry["out_of_field"]), percent(entry["within_3_sigma"]), number(entry["position_error"])]
        cells += [percent(entry["nees_inside"]), percent(entry["nees_above"])]
        lines.append(f"| {KIND_NAMES[kind]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _describe_faults(entries: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| fault | from, s | until, s | measured again, s | frames without a measurement "
        "| largest pointing error, degrees |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for entry in entries:
        cells = [number(entry[name]) for name in ("began_s", "ended_s", "measured_again_s", "frames_lost")]
        lines.append(f"| `{entry['kind']}` | {' | '.join([*cells, number(entry['largest_pointing_deg'])])} |")
    return "\n".join(lines)


def _describe_descents(record: dict[str, Any]) -> str:
    lines = [
        "| sites by | descents | on a hazard | miss, m | miss over the lander's radius | changes of the site "
        "| no site |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, entry in (("landing circles", record), ("least variance of brightness", record["by_variance"])):
        keys = ("count", "on_hazard", "miss_m", "miss_radii", "retargeted", "without_site")
        cells = [number(entry[key]) for key in keys]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
