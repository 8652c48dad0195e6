"""Writes the parts of docs/operations.md that are made from the code: the configuration's fields and the states.

usage: python -m flight.service.document [--write]

Without --write it says whether the page differs from the code, and ends with exit code 1 if it does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from flight.icd.generated_files import ROOT, fill_parts, write_or_compare
from flight.service.fields import format_fields
from flight.service.state import format_transitions

_PROGRAM = "python -m flight.service.document"
_PARTS = {"fields": format_fields, "transitions": format_transitions}


def fill_in(text: str) -> str:
    """A page in Markdown with the parts that are made from the code. Raises ValueError as fill_parts."""
    return fill_parts(text, _PROGRAM, _PARTS)


def make_files() -> dict[Path, str]:
    """The page, and what it is to contain. Raises ValueError as fill_in."""
    page = ROOT / "docs" / "operations.md"
    return {page: fill_in(page.read_text(encoding="utf-8"))}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or compare the page; returns the exit code."""
    description = "the parts of docs/operations.md that are made from the code"
    return write_or_compare(_PROGRAM, description, make_files(), arguments)


if __name__ == "__main__":
    sys.exit(main())
