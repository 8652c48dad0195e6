"""The part of a page in docs/ that a command writes: between two marks, the rest of the page is written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flight.icd.generated_files import replace_between
from ground_tools.foundation.files import write_whole
from ground_tools.foundation.json_records import json_bytes


def check_section(page: Path, name: str) -> None:
    """Raise ValueError unless the page has the marks `<!-- NAME: begin -->` and `<!-- NAME: end -->`, once each."""
    _fill(page, name, "")


def write_section(page: Path, name: str, text: str, record: Any, record_file: Path) -> None:
    """Put `text` between the marks, a blank line on either side, and `record`, the same figures for programs, into a
    JSON file.

    Raises ValueError, with nothing written, where the page lacks the marks.
    """
    filled = _fill(page, name, text)
    write_whole(record_file, json_bytes(record))
    write_whole(page, filled.encode())


def _fill(page: Path, name: str, text: str) -> str:
    """The page with a text between its marks."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    try:
        return replace_between(page.read_text(encoding="utf-8") if page.is_file() else "", begin, end, text)
    except ValueError as error:
        raise ValueError(f"{page}: expected the lines {begin} and {end}") from error
