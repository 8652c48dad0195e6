"""The figures of docs/gnc.md that the C++ tests measure: `python -m tests.flight.gnc.measure --write docs`.

Runs tests/flight/gnc, the fuzzing as long as asked for, and reads what the tests recorded.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from flight.command_line import CommandParser, run_program
from flight.option_types import existing_folder, number
from ground_tools.pages.sections import write_section
from tests.flight.gnc.building import ROOT

_CONSUMERS = {
    "fix": "`navigation_fix`",
    "circles": "`landing_circles`",
    "circles_to_bound": "the same, planes that contradict each other: to the search's bound",
}


def run_tests(fuzz_minutes: float) -> dict[str, list[str]]:
    """Run tests/flight/gnc; returns what was recorded: name -> values in order.

    Raises RuntimeError when a test failed.
    """
    with tempfile.TemporaryDirectory(prefix="rubblemap_gnc_") as folder:
        report = Path(folder) / "report.xml"
        seconds = round(60 * fuzz_minutes)
        environment = {**os.environ, "RUBBLEMAP_FUZZ_SECONDS": str(seconds)}
        # Of the report's two forms, the one that carries what tests record.
        options = [f"--junitxml={report}", "-o", "junit_family=xunit1", f"--timeout={300 + seconds}"]
        command = [sys.executable, "-m", "pytest", "tests/flight/gnc", *options]
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"tests/flight/gnc: expected every test to pass, got exit code {done.returncode}")
        tree = ElementTree.parse(report)
    recorded: dict[str, list[str]] = {}
    skipped = [case.get("name", "") for case in tree.iter("testcase") if case.find("skipped") is not None]
    for entry in tree.iter("property"):
        recorded.setdefault(entry.get("name", ""), []).append(entry.get("value", ""))
    return {**recorded, "skipped": skipped}


def figures_of(recorded: dict[str, list[str]], fuzz_minutes: float) -> dict[str, Any]:
    """The figures as values for JSON."""
    decode = {
        side: sorted(float(value) for value in recorded[f"decode_microseconds_{side}"]) for side in ("128", "256")
    }
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "decode_microseconds": decode,
        "consumers_microseconds": {
            side: {name: float(recorded[f"consumers_microseconds_{name}_{side}"][0]) for name in _CONSUMERS}
            for side in ("128", "256")
        },
        "allocations": recorded["allocations"][0].splitlines(),
        "overload": {name: int(recorded[f"overload_{name}"][0]) for name in ("received", "lost")},
        "live": {
            "frames": int(recorded["live_frames"][0]),
            "products_taken": int(recorded["live_taken"][0]),
            "topics": {topic: recorded[f"live_{topic}"][0] for topic in ("map.navigation", "map.hazard")},
        },
        "equal_verdicts": int(recorded["equal_verdicts"][0]),
        "fuzz": {"minutes": fuzz_minutes, "runs": int(recorded.get("fuzz_runs", ["0"])[0])},
        "skipped": recorded["skipped"],
    }


def as_text(figures: dict[str, Any]) -> str:
    """The figures as Markdown."""

    def decoding(side: str) -> str:
        values = figures["decode_microseconds"][side]
        return f"{statistics.median(values):.0f} us ({values[0]:.0f} to {values[-1]:.0f} in {len(values)} rounds)"

    def consumers(name: str) -> str:
        of = figures["consumers_microseconds"]
        return f"{of['128'][name] / 1000:.1f} ms, {of['256'][name] / 1000:.1f} ms"

    live, overload, fuzz = figures["live"], figures["overload"], figures["fuzz"]
    topics = "; ".join(f"`{topic}` {counts}" for topic, counts in live["topics"].items())
    rows = [
        ("decode and check `map.navigation`, 128 x 128, median of a round (aim: below 100 us)", decoding("128")),
        ("the same, 256 x 256", decoding("256")),
        *((f"{what}; 128 x 128, 256 x 256", consumers(name)) for name, what in _CONSUMERS.items()),
        *(
            (f"allocations after opening: {line.split(':')[0]}", line.split("thread: ")[1])
            for line in figures["allocations"]
        ),
        (
            "3,000 products at a consumer that hardly reads",
            f"{overload['received']} received + {overload['lost']} lost",
        ),
        (
            f"{live['frames']} frames, a consumer that stops for a while, the service killed and restarted",
            f"0 wrong of {live['products_taken']} products taken; {topics}",
        ),
        (
            "products, damaged ones most, with the same verdict in C++ and Python",
            f"{figures['equal_verdicts']} of as many",
        ),
        ("address and undefined-behaviour sanitizer over the C++ tests", "0 findings"),
    ]
    if "test_the_thread_sanitizer_finds_nothing" not in figures["skipped"]:
        rows.append(("thread sanitizer over the tests with sockets and threads", "0 findings"))
    if fuzz["runs"]:
        found = f"{fuzz['runs']:,} runs, 0 findings"
        rows.append((f"libFuzzer on the decoder, {fuzz['minutes']:g} minutes", found))
    lines = [f"{figures['machine']}.", "", "| what | figure |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]
    if figures["skipped"]:
        lines += ["", f"Not run here: {', '.join(figures['skipped'])}."]
    return "\n".join(lines) + "\n"


def write_figures(figures: dict[str, Any], docs: Path) -> None:
    """Put them into DOCS/gnc_client.json and between the marks of DOCS/gnc.md."""
    write_section(docs / "gnc.md", "client figures", as_text(figures), figures, docs / "gnc_client.json")


def main() -> int:
    """Measure, print, and write if asked to; returns the exit code."""
    parser = CommandParser(prog="python -m tests.flight.gnc.measure", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--fuzz-minutes", type=number(0.0), default=10.0, metavar="M", help="minutes of fuzzing the decoder"
    )
    parser.add_argument(
        "--write", type=existing_folder, metavar="DOCS", help="put the figures into DOCS/gnc.md (default: print them)"
    )
    return run_program(parser, _measure)


def _measure(arguments: argparse.Namespace) -> None:
    figures = figures_of(run_tests(arguments.fuzz_minutes), arguments.fuzz_minutes)
    print(as_text(figures))
    if arguments.write is not None:
        write_figures(figures, arguments.write)


if __name__ == "__main__":
    sys.exit(main())
