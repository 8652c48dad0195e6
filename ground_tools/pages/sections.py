"""The part of a page in docs/ that a command writes: between two marks, the rest of the page is written by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ground_tools.foundation.files import write_whole
from ground_tools.foundation.json_records import json_bytes


def check_section(page: Path, name: str) -> None:
    """Raise ValueError unless the page has the marks `<!-- NAME: begin -->` and `<!-- NAME: end -->`."""
    if not page.is_file() or not _part(name).search(page.read_text(encoding="utf-8")):
        raise ValueError(f"{page}: expected the lines <!-- {name}: begin --> and <!-- {name}: end -->")


def write_section(page: Path, name: str, text: str, record: Any, record_file: Path) -> None:
    """Put `text` between the marks, a blank line on either side, and `record`, the same figures for programs, into a
    JSON file.

    Raises ValueError, with nothing written, where the page lacks the marks.
    """
    check_section(page, name)
    write_whole(record_file, json_bytes(record))
    before = page.read_text(encoding="utf-8")
    write_whole(page, _part(name).sub(lambda match: f"{match[1]}\n{text.strip()}\n\n{match[2]}", before).encode())


def _part(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {re.escape(name)}: begin -->\n).*(<!-- {re.escape(name)}: end -->)", re.DOTALL)
