"""`ground-tools compare`: what each choice of a recipe gains."""

from __future__ import annotations

import argparse
import os
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, existing_path, output_folder

_EXAMPLES = {
    "ground-tools compare unet-s --dataset datasets/d1 --start-from out/train/encoder/encoder.weights.h5 \\\n"
    "      --out out/comparisons/unet_s --write docs": "",
    "ground-tools compare unet-as --dataset datasets/d4 --start-from models/unet_s --second-set datasets/d1 \\\n"
    "      --out out/comparisons/unet_as": "",
    "ground-tools compare rubble --dataset datasets/d1 --evaluate-also datasets/d4 --out out/comparisons/rubble": "",
    "ground-tools compare bodies-half --dataset datasets/d1 --out out/comparisons/bodies_half": (
        "with and without guidance by super-resolution, three seeds"
    ),
}
_NOTE = "A run that was stopped goes on when the same command is given again. Test splits are not looked at."


def add_parser(commands: Any) -> None:
    """Add the command `compare` to those of `ground-tools`."""
    compare = commands.add_parser(
        "compare",
        help="short trainings that differ in one thing: what each choice of a recipe gains",
        epilog=examples(_EXAMPLES, _NOTE),
    )
    compare.set_defaults(extra="train")
    compare.add_argument(
        "comparison",
        metavar="NAME",
        help="unet-s, unet-as, rubble, bodies-half and others (ground_tools/training/comparisons), or a TOML file",
    )
    compare.add_argument("--dataset", type=existing_path, required=True, metavar="SET", help="set to train on")
    compare.add_argument(
        "--start-from",
        type=existing_path,
        metavar="H5",
        help="weights, or a bundle, to start from, if the comparison starts from some (default: none)",
    )
    compare.add_argument(
        "--out", type=output_folder, required=True, metavar="DIR", help="folder to write, one inside for each training"
    )
    compare.add_argument(
        "--second-set",
        type=existing_path,
        metavar="SET",
        help="a second set, for changes with images of one in each batch (default: none)",
    )
    compare.add_argument(
        "--evaluate-also",
        type=existing_path,
        action="append",
        default=[],
        metavar="SET",
        help="further set to evaluate on; may be repeated (default: none)",
    )
    compare.add_argument(
        "--write",
        type=existing_folder,
        metavar="DOCS",
        help="put the table into DOCS/training.md, too (default: print it only)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools compare` was asked for; returns the exit code."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    from ground_tools.training.compare import compare, load_comparison
    from ground_tools.training.comparison_figures import check_docs, comparison_section, write_comparisons

    comparison = load_comparison(arguments.comparison)
    if arguments.write is not None:
        check_docs(arguments.write)
    figures = compare(
        comparison,
        arguments.dataset,
        arguments.start_from,
        arguments.out,
        arguments.evaluate_also,
        arguments.second_set,
    )
    print(comparison_section({comparison.name: figures}))
    if arguments.write is not None:
        write_comparisons({comparison.name: figures}, arguments.write)
    return 0
