"""docs/boards.md and docs/boards.json: what boards take, a row each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flight.files import write_whole
from flight.icd.generated_files import replace_between
from flight.schema import SchemaError, check
from hil.board.measure import add_row

_BEGIN, _END = "<!-- boards: begin -->", "<!-- boards: end -->"
_KINDS = {"closed_form": "closed form", "passes": "whole passes"}
_TEXT = {"type": "string", "maxLength": 200, "pattern": r"^[^|<>\x00-\x1f]*$"}
_NUMBER = {"type": "number", "minimum": 0, "maximum": 1e9}
_NUMBER_OR_NONE = {"type": ["number", "null"]}
_ENGINE = {
    "engine": _TEXT,
    "kind": {"enum": list(_KINDS)},
    "threads": {"type": "integer", "minimum": 1, "maximum": 1024},
    "load_ms": _NUMBER,
    "one_pass_ms": _NUMBER,
    "pass_ms": _NUMBER,
    "passes": {"type": "integer", "minimum": 1, "maximum": 100},
    "frame_ms": _NUMBER,
    "spread": {"type": "array", "minItems": 2, "maxItems": 2, "items": _NUMBER},
}
_SERVICE = ("frames", "frame_ms", "least_ms", "most_ms", "ready_s", "service_rss_mb", "worker_rss_mb", "pss_mb")


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


# A row is what somebody sends: it goes into a page, and is checked first.
_ROW = _object(
    {
        "board": _TEXT,
        "virtual": {"enum": ["", "emulated", "virtual machine"]},
        **dict.fromkeys(("processor", "architecture"), _TEXT),
        "cores": {"type": "integer", "minimum": 1, "maximum": 1024},
        "memory_mib": {"type": ["integer", "null"]},
        **dict.fromkeys(("system", "kernel", "rubblemap", "bundle", "sha256", "mode", "measured"), _TEXT),
        "rounds": {"type": "integer", "minimum": 1, "maximum": 1000},
        "engines": {"type": "array", "minItems": 1, "items": _object(_ENGINE)},
        "service": _object(dict.fromkeys(_SERVICE, _NUMBER)),
        "temperature": _object(
            {
                "begin_c": _NUMBER_OR_NONE,
                "end_c": _NUMBER_OR_NONE,
                "throttling": {"type": "array", "items": _TEXT},
            }
        ),
        "note": _TEXT,
    }
)


def check_row(row: Any) -> None:
    """Raise SchemaError, naming the field, for what is no row."""
    check(row, _ROW, "row")


def read_row(path: Path) -> dict[str, Any]:
    """Read a row that somebody sent. Raises ValueError naming the file and the field."""
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        check_row(row)
    except (SchemaError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    result: dict[str, Any] = row
    return result


def check_page(docs: Path) -> None:
    """Raise ValueError unless docs has boards.md with its marks."""
    _fill(docs, [])


def write_row(docs: Path, row: dict[str, Any]) -> None:
    """Put a row into docs/boards.json and the table of docs/boards.md.

    Raises:
        ValueError: a file is not what it is to be; nothing is written then.
        OSError: a file cannot be written.
    """
    record = docs / "boards.json"
    rows: list[dict[str, Any]] = json.loads(record.read_text(encoding="utf-8"))["boards"] if record.exists() else []
    rows = add_row(rows, row)
    page = _fill(docs, rows)
    write_whole(record, (json.dumps({"boards": rows}, indent=1) + "\n").encode())
    write_whole(docs / "boards.md", page.encode())


def _fill(docs: Path, rows: Sequence[dict[str, Any]]) -> str:
    page = docs / "boards.md"
    try:
        return replace_between(page.read_text(encoding="utf-8"), _BEGIN, _END, format_table(rows))
    except (OSError, ValueError) as error:
        raise ValueError(f"{page}: expected the lines {_BEGIN} and {_END}") from error


def format_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as tables in Markdown: boards, and their engines."""
    if not rows:
        return "No board has been measured so far."
    boards = [
        "| board | system | bundle | frame through the service, ms | ready, s | memory, MB | degrees C | measured |",
        "|---|---|---|---:|---:|---:|---:|---|",
        *map(_describe_board, rows),
    ]
    engines = [
        "| board | bundle | engine | threads | P = 1, ms | all passes, ms | one more, ms | spread |",
        "|---|---|---|---:|---:|---:|---:|---:|",
        *(_describe_engine(row, engine) for row in rows for engine in row["engines"]),
    ]
    return "\n".join([*boards, "", *engines])


def _name(row: dict[str, Any]) -> str:
    return f"{row['board']}, **{row['virtual']}**" if row["virtual"] else str(row["board"])


def _describe_board(row: dict[str, Any]) -> str:
    service, heat = row["service"], row["temperature"]
    memory = "" if row["memory_mib"] is None else f", {row['memory_mib'] / 1024:.1f} GiB"
    degrees = "-" if heat["end_c"] is None else f"{heat['begin_c'] or heat['end_c']:.0f} to {heat['end_c']:.0f}"
    throttled = f"; {', '.join(heat['throttling'])}" if heat["throttling"] else ""
    cells = [
        f"{_name(row)}: {row['cores']} x {row['processor']}{memory}",
        f"{row['system']}, {row['architecture']}",
        f"{row['bundle']} ({row['mode']})",
        f"{service['frame_ms']:.0f} ({service['least_ms']:.0f} to {service['most_ms']:.0f})",
        f"{service['ready_s']:.1f}",
        f"{service['pss_mb']:.0f}",
        f"{degrees}{throttled}",
        f"{row['measured']}, {row['rubblemap']}{'; ' + row['note'] if row['note'] else ''}",
    ]
    return f"| {' | '.join(cells)} |"


def _describe_engine(row: dict[str, Any], engine: dict[str, Any]) -> str:
    least, most = engine["spread"]
    cells = [
        _name(row),
        str(row["bundle"]),
        _KINDS[engine["kind"]],
        str(engine["threads"]),
        f"{engine['one_pass_ms']:.0f}",
        f"{engine['frame_ms']:.0f} (P = {engine['passes']})",
        f"{engine['pass_ms']:.1f}",
        f"{100 * (least - 1):+.0f} to {100 * (most - 1):+.0f} %",
    ]
    return f"| {' | '.join(cells)} |"
