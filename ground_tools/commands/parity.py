"""`ground-tools parity`: a bundle's engines beside float32 whole passes, on sets."""

from __future__ import annotations

import argparse
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, existing_path, integer

_EXAMPLES = {
    "ground-tools parity --bundle models/unet_h --dataset datasets/d1 --dataset datasets/d4 --images 4": (
        "what each engine differs by from float32 whole passes, and how long it takes"
    ),
    "ground-tools parity --bundle models/unet_h --dataset datasets/d1 --images 2 --variants": (
        "the same of what could be done otherwise: fewer passes, another covariance, coarser scores"
    ),
}


def add_parser(commands: Any) -> None:
    """Add the command `parity` to those of `ground-tools`."""
    parser = commands.add_parser(
        "parity",
        help="compare a bundle's engines with float32 whole passes: mIoU, NLL, ECE, AUROC, entropy, time",
        epilog=examples(_EXAMPLES),
    )
    parser.set_defaults(extra="train")
    more: Any = {"required": True, "action": "append"}
    parser.add_argument("--bundle", type=existing_folder, required=True, metavar="DIR", help="the bundle")
    parser.add_argument("--dataset", type=existing_path, metavar="SET", help="a set; repeat for more", **more)
    parser.add_argument("--split", choices=("validation", "test"), default="test", help="images to compare on")
    parser.add_argument(
        "--images", type=integer(1), default=4, metavar="N", help="how many images of each set, evenly spread"
    )
    parser.add_argument(
        "--passes", type=integer(1, 100), metavar="N", help="passes of the engines (default: the bundle's)"
    )
    parser.add_argument(
        "--reference-passes", type=integer(1, 100), default=100, metavar="N", help="passes of float32 (default: 100)"
    )
    parser.add_argument("--threads", type=integer(1, 64), default=2, metavar="N", help="cores to use")
    parser.add_argument(
        "--variants",
        action="store_true",
        help="what could be done otherwise in the closed form, in place of the engines",
    )
    parser.add_argument(
        "--write",
        type=existing_folder,
        metavar="DOCS",
        help="folder whose posterior.md and performance.json get the figures (default: the table alone)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools parity` was asked for; returns 1 where the engine that flies misses a bound."""
    from flight.bundle import load_bundle
    from ground_tools.datasets.store import load, read_description
    from ground_tools.evaluation.passes import camera_frames
    from ground_tools.export.bundle_sets import take_evenly
    from ground_tools.export.figures import SetParity
    from ground_tools.export.parity import (
        find_all_misses,
        float_bundle,
        flying_engines,
        measure_parity,
        parity_table,
        write_parity,
    )
    from ground_tools.pages.sections import check_section
    from ground_tools.pages.text import text_table
    from ground_tools.training.records import set_name

    section = "cheaper" if arguments.variants else "parity"
    if arguments.write is not None:
        check_section(arguments.write / "posterior.md", section)
    bundle = load_bundle(arguments.bundle)
    passes = arguments.passes or bundle.passes
    engines = _variants(arguments, bundle, passes) if arguments.variants else flying_engines(bundle, passes)
    reference = float_bundle(bundle)
    results: dict[str, SetParity] = {}
    for dataset in arguments.dataset:
        description = read_description(dataset)
        name = set_name(description)
        samples = take_evenly(load(dataset, arguments.split), arguments.images)
        results[name] = measure_parity(
            reference,
            engines,
            camera_frames(samples.images, description["noise"]),
            samples.masks,
            arguments.reference_passes,
            arguments.threads,
            f"{name}, {arguments.split}",
        )
    print(text_table(parity_table(results)))
    misses = [] if arguments.variants else find_all_misses(results)
    for miss in misses:
        print(miss)
    if arguments.write is not None:
        write_parity(arguments.write, section, bundle, results, misses)
    return 1 if misses else 0


def _variants(arguments: argparse.Namespace, bundle: Any, passes: int) -> dict[str, Any]:
    from ground_tools.export.bundle_sets import images_for_ranges, read_set
    from ground_tools.export.variants import closed_form_variants

    without = [network.name for network in bundle.networks if network.closed_form is None]
    if without:
        raise ValueError(f"--bundle {arguments.bundle}: expected closed-form heads, got none of {', '.join(without)}")
    images = images_for_ranges([read_set(arguments.dataset[0], 1)])
    return closed_form_variants(bundle, images, passes)
