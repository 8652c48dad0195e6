"""Writes files that are generated from the code, or compares them with it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# The root of a checkout.
ROOT = Path(__file__).parents[2]


def replace_between(text: str, begin: str, end: str, content: str) -> str:
    """Replace what stands between two marks, a blank line on either side.

    Args:
        text: of a page in Markdown.
        begin, end: the marks, lines of their own.
        content: what is to stand there.

    Raises:
        ValueError: the text does not have each mark once, in this order.
    """
    before, _, rest = text.partition(begin)
    if text.count(begin) != 1 or text.count(end) != 1 or end not in rest:
        raise ValueError(f"expected once each: {begin} and {end}")
    return f"{before}{begin}\n\n{content.strip()}\n\n{end}{rest.partition(end)[2]}"


def fill_parts(text: str, program: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """Replace what is between the marks of each part by what the code says.

    Args:
        text: of a page in Markdown.
        program: how the command is called that writes it.
        parts: by name, what makes each.

    Raises:
        ValueError: the page does not have each mark once.
    """
    for name, format_part in parts.items():
        begin, end = f"<!-- {name}: written by {program} -->", f"<!-- end of {name} -->"
        text = replace_between(text, begin, end, format_part())
    return text


def write_or_compare(
    program: str, description: str, files: Mapping[Path, str], arguments: Sequence[str] | None = None
) -> int:
    """Run a command line of one option, `--write`: write the files, or say which of them differ from the code.

    Args:
        program: how the command is called, such as "python -m flight.icd.document".
        description: what it writes.
        files: what each file is to contain.
        arguments: of the command line; None for those of the process.

    Returns:
        The exit code: 1 if a file differs, else 0.
    """
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--write", action="store_true", help="write the files; otherwise they are only compared")
    write = parser.parse_args(arguments).write
    differs = False
    for path, text in files.items():
        if write:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{path}: expected what the code says; run {program} --write", file=sys.stderr)
            differs = True
    return int(differs)
