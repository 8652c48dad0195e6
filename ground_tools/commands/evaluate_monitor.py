"""`ground-tools evaluate-monitor`: what a bundle's input monitor makes of nonsense and of bodies."""

from __future__ import annotations

import argparse
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, existing_path, integer
from flight.segment import add_bit_depth

_EXAMPLES = {
    "ground-tools evaluate-monitor --bundle models/unet_h --frames hil/flyby/frames": "nonsense, and the flyby",
    "ground-tools evaluate-monitor --bundle DIR --frames DIR --dataset DIR --write docs": "into docs/results.md",
}


def add_parser(commands: Any) -> None:
    """Add the command `evaluate-monitor` to those of `ground-tools`."""
    evaluate = commands.add_parser(
        "evaluate-monitor",
        help="count the nonsense that a bundle's input monitor misses, and the bodies that it refuses",
        epilog=examples(_EXAMPLES),
    )
    evaluate.set_defaults(extra="render")
    evaluate.add_argument("--bundle", type=existing_folder, required=True, metavar="DIR", help="bundle with a monitor")
    evaluate.add_argument(
        "--frames",
        type=existing_folder,
        required=True,
        metavar="DIR",
        help="images of bodies that no monitor was fitted on: evaluated as they are, and degraded",
    )
    add_bit_depth(evaluate)
    evaluate.add_argument(
        "--nonsense", type=integer(1, 100_000), default=150, metavar="N", help="frames of each of the twenty kinds"
    )
    evaluate.add_argument(
        "--passes",
        type=integer(1, 100),
        default=4,
        metavar="N",
        help="dropout passes of a map",
    )
    evaluate.add_argument(
        "--dataset",
        type=existing_path,
        action="append",
        default=[],
        metavar="SET",
        help="set whose test split shows bodies; may be repeated (default: none)",
    )
    evaluate.add_argument(
        "--real-images", type=existing_folder, metavar="DIR", help="real images, with a manifest.csv (default: none)"
    )
    evaluate.add_argument(
        "--write",
        type=existing_folder,
        metavar="DOCS",
        help="write DOCS/monitor.json, and its part of DOCS/results.md, too (default: print the tables only)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools evaluate-monitor` was asked for; returns the exit code."""
    from flight.bundle import load_bundle
    from ground_tools.monitoring.judging import (
        MonitorResult,
        judge_bodies,
        judge_nonsense,
        judge_real_images,
        judge_set,
        read_frames,
    )
    from ground_tools.monitoring.spoiling import can_be_spoiled
    from ground_tools.monitoring.tables import check_docs, monitor_section, write_figures

    if arguments.write is not None:
        check_docs(arguments.write)
    bundle = load_bundle(arguments.bundle)
    if bundle.input_monitor is None:
        raise ValueError(f"{arguments.bundle}: expected a bundle with an input monitor; see ground-tools fit-monitor")
    frames = read_frames(arguments.frames, arguments.bit_depth)
    name = str(arguments.frames)
    bodies = {name: judge_bodies(bundle, ((frame, 8, False) for frame in frames), name, len(frames))}
    for path in arguments.dataset:
        bodies[f"{path.name}, test"] = judge_set(bundle, path, "test")
    if arguments.real_images is not None:
        bodies |= judge_real_images(bundle, arguments.real_images)
    nonsense = judge_nonsense(
        bundle, [frame for frame in frames if can_be_spoiled(frame)], arguments.nonsense, arguments.passes
    )
    result = MonitorResult(f"{bundle.name} {bundle.version}", arguments.passes, nonsense, bodies)
    print(monitor_section(result))
    if arguments.write is not None:
        write_figures(result, arguments.write)
    return 0
