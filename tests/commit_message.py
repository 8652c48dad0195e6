"""A hook of git: refuses a commit message whose subject is too long, or whose body follows without an empty line.

python tests/commit_message.py FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

_LONGEST_SUBJECT = 72


def problem(message: str) -> str | None:
    """What is wrong with a commit message, in one line.

    Args:
        message: as git hands it over; lines that begin with # are comments.

    Returns:
        The problem, or None.
    """
    lines = [line for line in message.splitlines() if not line.startswith("#")]
    if not lines or not lines[0].strip():
        return "subject: expected a line in the imperative, got none"
    if lines[0].startswith(("fixup!", "squash!", "Merge ", "Revert ")):
        return None
    if len(lines[0]) > _LONGEST_SUBJECT:
        return f"subject: expected at most {_LONGEST_SUBJECT} characters, got {len(lines[0])}"
    if lines[0].endswith("."):
        return "subject: expected no full stop at its end"
    if len(lines) > 1 and lines[1].strip():
        return "body: expected an empty line after the subject"
    return None


def main(arguments: list[str]) -> int:
    """Check the file that git names; returns the exit code."""
    found = problem(Path(arguments[0]).read_text(encoding="utf-8"))
    if found is not None:
        print(f"commit message: {found}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
