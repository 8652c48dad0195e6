"""`ground-tools estimate-accelerators`: what a bundle asks of a Coral Edge TPU, an Arm Ethos-U and a Raspberry Pi."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, existing_path, integer

_EXAMPLES = {
    "ground-tools estimate-accelerators --bundle models/unet_h": "",
    "ground-tools estimate-accelerators --bundle models/unet_h --dataset datasets/d1 --write docs": (
        "docs/accelerators.md's tables"
    ),
    "ground-tools estimate-accelerators --bundle models/unet_h --vela none": "without Arm's compiler",
}
_NOTE = """Operations, bytes and what maps are computed from the files. Times are estimates: by public figures of other
networks, by the peaks that are stated, and by the model in Arm's compiler, Vela (`pip install
'rubblemap[accelerators]'`). Nothing runs on any of these."""


def add_parser(commands: Any) -> None:
    """Add the command `estimate-accelerators` to those of `ground-tools`."""
    parser = commands.add_parser(
        "estimate-accelerators",
        help="estimate what a bundle costs on a Coral Edge TPU, an Arm Ethos-U and a Raspberry Pi",
        epilog=examples(_EXAMPLES, _NOTE),
    )
    parser.set_defaults(extra="train")
    parser.add_argument("--bundle", type=existing_folder, required=True, metavar="DIR", help="the bundle")
    parser.add_argument(
        "--dataset",
        type=existing_path,
        metavar="SET",
        help="set on whose validation images the files for the Edge TPU are compared with the bundle's (default: the "
        "self-test's image)",
    )
    parser.add_argument(
        "--edgetpu",
        type=existing_folder,
        metavar="DIR",
        help="what `ground-tools export --target edgetpu` has made of it, and compared with it (default: that is "
        "done anew)",
    )
    parser.add_argument(
        "--images", type=integer(1), default=4, metavar="N", help="how many images of the set, evenly spread"
    )
    parser.add_argument("--vela", default="vela", metavar="PROGRAM", help="Arm's compiler; none for no estimates by it")
    parser.add_argument(
        "--write",
        type=existing_folder,
        metavar="DOCS",
        help="write DOCS/accelerators.md's tables and DOCS/accelerators.json, too (default: print the tables only)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools estimate-accelerators` was asked for; returns the exit code."""
    import subprocess
    import tempfile

    from flight.bundle import load_bundle
    from ground_tools.export.accelerator_figures import AcceleratorFigures, frame_figures, measure_files
    from ground_tools.export.accelerator_page import accelerator_section, check_docs, write_figures
    from ground_tools.export.edgetpu_bundle import read_parity, write_edgetpu_bundle
    from ground_tools.export.vela import find_vela

    if arguments.write is not None:
        check_docs(arguments.write)
    vela = None if arguments.vela == "none" else find_vela(arguments.vela)
    version = ""
    if vela is not None:
        version = subprocess.run([vela, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    bundle = load_bundle(arguments.bundle)
    if arguments.edgetpu is not None:
        twin = load_bundle(arguments.edgetpu)
        parity = read_parity(bundle, twin)
    else:
        with tempfile.TemporaryDirectory(prefix="rubblemap_edgetpu_") as scratch:
            frames = None
            if arguments.dataset is not None:
                from ground_tools.export.bundle_sets import validation_frames

                frames = validation_frames([arguments.dataset], arguments.images)
            twin, parity = write_edgetpu_bundle(arguments.bundle, Path(scratch) / bundle.name, frames)
    files = measure_files(bundle, twin, vela)
    figures = AcceleratorFigures(
        bundle=bundle.name,
        version=bundle.version,
        passes=bundle.passes,
        orientations=bundle.orientations,
        vela=version,
        parity=parity,
        files=files,
        frames=frame_figures(files, bundle.passes, bundle.orientations),
    )
    print(accelerator_section(figures))
    if arguments.write is not None:
        write_figures(figures, arguments.write)
    return 0
