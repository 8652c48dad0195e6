"""`ground-tools export`: from trained networks to a bundle."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, existing_path, integer, output_folder

_EXAMPLES = {
    "ground-tools export --network out/unet_s --network out/unet_as --dataset DIR --out models/unet_h": "",
    "ground-tools export --network out/unet_s --dataset DIR --out models/unet_s": "",
}


def add_parser(commands: Any) -> None:
    """Add the command `export` to those of `ground-tools`."""
    export = commands.add_parser(
        "export", help="quantize trained networks to int8 and write a bundle", epilog=examples(_EXAMPLES)
    )
    export.set_defaults(extra="train")
    export.add_argument(
        "--network",
        type=existing_folder,
        required=True,
        action="append",
        metavar="DIR",
        help="folder of a finished training; give it twice to fuse UNetS and UNetAS",
    )
    export.add_argument(
        "--dataset",
        type=existing_path,
        required=True,
        action="append",
        metavar="SET",
        help="set for ranges, choices, figures; give it again for another set, which then counts as much",
    )
    export.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="the bundle's folder")
    export.add_argument(
        "--self-test-from",
        type=existing_path,
        metavar="SET",
        help="the set whose first test image becomes the self-test's, where images of the sets may not be passed on "
        "(default: the first --dataset that may)",
    )
    export.add_argument("--bundle-version", default="0.1.0", metavar="TEXT", help="the bundle's version")
    export.add_argument(
        "--images", type=integer(1), metavar="N", help="evaluate on so many images of each split (default: all)"
    )
    export.add_argument("--passes", type=integer(1, 100), default=20, metavar="N", help="dropout passes of an image")
    export.add_argument(
        "--parity-images",
        type=integer(1),
        default=4,
        metavar="N",
        help="how many test images of each set the engines are compared with float32 on; minutes each (default: 4)",
    )
    export.add_argument(
        "--parity-passes", type=integer(1, 100), default=100, metavar="N", help="passes of float32 (default: 100)"
    )
    export.add_argument(
        "--force", action="store_true", help="write the bundle even where parity with float32 misses a bound"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools export` was asked for; returns the exit code."""
    if not 1 <= len(arguments.network) <= 2:
        raise ValueError(f"--network: expected one or two, got {len(arguments.network)}")
    from ground_tools.export.bundle_writer import ParityPlan, read_trained, write_bundle
    from ground_tools.export.figures import figures_of

    trained = [read_trained(folder) for folder in arguments.network]
    bundle = write_bundle(
        trained,
        arguments.dataset,
        arguments.out,
        arguments.out.name,
        arguments.bundle_version,
        arguments.images,
        arguments.passes,
        arguments.self_test_from,
        ParityPlan(arguments.parity_images, arguments.parity_passes, arguments.force),
    )
    for miss in bundle.manifest["engine_parity"]["misses"]:
        print(f"parity with float32: {miss}", file=sys.stderr)
    tests = figures_of(bundle.manifest).test
    figures = ", ".join(f"{test.modes[bundle.modes[0]].miou:.3f} on {name}" for name, test in tests.items())
    print(f"{arguments.out}: {bundle.modes[0]} test mIoU {figures}; card in {arguments.out / 'card.md'}")
    return 0
