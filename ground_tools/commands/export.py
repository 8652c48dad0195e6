"""`ground-tools export`: from trained networks to a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ground_tools.foundation.arguments import check_limits

_EXAMPLES = """examples:
  ground-tools export --network out/unet_s --network out/unet_as --dataset DIR --out models/unet_h
  ground-tools export --network out/unet_s --dataset DIR --out models/unet_s
"""


def add_parser(commands: Any) -> None:
    """Add the command `export` to those of `ground-tools`."""
    export = commands.add_parser(
        "export",
        help="quantize trained networks to int8 and write a bundle",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    export.add_argument(
        "--network",
        type=Path,
        required=True,
        action="append",
        metavar="DIR",
        help="folder of a finished training; give it twice to fuse UNetS and UNetAS",
    )
    export.add_argument(
        "--dataset",
        type=Path,
        required=True,
        action="append",
        metavar="DIR",
        help="for ranges, choices, figures; give it again for another set, which then counts as much",
    )
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="the bundle's folder")
    export.add_argument(
        "--self-test-from",
        type=Path,
        metavar="DIR",
        help="the set whose first test image becomes the self-test's, where images of the sets may not be passed on",
    )
    export.add_argument("--bundle-version", default="0.1.0", help="(default: 0.1.0)")
    export.add_argument("--images", type=int, help="evaluate on so many images of each split instead of all")
    export.add_argument("--passes", type=int, default=20, help="dropout passes (default: 20)")


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools export` was asked for; returns the exit code."""
    check_limits(arguments, {"passes": (1, 100)})
    if arguments.images is not None and arguments.images < 1:
        raise ValueError(f"--images: expected 1 or more, got {arguments.images}")
    if not 1 <= len(arguments.network) <= 2:
        raise ValueError(f"--network: expected one or two, got {len(arguments.network)}")
    from ground_tools.export.bundle_writer import read_trained, write_bundle
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
    )
    tests = figures_of(bundle.manifest).test
    figures = ", ".join(f"{test.modes[bundle.modes[0]].miou:.3f} on {name}" for name, test in tests.items())
    print(f"{arguments.out}: {bundle.modes[0]} test mIoU {figures}; card in {arguments.out / 'card.md'}")
    return 0
