"""`ground-tools parity`: the closed-form head beside whole passes, on sets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, existing_path, integer, output_file

_EXAMPLES = {
    "ground-tools parity --bundle models/unet_h --dataset datasets/d1 --dataset datasets/d4 --images 20": (
        "what the closed form differs by from whole passes, and how much faster it is"
    ),
}


def add_parser(commands: Any) -> None:
    """Add the command `parity` to those of `ground-tools`."""
    parser = commands.add_parser(
        "parity",
        help="compare a bundle's closed-form head with whole passes: mIoU, NLL, ECE, AUROC, entropy, time",
        epilog=examples(_EXAMPLES),
    )
    parser.set_defaults(extra="render")
    more: Any = {"required": True, "action": "append"}
    parser.add_argument("--bundle", type=existing_folder, required=True, metavar="DIR", help="the bundle")
    parser.add_argument("--dataset", type=existing_path, metavar="SET", help="a set; repeat for more", **more)
    parser.add_argument("--split", choices=("validation", "test"), default="validation", help="images to compare on")
    parser.add_argument(
        "--images", type=integer(1), default=16, metavar="N", help="how many images of each set, evenly spread"
    )
    parser.add_argument(
        "--passes", type=integer(1, 100), metavar="N", help="passes of both engines (default: the bundle's)"
    )
    parser.add_argument(
        "--reference-passes", type=integer(1, 100), default=100, metavar="N", help="whole passes of the reference"
    )
    parser.add_argument("--threads", type=integer(1, 64), default=2, metavar="N", help="cores to use")
    parser.add_argument(
        "--out", type=output_file, metavar="FILE", help="write the figures as JSON (default: the table alone)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools parity` was asked for; returns 1 where the closed form misses a bound."""
    import json

    from flight.bundle import load_bundle
    from ground_tools.datasets.store import load, read_description
    from ground_tools.evaluation.passes import camera_frames
    from ground_tools.export.bundle_sets import take_evenly
    from ground_tools.export.parity import measure_parity, parity_table
    from ground_tools.foundation.files import write_whole
    from ground_tools.foundation.json_records import to_plain
    from ground_tools.training.records import set_name

    bundle = load_bundle(arguments.bundle)
    without = [network.name for network in bundle.networks if network.closed_form is None]
    if without:
        raise ValueError(f"--bundle {arguments.bundle}: expected closed-form heads, got none of {', '.join(without)}")
    results = {}
    for dataset in arguments.dataset:
        description = read_description(dataset)
        samples = take_evenly(load(dataset, arguments.split), arguments.images)
        results[set_name(description)] = measure_parity(
            bundle,
            camera_frames(samples.images, description["noise"]),
            samples.masks,
            arguments.split,
            arguments.passes or bundle.passes,
            arguments.reference_passes,
            arguments.threads,
        )
    print(parity_table(results))
    if arguments.out is not None:
        plain = {name: to_plain(parity) for name, parity in results.items()}
        write_whole(Path(arguments.out), (json.dumps(plain, indent=2) + "\n").encode())
    failures = [f"{name}: {text}" for name, parity in results.items() for text in parity.failures()]
    for failure in failures:
        print(failure)
    return 1 if failures else 0
