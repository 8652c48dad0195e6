"""`ground-tools fit-covariance`: the constants of the navigation fix's covariance, for a bundle."""

from __future__ import annotations

import argparse
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, existing_path, integer

_EXAMPLES = {
    "ground-tools fit-covariance --dataset datasets/d1 --bundle models/unet_h": "",
    "ground-tools fit-covariance --dataset datasets/d1 --bundle models/unet_h --write docs": "into docs/gnc.md",
}
_NOTE = """The squared error of a fix is to be as large as its covariance says. The constants in
flight/client/navigation.py and rubblemap/consumers.hpp belong to the networks whose maps they were chosen on: run
this for other ones."""


def add_parser(commands: Any) -> None:
    """Add the command `fit-covariance` to those of `ground-tools`."""
    fit = commands.add_parser(
        "fit-covariance",
        help="choose the constants of navigation_fix's covariance for a bundle",
        epilog=examples(_EXAMPLES, _NOTE),
    )
    fit.set_defaults(extra="render")
    fit.add_argument(
        "--dataset", type=existing_path, required=True, metavar="SET", help="rendered set, with the true outlines"
    )
    fit.add_argument("--split", default="validation", help="split of that set")
    fit.add_argument(
        "--bundle",
        type=existing_folder,
        required=True,
        metavar="DIR",
        help="bundle from whose maps the fixes are computed",
    )
    fit.add_argument("--passes", type=integer(1, 100), default=20, metavar="N", help="dropout passes of each image")
    fit.add_argument(
        "--images",
        type=integer(2, 1_000_000),
        default=300,
        metavar="N",
        help="number of images, evenly through the split",
    )
    fit.add_argument(
        "--write",
        type=existing_folder,
        metavar="DOCS",
        help="write DOCS/covariance.json, and its part of DOCS/gnc.md, too (default: print the table only)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools fit-covariance` was asked for; returns the exit code."""
    from flight.bundle import load_bundle
    from ground_tools.evaluation.covariance import check_docs, covariance_section, fit_constants, write_figures

    if arguments.write is not None:
        check_docs(arguments.write)
    bundle = load_bundle(arguments.bundle)
    figures = fit_constants(arguments.dataset, arguments.split, bundle, arguments.passes, arguments.images)
    print(covariance_section(figures))
    if arguments.write is not None:
        write_figures(figures, arguments.write)
    return 0
