"""`ground-tools fit-monitor`: the input monitor of bundles, which decides whether a body is in a frame."""

from __future__ import annotations

import argparse
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, existing_path, integer

_EXAMPLES = {
    "ground-tools fit-monitor --dataset datasets/d1 --dataset datasets/d4 --bundle models/unet_h": "",
    "ground-tools fit-monitor --dataset datasets/d1 --bundle models/unet_h --bundle models/unet_s": "one for both",
}
_NOTE = """The monitor knows bodies by the training splits of the sets, as they are and placed in larger frames, and
nonsense by frames that are drawn for it. Its limits are chosen on the validation splits. It does not depend on the
networks: bundles whose networks take images of the same size can share one."""


def add_parser(commands: Any) -> None:
    """Add the command `fit-monitor` to those of `ground-tools`."""
    fit = commands.add_parser(
        "fit-monitor",
        help="fit the input monitor, which finds frames without a body, and put it into bundles",
        epilog=examples(_EXAMPLES, _NOTE),
    )
    fit.set_defaults(extra="train")
    fit.add_argument(
        "--dataset",
        type=existing_path,
        required=True,
        action="append",
        metavar="SET",
        help="set of images of bodies; may be repeated",
    )
    fit.add_argument(
        "--bundle",
        type=existing_folder,
        required=True,
        action="append",
        metavar="DIR",
        help="bundle that gets the monitor; may be repeated",
    )
    fit.add_argument(
        "--images", type=integer(10, 1_000_000), default=3000, metavar="N", help="most images of each set and split"
    )
    fit.add_argument(
        "--nonsense",
        type=integer(10, 100_000),
        default=1000,
        metavar="N",
        help="frames without a body, of each of the twenty kinds",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools fit-monitor` was asked for; returns the exit code."""
    from flight.bundle import load_bundle
    from ground_tools.monitoring.fitting import add_monitor, fit_monitor, monitor_json

    bundles = [load_bundle(folder) for folder in arguments.bundle]
    shapes = {(bundle.height, bundle.width, bundle.channels) for bundle in bundles}
    if len(shapes) > 1:
        raise ValueError(f"--bundle: expected networks of one input size, got {sorted(shapes)}")
    monitor, figures = fit_monitor(bundles[0], arguments.dataset, arguments.images, arguments.nonsense)
    content = monitor_json(monitor, figures)
    for folder in arguments.bundle:
        print(f"{folder}: {add_monitor(folder, content).sha256[:16]}")
    print(
        f"fitted on {figures.bodies} frames of bodies and {figures.nonsense} without; "
        f"refuses {100 * figures.refused:.2f} % of {figures.validation} validation frames"
    )
    return 0
