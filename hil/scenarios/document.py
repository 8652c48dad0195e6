"""Writes the tables of a scenario's fields in docs/hil.md, and of a flight's in docs/closed_loop.md.

usage: python -m hil.scenarios.document [--write]

Without --write it says whether a page differs from the code, and ends with exit code 1 if it does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from flight.icd.generated_files import ROOT, write_or_compare
from hil.fly.fields import fill_flight_fields
from hil.scenarios.table import fill_fields


def make_files() -> dict[Path, str]:
    """The pages, and what they are to contain. Raises ValueError where one lacks the marks."""
    pages = {ROOT / "docs" / "hil.md": fill_fields, ROOT / "docs" / "closed_loop.md": fill_flight_fields}
    return {page: fill(page.read_text(encoding="utf-8")) for page, fill in pages.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or compare the pages; returns the exit code."""
    description = "the tables of fields in docs/hil.md and docs/closed_loop.md"
    return write_or_compare("python -m hil.scenarios.document", description, make_files(), arguments)


if __name__ == "__main__":
    sys.exit(main())
