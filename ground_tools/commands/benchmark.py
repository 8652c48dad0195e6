"""`ground-tools benchmark`: the service beside bare interpreter passes."""

from __future__ import annotations

import argparse
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, integer

_EXAMPLES = {
    "ground-tools benchmark --bundle models/unet_h": "",
    "ground-tools benchmark --bundle models/unet_h --rounds 3 --passes 5": "a first look",
    "ground-tools benchmark --bundle models/unet_h --write docs": "as `make benchmark`",
}


def add_parser(commands: Any) -> None:
    """Add the command `benchmark` to those of `ground-tools`."""
    benchmark = commands.add_parser(
        "benchmark",
        help="measure the service beside bare interpreter passes",
        epilog=examples(_EXAMPLES),
    )
    benchmark.set_defaults(extra="train")
    benchmark.add_argument("--bundle", type=existing_folder, required=True, metavar="DIR", help="the model bundle")
    benchmark.add_argument(
        "--rounds", type=integer(1, 1000), default=7, metavar="N", help="frames through both, turn and turn about"
    )
    benchmark.add_argument("--passes", type=integer(1, 100), default=20, metavar="N", help="dropout passes of a frame")
    benchmark.add_argument("--threads", type=integer(1, 64), default=2, metavar="N", help="threads of the networks")
    benchmark.add_argument(
        "--write",
        type=existing_folder,
        metavar="DOCS",
        help="write DOCS/benchmark.md, too (default: print the table only)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools benchmark` was asked for; returns the exit code."""
    from flight.bundle import load_bundle
    from ground_tools.benchmark.service import benchmark_service, page

    measured = benchmark_service(arguments.bundle, arguments.rounds, arguments.passes, arguments.threads)
    text = page(measured, load_bundle(arguments.bundle))
    print(text)
    if arguments.write is not None:
        (arguments.write / "benchmark.md").write_text(text, encoding="utf-8")
    return 0
