"""`ground-tools render`: campaigns of labelled images, and flybys."""

from __future__ import annotations

import argparse
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_file, existing_folder, number, output_folder
from ground_tools.commands.cluster_options import add_cluster_options

_EXAMPLES = {
    "ground-tools render --out datasets/procedural": (
        "300 images of three bodies that the project makes itself; no other files needed"
    ),
    "ground-tools render --campaign d1 d2a d2b d3 --shapes DIR --crater-maps DIR --out datasets": (
        "the sets of the reference paper, 16656 images, in datasets/d1, datasets/d2a and so on"
    ),
    "ground-tools render --campaign d1 --procedural --fraction 0.01 --out datasets/small": (
        "a hundredth of D-1 with stand-ins for all files"
    ),
    "ground-tools render --campaign d1 --splits validation test --shapes DIR --crater-maps DIR --out datasets/d1": (
        "what evaluation needs of D-1; without --splits, the same command adds the training split later"
    ),
    "ground-tools render --campaign d1 --shapes DIR --crater-maps DIR --out datasets/d1 \\\n"
    "      --scheduler tcp://10.0.0.1:8786": (
        "on a Dask cluster that is already there; its workers need rubblemap[render], but none of the files"
    ),
    "ground-tools render --flyby itokawa --shapes DIR --crater-maps DIR --out out/flyby": (
        "56 frames of a flyby, with truth masks, as a folder that `hil stream` takes"
    ),
}
_NOTE = """
A campaign that was stopped goes on where it was when the same command is given again, and one with larger counts
grows the set that is there."""


def add_parser(commands: Any) -> None:
    """Add the command `render` to those of `ground-tools`."""
    render = commands.add_parser(
        "render", help="render labelled images with Blender's Cycles", epilog=examples(_EXAMPLES, _NOTE)
    )
    render.set_defaults(extra="render")
    what = render.add_mutually_exclusive_group()
    what.add_argument(
        "--campaign",
        nargs="+",
        metavar="NAME",
        help="names or TOML files of campaigns; several go to folders of their own in --out (default: procedural)",
    )
    what.add_argument("--flyby", metavar="BODY", help="render a flyby of this body instead of a campaign")
    render.add_argument(
        "--shapes",
        type=existing_folder,
        metavar="DIR",
        help="folder of shape models, closed PLY meshes (default: none)",
    )
    render.add_argument(
        "--bodies-file", type=existing_file, metavar="TOML", help="another catalogue of bodies (default: the project's)"
    )
    render.add_argument(
        "--crater-maps", type=existing_folder, metavar="DIR", help="folder of height maps of craters (default: none)"
    )
    render.add_argument(
        "--procedural", action="store_true", help="procedural shapes and craters instead of files, for every body"
    )
    render.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="folder to write")
    render.add_argument(
        "--fraction", type=number(1e-6, 1.0), default=1.0, metavar="F", help="render this part of each count only"
    )
    render.add_argument(
        "--splits",
        nargs="+",
        metavar="SPLIT",
        help="render these only, of train, validation and test; evaluation needs no training split (default: all)",
    )
    add_cluster_options(render)


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools render` was asked for; returns the exit code."""
    from ground_tools.bodies.catalogue import DEFAULT_CATALOGUE, load_catalogue, without_files

    catalogue = load_catalogue(arguments.bodies_file or DEFAULT_CATALOGUE)
    if arguments.procedural:
        # A body without a stand-in is told when a campaign asks for it.
        catalogue = {name: without_files(recipe) if recipe.procedural else recipe for name, recipe in catalogue.items()}
    if arguments.flyby:
        from ground_tools.rendering.flyby import render_flyby

        for name, everything in (("fraction", 1.0), ("splits", None), ("scheduler", None)):
            if getattr(arguments, name) != everything:
                raise ValueError(f"--{name}: expected with --campaign, got it with --flyby, which renders every frame")
        render_flyby(arguments.flyby, catalogue, arguments.shapes, arguments.crater_maps, arguments.out)
        return 0
    from ground_tools.rendering.campaign import load_campaign
    from ground_tools.rendering.cluster import render_campaign

    campaigns = [load_campaign(name).fraction(arguments.fraction) for name in arguments.campaign or ["procedural"]]
    if arguments.splits:
        campaigns = [campaign.only(arguments.splits) for campaign in campaigns]
    names = [campaign.name for campaign in campaigns]
    if len(set(names)) < len(names):
        raise ValueError(f"--campaign: expected different campaigns, got {', '.join(names)}")
    for campaign in campaigns:
        out = arguments.out / campaign.name if len(campaigns) > 1 else arguments.out
        render_campaign(
            campaign,
            catalogue,
            arguments.shapes,
            arguments.crater_maps,
            out,
            arguments.workers,
            arguments.scheduler,
        )
    return 0
