"""Two results side by side: which criterion moved."""

from __future__ import annotations

from typing import Any


def compare_results(first: dict[str, Any], second: dict[str, Any]) -> tuple[list[str], bool]:
    """Compare two results.

    Args:
        first: as of hil.report.results.read_result.
        second: likewise.

    Returns:
        Lines for people, and whether the second one fails a criterion that the first one keeps.
    """
    lines = [
        f"A  {first['scenario']}: {first['verdict']}, {first['environment'].get('when', '')}",
        f"B  {second['scenario']}: {second['verdict']}, {second['environment'].get('when', '')}",
    ]
    worse = False
    before = {entry["criterion"]: entry for entry in first["criteria"]}
    after = {entry["criterion"]: entry for entry in second["criteria"]}
    width = max(map(len, [*before, *after]), default=0)
    for name in [*before, *(name for name in after if name not in before)]:
        a, b = before.get(name), after.get(name)
        lost = bool(b is not None and not b["passed"] and (a is None or a["passed"]))
        worse = worse or lost
        won = bool(a is not None and b is not None and not a["passed"] and b["passed"])
        mark = "-" if lost else "+" if won else "~" if _got(a) != _got(b) else " "
        lines.append(f"{mark}  {name:{width}}  A: {_describe(a)}  B: {_describe(b)}")
    for name in ("bundle", "target", "processor", "system"):
        values = [result["environment"].get(name, "unknown") for result in (first, second)]
        if values[0] != values[1]:
            lines.append(f"   {name}  A: {values[0]}  B: {values[1]}")
    lines.append("-: B fails it; +: B keeps it again; ~: another value")
    return lines, worse


def _got(entry: dict[str, Any] | None) -> str:
    return "" if entry is None else str(entry["got"])


def _describe(entry: dict[str, Any] | None) -> str:
    return "not there" if entry is None else f"{'passed' if entry['passed'] else 'FAILED'} ({entry['got']})"
