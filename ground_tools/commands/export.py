"""`ground-tools export`: from trained networks to a bundle, or from a bundle to its twin for an accelerator."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, existing_path, integer, output_folder

_EXAMPLES = {
    "ground-tools export --network out/unet_s --network out/unet_as --dataset DIR --out models/unet_h": "",
    "ground-tools export --network out/unet_s --dataset DIR --out models/unet_s": "",
    "ground-tools export --bundle models/unet_h --target edgetpu --out out/unet_h_edgetpu": (
        "files that the Coral Edge TPU's compiler takes"
    ),
    "ground-tools export --bundle models/unet_h --target edgetpu --compiler edgetpu_compiler --out DIR": (
        "the same, compiled: to be served with worker.accelerator"
    ),
}
_COMPARED = 16


def add_parser(commands: Any) -> None:
    """Add the command `export` to those of `ground-tools`."""
    export = commands.add_parser(
        "export", help="quantize trained networks to int8 and write a bundle", epilog=examples(_EXAMPLES)
    )
    export.set_defaults(extra="train")
    source = export.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--network",
        type=existing_folder,
        action="append",
        metavar="DIR",
        help="folder of a finished training; give it twice to fuse UNetS and UNetAS",
    )
    source.add_argument(
        "--bundle", type=existing_folder, metavar="DIR", help="a bundle to be written anew, with --target"
    )
    export.add_argument(
        "--dataset",
        type=existing_path,
        action="append",
        metavar="SET",
        help="set for ranges, choices, figures; give it again for another set, which then counts as much; needed with "
        "--network (default: with --bundle, its self-test's image is what both are compared on)",
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
    export.add_argument(
        "--target",
        choices=["cpu", "edgetpu"],
        default="cpu",
        help="where the bundle is to run; edgetpu writes files with the operations of the Coral Edge TPU alone",
    )
    export.add_argument(
        "--compiler",
        metavar="PROGRAM",
        help="program that compiles the files for --target edgetpu (default: none, they are left to be compiled)",
    )
    export.add_argument("--passes", type=integer(1, 100), default=20, metavar="N", help="dropout passes of an image")
    _add_parity(export)


def _add_parity(export: argparse.ArgumentParser) -> None:
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
    if arguments.bundle is not None and arguments.target == "cpu":
        raise ValueError("--bundle: expected --target edgetpu beside it, got none")
    if arguments.compiler is not None and arguments.target == "cpu":
        raise ValueError("--compiler: expected --target edgetpu beside it, got none")
    if arguments.network is not None:
        _export_networks(arguments)
    if arguments.target == "edgetpu":
        _rewrite(arguments.bundle or arguments.out, arguments)
    return 0


def _export_networks(arguments: argparse.Namespace) -> None:
    if not 1 <= len(arguments.network) <= 2:
        raise ValueError(f"--network: expected one or two, got {len(arguments.network)}")
    if not arguments.dataset:
        raise ValueError("--dataset: expected a set for the networks' ranges and figures, got none")
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


def _rewrite(source: Path, arguments: argparse.Namespace) -> None:
    """Write a bundle's twin for the Edge TPU, and tell what it differs by and what stays on the CPU."""
    from ground_tools.export.edgetpu_bundle import write_edgetpu_bundle

    frames = None
    if arguments.dataset:
        from ground_tools.export.bundle_sets import validation_frames

        frames = validation_frames(arguments.dataset, max((arguments.images or _COMPARED) // len(arguments.dataset), 1))
    _, parity = write_edgetpu_bundle(source, arguments.out, frames, arguments.compiler)
    for name, each in parity.items():
        print(
            f"{arguments.out}: {name}: {100 * each.class_agreement:.2f} % of the pixels as {source} has them, "
            f"predictive entropy {each.entropy_difference:.4f} nat apart (other masks: {each.other_masks:.4f}), on "
            f"{each.images} images with {each.passes} passes"
        )
