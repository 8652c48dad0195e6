"""Writes the tables of a scenario's fields in docs/hil.md.

usage: python -m hil.scenarios.document [--write]

Without --write it says whether the page differs from the code, and ends with exit code 1 if it does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from flight.icd.generated_files import ROOT, write_or_compare
from hil.scenarios.table import fill_fields


def make_files() -> dict[Path, str]:
    """The page, and what it is to contain. Raises ValueError where it lacks the marks."""
    page = ROOT / "docs" / "hil.md"
    return {page: fill_fields(page.read_text(encoding="utf-8"))}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or compare the page; returns the exit code."""
    description = "the tables of a scenario's fields in docs/hil.md"
    return write_or_compare("python -m hil.scenarios.document", description, make_files(), arguments)


if __name__ == "__main__":
    sys.exit(main())
