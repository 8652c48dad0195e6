"""`ground-tools add-closed-form`: the closed-form head for a bundle that was exported without it."""

from __future__ import annotations

import argparse
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, existing_path, output_folder

_EXAMPLES = {
    "ground-tools add-closed-form --bundle models/unet_h --dataset datasets/d1 --bundle-version 1.2.0 \\\n"
    "      --out out/unet_h": "a copy of the bundle that answers frames several times faster",
}


def add_parser(commands: Any) -> None:
    """Add the command `add-closed-form` to those of `ground-tools`."""
    parser = commands.add_parser(
        "add-closed-form",
        help="give a bundle the files by which the dropout of its networks' heads is computed in closed form",
        epilog=examples(_EXAMPLES),
    )
    parser.set_defaults(extra="train")
    parser.add_argument("--bundle", type=existing_folder, required=True, metavar="DIR", help="the bundle")
    parser.add_argument(
        "--dataset",
        type=existing_path,
        required=True,
        action="append",
        metavar="SET",
        help="a set whose training images show the scores' ranges; give it again for another set",
    )
    parser.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--bundle-version", required=True, metavar="TEXT", help="the new bundle's version")


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools add-closed-form` was asked for; returns the exit code."""
    from ground_tools.export.bundle_sets import images_for_ranges, read_set
    from ground_tools.export.closed_form_bundle import add_closed_form

    images = images_for_ranges([read_set(dataset, 1) for dataset in arguments.dataset])
    bundle = add_closed_form(arguments.bundle, images, arguments.out, arguments.bundle_version)
    with_head = [network.name for network in bundle.networks if network.closed_form is not None]
    print(f"{arguments.out}: closed-form head of {' and '.join(with_head)}")
    return 0
