"""`ground-tools mission`: sets of other missions, from elsewhere or made here."""

from __future__ import annotations

import argparse
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, integer, number, output_folder

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


def add_parser(commands: Any) -> None:
    """Add the command `mission` to those of `ground-tools`."""
    mission = commands.add_parser(
        "mission",
        help="sets of other missions: the Moon's surface, the terrain of Mars, spacecraft, aerial images",
        epilog=examples(_IMPORT_EXAMPLES | _RENDER_EXAMPLES),
    )
    mission.set_defaults(extra="render")
    actions = mission.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_import(actions)
    _add_render(actions)


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


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools mission` was asked for; returns the exit code."""
    return {"import": _import, "render-moon": _render_moon}[arguments.action](arguments)


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
    counts = [sum(of_split) for of_split in zip(*description["campaign"]["bodies"].values(), strict=True)]
    print(f"{arguments.out}: {description['name']}: {counts[0]} train, {counts[1]} validation, {counts[2]} test")
    return 0


def _render_moon(arguments: argparse.Namespace) -> int:
    from ground_tools.missions.moon.landscapes import render_landscapes

    description = render_landscapes(arguments.out, arguments.count, arguments.size, arguments.seed, arguments.workers)
    print(f"{arguments.out}: {description['samples']} landscapes")
    return 0
