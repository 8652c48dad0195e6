"""`ground-tools`: render, look at datasets, label, train, export, evaluate, benchmark."""

from __future__ import annotations

import sys

from flight.command_line import CommandParser, examples, run_program
from ground_tools.commands import (
    add_closed_form,
    benchmark,
    benchmark_rendering,
    bundle,
    check_accelerator,
    compare,
    dataset,
    draw,
    estimate_accelerators,
    evaluate,
    evaluate_monitor,
    evaluate_navigation,
    export,
    fit_covariance,
    fit_monitor,
    fit_risk,
    label,
    mission,
    parity,
    render,
    train,
    train_chain,
)

# In the order of `ground-tools --help`.
_COMMANDS = {
    "render": render,
    "draw": draw,
    "dataset": dataset,
    "label": label,
    "mission": mission,
    "train": train,
    "train-chain": train_chain,
    "compare": compare,
    "export": export,
    "add-closed-form": add_closed_form,
    "parity": parity,
    "check-accelerator": check_accelerator,
    "estimate-accelerators": estimate_accelerators,
    "bundle": bundle,
    "evaluate": evaluate,
    "evaluate-navigation": evaluate_navigation,
    "fit-covariance": fit_covariance,
    "fit-monitor": fit_monitor,
    "fit-risk": fit_risk,
    "evaluate-monitor": evaluate_monitor,
    "benchmark": benchmark,
    "benchmark-rendering": benchmark_rendering,
}
_EXAMPLES = {
    "ground-tools render --out datasets/procedural": "labelled images of bodies that the project makes itself",
    "ground-tools train --recipe best-encoder --dataset DIR --out DIR": "an encoder, then UNets",
    "ground-tools export --network DIR --dataset DIR --out DIR": "a bundle of int8 networks",
    "ground-tools bundle net.tflite --classes classes.txt --out DIR": "a bundle around a network of your own",
    "ground-tools evaluate --bundle DIR --dataset DIR": "its figures, from the files that fly",
}


def build_parser() -> CommandParser:
    """The command line of `ground-tools`."""
    parser = CommandParser(
        prog="ground-tools",
        description="Render labelled images, train networks, export bundles and measure them.",
        epilog=examples(_EXAMPLES, "Every command has examples, too: `ground-tools COMMAND --help`."),
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS.values():
        command.add_parser(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code, see flight.command_line."""
    return run_program(build_parser(), lambda arguments: _COMMANDS[arguments.command].run(arguments), argv)


if __name__ == "__main__":
    sys.exit(main())
