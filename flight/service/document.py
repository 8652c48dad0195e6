"""Writes the parts of docs/operations.md that are made from the code, so that the document cannot differ from it.

usage: python -m flight.service.document docs/operations.md
"""

from __future__ import annotations

import sys
from pathlib import Path

from flight.service.fields import fields_table
from flight.service.state import transitions_table

_PARTS = {"fields": fields_table, "transitions": transitions_table}


def filled_in(text: str) -> str:
    """A document with what stands between its marks made anew. Raises ValueError unless it has each mark once."""
    for name, part in _PARTS.items():
        begin, end = f"<!-- {name}: written by python -m flight.service.document -->", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"document: expected once each: {begin} and {end}")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n\n{part()}\n\n{end}{rest.partition(end)[2]}"
    return text


def main(arguments: list[str]) -> int:
    """Fill in the document at the given path."""
    path = Path(arguments[0])
    path.write_text(filled_in(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
