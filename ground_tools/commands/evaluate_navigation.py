"""`ground-tools evaluate-navigation`: errors of the navigation consumer on rendered sets."""

from __future__ import annotations

import argparse
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, existing_path, integer

_EXAMPLES = {
    "ground-tools evaluate-navigation --dataset datasets/d2a": "on truth masks",
    "ground-tools evaluate-navigation --dataset datasets/d2a --bundle models/unet_h": "and on a bundle's maps",
    "ground-tools evaluate-navigation --tuning-set datasets/d1 --dataset datasets/d3 --write docs": "into docs/gnc.md",
}


def add_parser(commands: Any) -> None:
    """Add the command `evaluate-navigation` to those of `ground-tools`."""
    evaluate = commands.add_parser(
        "evaluate-navigation",
        help="measure the errors of navigation_fix on truth masks and on a bundle's maps",
        epilog=examples(_EXAMPLES),
    )
    evaluate.set_defaults(extra="render")
    evaluate.add_argument(
        "--dataset",
        type=existing_path,
        required=True,
        action="append",
        metavar="SET",
        help="set to evaluate on; may be repeated",
    )
    evaluate.add_argument(
        "--tuning-set",
        type=existing_path,
        metavar="SET",
        help="set on whose validation split constants were chosen (default: none)",
    )
    evaluate.add_argument(
        "--bundle", type=existing_folder, metavar="DIR", help="measure this bundle's maps, too (default: none)"
    )
    evaluate.add_argument(
        "--passes", type=integer(1, 100), default=20, metavar="N", help="dropout passes of each image"
    )
    evaluate.add_argument(
        "--images", type=integer(1, 1_000_000), default=100, metavar="N", help="images of each set for the bundle"
    )
    evaluate.add_argument(
        "--write",
        type=existing_folder,
        metavar="DOCS",
        help="write DOCS/gnc.json, and its figures in DOCS/gnc.md, too (default: print them only)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools evaluate-navigation` was asked for; returns the exit code."""
    from flight.bundle import load_bundle
    from ground_tools.evaluation.navigation import check_docs, evaluate, write_figures
    from ground_tools.evaluation.navigation_tables import navigation_section

    if arguments.write is not None:
        check_docs(arguments.write)
    bundle = None if arguments.bundle is None else load_bundle(arguments.bundle)
    figures = evaluate(arguments.dataset, arguments.tuning_set, bundle, arguments.passes, arguments.images)
    print(navigation_section(figures))
    if arguments.write is not None:
        write_figures(figures, arguments.write)
    return 0
