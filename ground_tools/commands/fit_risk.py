"""`ground-tools fit-risk`: thresholds with a promise, by which bundles mark uncertain pixels."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, existing_path, integer, number, output_folder

_EXAMPLES = {
    "ground-tools fit-risk --bundle models/unet_h --dataset datasets/d1 --dataset datasets/d2a": (
        "what keeps its promise on both sets; an hour or so per two thousand images and two cores"
    ),
    "ground-tools fit-risk --bundle models/unet_h --dataset datasets/d1 --dataset datasets/d4 --leave-out d4": (
        "d4 has too few images to promise anything on: it is measured, and named in the manifest"
    ),
}
_NOTE = """
Of what a map leaves unmarked, a stated share at most is wrong, on average over images, except with a probability of
--delta: see docs/posterior.md. Thresholds are chosen on the validation splits and must keep the promise on every set,
with the passes and the gamma that the bundle has by default. A command that was stopped goes on where it was, and
computes nothing again when other sets are added or left out."""


def add_parser(commands: Any) -> None:
    """Add the command `fit-risk` to those of `ground-tools`."""
    fit = commands.add_parser(
        "fit-risk",
        help="choose thresholds that keep a promise on the share of wrong pixels, and put them into bundles",
        epilog=examples(_EXAMPLES, _NOTE),
    )
    fit.set_defaults(extra="render")
    more: Any = {"required": True, "action": "append"}
    fit.add_argument(
        "--bundle", type=existing_folder, metavar="DIR", help="bundle that gets thresholds; may be repeated", **more
    )
    fit.add_argument(
        "--dataset",
        type=existing_path,
        metavar="SET",
        help="set, folder or packed file, with a validation split; may be repeated",
        **more,
    )
    fit.add_argument(
        "--delta",
        type=number(0.0001, 0.1),
        default=0.05,
        metavar="P",
        help="probability with which a promise may be broken",
    )
    fit.add_argument(
        "--images",
        type=integer(0, 1_000_000),
        default=0,
        metavar="N",
        help="images of each set, an even share of every body; 0: all",
    )
    fit.add_argument(
        "--leave-out",
        action="append",
        default=[],
        metavar="NAME",
        help="name of a set that need not keep the promise; it is measured all the same; repeatable (default: none)",
    )
    fit.add_argument("--workers", type=integer(0, 256), default=0, metavar="N", help="processes; 0: one for each core")
    fit.add_argument(
        "--out", type=output_folder, default=Path("out/risk"), metavar="DIR", help="folder of what was computed"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools fit-risk` was asked for; returns the exit code."""
    from flight.bundle import load_bundle
    from ground_tools.evaluation.risk_choice import (
        RiskPlan,
        add_thresholds,
        check_sets,
        choose,
        manifest_entry,
        table_of,
    )
    from ground_tools.evaluation.worker_pool import usable_cores

    plan = RiskPlan(
        delta=arguments.delta,
        images=arguments.images,
        leave_out=tuple(arguments.leave_out),
        workers=arguments.workers or usable_cores(),
        out=arguments.out,
    )
    bundles = [load_bundle(folder) for folder in arguments.bundle]
    for bundle in bundles:
        check_sets(bundle, arguments.dataset, plan)
    refused = []
    for folder, bundle in zip(arguments.bundle, bundles, strict=True):
        try:
            choice = choose(bundle, arguments.dataset, plan)
        except ValueError as error:
            refused.append(str(error))
            continue
        print(table_of(choice))
        print(f"{folder}: {add_thresholds(folder, manifest_entry(choice)).sha256[:16]}", flush=True)
    if refused:
        raise ValueError("; ".join(refused))
    return 0
