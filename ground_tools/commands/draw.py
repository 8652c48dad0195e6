"""`ground-tools draw`: views of one body for a program that asks for them over pipes, as `hil fly` does."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from flight.command_line import examples
from flight.option_types import existing_file, existing_folder, integer

if TYPE_CHECKING:
    import numpy as np

    from ground_tools.bodies.enhanced_body import EnhancedBody
    from ground_tools.rendering.drawing import Renders
    from ground_tools.rendering.geometry import View

_EXAMPLES = {
    "ground-tools draw --body procedural_top": "a body that needs no files",
    "ground-tools draw --body bennu --shapes DIR --size 512": "",
    "ground-tools draw --body bennu --renderer cycles --rays 16": "with Blender, slower",
}
_NOTE = """
What it is asked on standard input, and what it answers on standard output, says ground_tools/rendering/drawing.py. It
ends when its standard input closes."""


def add_parser(commands: Any) -> None:
    """Add the command `draw` to those of `ground-tools`."""
    draw = commands.add_parser(
        "draw", help="draw views of a body that another program asks for", epilog=examples(_EXAMPLES, _NOTE)
    )
    draw.set_defaults(extra="render")
    draw.add_argument("--body", required=True, metavar="NAME", help="a body of the catalogue")
    draw.add_argument(
        "--bodies-file", type=existing_file, metavar="TOML", help="another catalogue of bodies (default: the project's)"
    )
    draw.add_argument(
        "--shapes",
        type=existing_folder,
        metavar="DIR",
        help="folder of shape models, closed PLY meshes (default: none; the body's procedural stand-in)",
    )
    draw.add_argument(
        "--crater-maps",
        type=existing_folder,
        metavar="DIR",
        help="folder of height maps of craters (default: none; analytic craters)",
    )
    draw.add_argument("--size", type=integer(16, 4096), default=256, metavar="PX", help="side of the images, pixels")
    draw.add_argument(
        "--renderer",
        choices=("rays", "cycles"),
        default="rays",
        help="renderer of the images: Embree's rays, or Cycles",
    )
    draw.add_argument(
        "--rays",
        type=integer(1, 1024),
        default=4,
        metavar="N",
        help="rays, or Cycles's light paths, of a pixel",
    )
    draw.add_argument(
        "--faces", type=integer(1000, 2_000_000), default=50_000, metavar="N", help="least facets of the ground"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools draw` was asked for; returns the exit code."""
    from msgspec.structs import replace

    from ground_tools.bodies.catalogue import DEFAULT_CATALOGUE, load_catalogue, without_files
    from ground_tools.bodies.enhanced_body import enhance, read_parts
    from ground_tools.bodies.reliefs import ANALYTIC
    from ground_tools.rendering.drawing import BodyDrawing, answer_requests

    catalogue = load_catalogue(arguments.bodies_file or DEFAULT_CATALOGUE)
    if arguments.body not in catalogue:
        raise ValueError(f"--body: expected one of {', '.join(catalogue)}, got {arguments.body!r}")
    recipe = catalogue[arguments.body]
    if arguments.shapes is None and recipe.shape is not None:
        recipe = without_files(recipe)
    elif arguments.crater_maps is None:
        recipe = replace(recipe, crater_maps=(ANALYTIC,))
    body = enhance(read_parts(recipe, arguments.shapes, arguments.crater_maps), arguments.faces)
    renderer = open_cycles(body, arguments.size, arguments.rays) if arguments.renderer == "cycles" else None
    drawing = BodyDrawing(body, arguments.size, arguments.rays, renderer)
    answer_requests(drawing, sys.stdin.buffer, sys.stdout.buffer)
    return 0


def open_cycles(body: EnhancedBody, size: int, light_paths: int) -> Renders:
    """Blender's renderer, kept from writing between the answers."""
    import os

    from ground_tools.rendering.blender_thread import quiet
    from ground_tools.rendering.scene import GreyRenderer

    class QuietRenderer:
        def __init__(self) -> None:
            with quiet():
                self._inner = GreyRenderer(body, size, light_paths, os.cpu_count() or 1)

        def render(self, view: View, seed: int) -> np.ndarray:
            with quiet():
                return self._inner.render(view, seed)

    return QuietRenderer()
