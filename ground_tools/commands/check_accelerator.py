"""`ground-tools check-accelerator`: which operations of .tflite files the Coral Edge TPU would run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flight.command_line import examples

_EXAMPLES = {
    "ground-tools check-accelerator models/unet_h": "every file of a bundle",
    "ground-tools check-accelerator out/unet_h_edgetpu/UNetS_passes.tflite": "",
}
_NOTE = """By the operations and limits that Coral documents for the Edge TPU's compiler, see docs/accelerators.md.
Ends with 1 where an operation stays on the CPU."""


def add_parser(commands: Any) -> None:
    """Add the command `check-accelerator` to those of `ground-tools`."""
    parser = commands.add_parser(
        "check-accelerator",
        help="say for every operation of .tflite files whether a Coral Edge TPU would run it, and if not why",
        epilog=examples(_EXAMPLES, _NOTE),
    )
    parser.set_defaults(extra="accelerators")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=".tflite files, or folders of bundles")


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools check-accelerator` was asked for; returns 1 where an operation stays on the CPU."""
    from ground_tools.export.edgetpu_rules import check_graph, read_rules

    complete = True
    for path in _files(arguments.files):
        try:
            verdicts = check_graph(path.read_bytes())
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        mapped = sum(verdict.maps for verdict in verdicts)
        complete &= mapped == len(verdicts)
        print(f"{path}: {mapped} of {len(verdicts)} operations map")
        for number, verdict in enumerate(verdicts, start=1):
            print(f"  {number:3d} {verdict.operator:18s} {verdict.output:14s} {verdict}")
    print(f"by {read_rules().source.title}, {read_rules().source.url}")
    return 0 if complete else 1


def _files(given: list[Path]) -> list[Path]:
    """The files, and those of the folders in the order of their bundles' manifests."""
    files: list[Path] = []
    for path in given:
        if not path.is_dir():
            files.append(path)
            continue
        from flight.bundle import load_bundle

        for network in load_bundle(path).manifest["networks"]:
            closed_form = network.get("closed_form", {})
            parts = [closed_form[part] for part in ("features", "passes", "covariance") if part in closed_form]
            files += [path / entry["file"] for entry in (network, *parts)]
    return files
