"""`ground-tools benchmark`: the service beside bare interpreter passes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ground_tools.foundation.arguments import check_limits


def add_parser(commands: Any) -> None:
    """Add the command `benchmark` to those of `ground-tools`."""
    benchmark = commands.add_parser("benchmark", help="the service beside bare interpreter passes, as a table")
    benchmark.add_argument("--bundle", type=Path, required=True, metavar="DIR")
    benchmark.add_argument("--rounds", type=int, default=7, help="(default: 7)")
    benchmark.add_argument("--passes", type=int, default=20, help="dropout passes (default: 20)")
    benchmark.add_argument("--threads", type=int, default=2, help="(default: 2)")
    benchmark.add_argument("--write", type=Path, metavar="MD", help="write the table to this file, too")


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools benchmark` was asked for; returns the exit code."""
    from flight.bundle import load_bundle
    from ground_tools.benchmark.service import benchmark_service, page

    check_limits(arguments, {"rounds": (1, 1000), "passes": (1, 100), "threads": (1, 64)})
    measured = benchmark_service(arguments.bundle, arguments.rounds, arguments.passes, arguments.threads)
    text = page(measured, load_bundle(arguments.bundle))
    print(text)
    if arguments.write is not None:
        arguments.write.write_text(text, encoding="utf-8")
    return 0
