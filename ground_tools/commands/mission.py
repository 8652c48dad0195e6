"""`ground-tools mission`: sets of other missions, from elsewhere or made here."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_file, existing_folder, integer, number, output_folder
from ground_tools.commands.cluster_options import add_cluster_options

# Of ground_tools/missions/importers.py, which needs the extra.
_LAYOUTS = (
    "lunar-landscapes",
    "change-frames",
    "ai4mars",
    "ai4mars-256",
    "spacecraft",
    "spacecraft-curated",
    "aerial",
    "frames",
)
_IMPORT_EXAMPLES = {
    "ground-tools mission import ai4mars-256 ai4mars_256 --out datasets/mars": "published splits, 322 expert images",
    "ground-tools mission import ai4mars DIR --part min3 --size 256 256 --masked classes --out datasets/mars": (
        "rover and far ground as classes of their own"
    ),
    "ground-tools mission import lunar-landscapes DIR --part real --size 256 256 --out datasets/moon_real": "",
    "ground-tools mission import change-frames chand_ai --size 256 256 --out datasets/change": "",
    "ground-tools mission import spacecraft DIR --size 512 1024 --out datasets/spacecraft": "",
    "ground-tools mission import spacecraft-curated DIR --size 512 1024 --out datasets/spacecraft_mini_test": (
        "36 pairs to test on"
    ),
    "ground-tools mission import aerial DIR --size 256 256 --out datasets/aerial": "cut, not scaled",
    "ground-tools mission import frames DIR --part aerial --size 256 256 --out datasets/frames": (
        "images without masks, for the super-resolution alone"
    ),
}

_RENDER_EXAMPLES = {"ground-tools mission render-moon --out datasets/moon --workers 2": "2,500 landscapes of 256 px"}
_CRAFT_EXAMPLES = {
    "ground-tools mission render-spacecraft --out datasets/spacecraft": "3,000 images of our own craft",
    "ground-tools mission render-spacecraft --models DIR --out datasets/spacecraft": (
        "with the models that are in a folder, too: docs/missions.md says which are known and where they are had"
    ),
    "ground-tools mission render-spacecraft --images 30 --size 128 256 --out datasets/small": "a first look",
}
_GOES_ON = """
A command that was stopped goes on where it was when it is given again; with more images the set grows."""


def add_parser(commands: Any) -> None:
    """Add the command `mission` to those of `ground-tools`."""
    mission = commands.add_parser(
        "mission",
        help="sets of other missions: the Moon's surface, the terrain of Mars, spacecraft, aerial images",
        epilog=examples(_IMPORT_EXAMPLES | _RENDER_EXAMPLES | _CRAFT_EXAMPLES),
    )
    mission.set_defaults(extra="render")
    actions = mission.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_import(actions)
    _add_render(actions)
    _add_render_spacecraft(actions)


def _add_import(actions: Any) -> None:
    take = actions.add_parser(
        "import",
        help="read a published set in the layout in which people download it",
        epilog=examples(_IMPORT_EXAMPLES),
    )
    take.add_argument("layout", choices=_LAYOUTS, metavar="LAYOUT", help=", ".join(_LAYOUTS))
    take.add_argument("folder", type=existing_folder, metavar="DIR", help="the folder as it was downloaded")
    take.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="folder to write")
    take.add_argument(
        "--size",
        type=integer(16, 4096),
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="height and width of all pairs, pixels: cut about the middle, then scaled (default: as they are)",
    )
    take.add_argument(
        "--part",
        metavar="NAME",
        help="ground, clean, real; min1 to min3; unaltered, all; all, fine, coarse; mini-test, splits; of frames the "
        "classes that the set is to have (default: first)",
    )
    take.add_argument("--seed", type=integer(0), default=1, metavar="N", help="seed of splits that are not published")
    take.add_argument(
        "--shares",
        type=number(0.0, 1.0),
        nargs=3,
        default=(0.49, 0.21, 0.30),
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="shares of the images, where splits are not published",
    )
    take.add_argument(
        "--masked",
        choices=("ignored", "classes"),
        default="ignored",
        help="what AI4Mars's masks of rover and range become, and what aerial masks call unlabeled",
    )


def _add_render(actions: Any) -> None:
    render = actions.add_parser(
        "render-moon",
        help="render landscapes of the Moon with masks; goes on where it was stopped",
        epilog=examples(_RENDER_EXAMPLES),
    )
    render.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="folder to write")
    render.add_argument("--count", type=integer(1, 1_000_000), default=2500, metavar="N", help="landscapes")
    render.add_argument("--size", type=integer(32, 1024), default=256, metavar="N", help="side of the images, pixels")
    render.add_argument("--seed", type=integer(0), default=2024, metavar="N", help="seed of landscapes and splits")
    render.add_argument("--workers", type=integer(1, 256), default=1, metavar="N", help="processes")


def _add_render_spacecraft(actions: Any) -> None:
    render = actions.add_parser(
        "render-spacecraft",
        help="render craft over black sky, Earth and Moon, with masks of body, solar panel and antenna",
        epilog=examples(_CRAFT_EXAMPLES, _GOES_ON),
    )
    render.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="folder to write")
    render.add_argument("--images", type=integer(1, 1_000_000), default=3000, metavar="N", help="images in all")
    render.add_argument(
        "--fraction", type=number(1e-6, 1.0), default=1.0, metavar="F", help="render this part of the images only"
    )
    render.add_argument(
        "--size",
        type=integer(32, 4096),
        nargs=2,
        default=(512, 1024),
        metavar=("HEIGHT", "WIDTH"),
        help="height and width of the images, pixels",
    )
    render.add_argument("--seed", type=integer(0), default=2025, metavar="N", help="seed of all images")
    render.add_argument("--light-paths", type=integer(1, 4096), default=24, metavar="N", help="light paths of a pixel")
    render.add_argument(
        "--models",
        type=existing_folder,
        metavar="DIR",
        help="folder of models that you fetched; those whose files are all there join (default: our own craft alone)",
    )
    render.add_argument(
        "--models-file",
        type=existing_file,
        metavar="TOML",
        help="another table of what the materials of models are (default: the project's)",
    )
    add_cluster_options(render)


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools mission` was asked for; returns the exit code."""
    actions = {"import": _import, "render-moon": _render_moon, "render-spacecraft": _render_spacecraft}
    return actions[arguments.action](arguments)


def _import(arguments: argparse.Namespace) -> int:
    from ground_tools.missions.importers import import_set
    from ground_tools.missions.layouts import ImportOptions

    options = ImportOptions(
        size=None if arguments.size is None else (arguments.size[0], arguments.size[1]),
        part=arguments.part,
        seed=arguments.seed,
        shares=tuple(arguments.shares),
        masked=arguments.masked,
    )
    description = import_set(arguments.layout, arguments.folder, arguments.out, options)
    _tell_counts(arguments.out, description)
    return 0


def _tell_counts(out: Path, description: dict[str, Any]) -> None:
    counts = [sum(of_split) for of_split in zip(*description["campaign"]["bodies"].values(), strict=True)]
    print(f"{out}: {description['name']}: {counts[0]} train, {counts[1]} validation, {counts[2]} test")


def _render_moon(arguments: argparse.Namespace) -> int:
    from ground_tools.missions.moon.landscapes import render_landscapes

    description = render_landscapes(arguments.out, arguments.count, arguments.size, arguments.seed, arguments.workers)
    print(f"{arguments.out}: {description['samples']} landscapes")
    return 0


def _render_spacecraft(arguments: argparse.Namespace) -> int:
    from ground_tools.missions.spacecraft.models import KNOWN_MODELS
    from ground_tools.missions.spacecraft.rendering import gather_fleet, make_settings, render_spacecraft

    if arguments.models is None and arguments.models_file is not None:
        raise ValueError("--models-file: expected with --models, got it alone")
    fleet = gather_fleet(arguments.models, arguments.models_file or KNOWN_MODELS)
    settings = make_settings(arguments.seed, (arguments.size[0], arguments.size[1]), arguments.light_paths)
    count = math.ceil(arguments.images * arguments.fraction - 1e-9)
    description = render_spacecraft(arguments.out, fleet, count, settings, arguments.workers, arguments.scheduler)
    _tell_counts(arguments.out, description)
    return 0
