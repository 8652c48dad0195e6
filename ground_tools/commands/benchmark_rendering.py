"""`ground-tools benchmark-rendering`: how rendering scales over worker processes."""

from __future__ import annotations

import argparse
import json
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, integer

_EXAMPLES = {
    "ground-tools benchmark-rendering --samples 20 --rounds 1": "a first look",
    "ground-tools benchmark-rendering --workers 1 2 4 8": "",
    "ground-tools benchmark-rendering --write docs": "as `make benchmark-rendering`",
}


def add_parser(commands: Any) -> None:
    """Add the command `benchmark-rendering` to those of `ground-tools`."""
    benchmark = commands.add_parser(
        "benchmark-rendering",
        help="measure how rendering scales over worker processes",
        epilog=examples(_EXAMPLES),
    )
    benchmark.set_defaults(extra="render")
    benchmark.add_argument("--body", default="procedural_top", metavar="NAME", help="a body that needs no files")
    benchmark.add_argument("--samples", type=integer(1), default=300, metavar="N", help="images of each campaign")
    benchmark.add_argument(
        "--workers", type=integer(1, 256), nargs="+", default=[1, 2], metavar="N", help="processes, each number in turn"
    )
    benchmark.add_argument(
        "--rounds", type=integer(1, 1000), default=2, metavar="N", help="campaigns with each number of processes"
    )
    benchmark.add_argument(
        "--write",
        type=existing_folder,
        metavar="DOCS",
        help="put the table into DOCS/datasets.md, too (default: print it only)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools benchmark-rendering` was asked for; returns the exit code."""
    from ground_tools.benchmark.rendering import measure
    from ground_tools.datasets.report import write_scaling
    from ground_tools.foundation.json_records import to_plain

    scaling = measure(arguments.body, arguments.samples, arguments.workers, arguments.rounds)
    print(json.dumps(to_plain(scaling), indent=2))
    if arguments.write is not None:
        write_scaling(scaling, arguments.write)
    return 0
