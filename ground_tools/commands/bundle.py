"""`ground-tools bundle`: from a network of any recipe to a bundle that flies."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flight.command_line import examples
from flight.option_types import existing_file, existing_path, integer, number, number_above, output_folder

if TYPE_CHECKING:
    from ground_tools.own_networks.bundle import Statement
    from ground_tools.own_networks.classes import NamedClass
    from ground_tools.own_networks.inspection import Tensors

_EXAMPLES = {
    "ground-tools bundle net.tflite --classes classes.txt --images frames --out bundles/net": "",
    "ground-tools bundle unet.keras --classes classes.txt --range -1 1 --out bundles/unet": "",
    "ground-tools bundle saved_model --size 128 128 --mean 0.485 --std 0.229 --out bundles/deeplab": "",
    "ground-tools bundle net.tflite --map 512 1024 --margin 8 --out bundles/parts": "maps larger than the network",
}
_NOTE = """The file tells most of it; the rest is asked on a terminal, given by options, or else assumed, and said so.
classes.txt: a class a line, in the order of the network's channels, as `craters hazard #4287f5`; roles are
background, safe, hazard, terminator. The picture OUT.png shows what comes out of it: look at it before flying."""
_OUTPUTS = ("logits", "probabilities", "sigmoid")


def add_parser(commands: Any) -> None:
    """Add the command `bundle` to those of `ground-tools`."""
    bundle = commands.add_parser(
        "bundle", help="make a bundle around a network of your own", epilog=examples(_EXAMPLES, _NOTE)
    )
    bundle.set_defaults(extra="train")
    bundle.add_argument(
        "model", type=existing_path, metavar="MODEL", help=".tflite, .keras or .h5 file, or the folder of a SavedModel"
    )
    bundle.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="the bundle's folder")
    bundle.add_argument(
        "--classes",
        type=existing_file,
        metavar="FILE",
        help="names, roles and colours (default: class_1, class_2, ...)",
    )
    bundle.add_argument(
        "--images", type=existing_path, metavar="DIR", help="images to look at (default: drawn scenes of a body)"
    )
    bundle.add_argument("--count", type=integer(1, 1000), default=24, metavar="N", help="look at so many of the images")
    bundle.add_argument("--name", metavar="TEXT", help="the bundle's name (default: that of its folder)")
    bundle.add_argument("--bundle-version", default="0.1.0", metavar="TEXT", help="the bundle's version")
    bundle.add_argument(
        "--output", choices=_OUTPUTS, metavar="KIND", help="what comes out (default: found by running it)"
    )
    for option, values, text in (
        ("--range", 2, "what black and white become in the input"),
        ("--size", 2, "height and width, for a network that takes any"),
    ):
        kind: Any = integer(16, 4096) if option == "--size" else number(-1e6, 1e6)
        metavar = ("HEIGHT", "WIDTH") if option == "--size" else ("LOW", "HIGH")
        bundle.add_argument(
            option, type=kind, nargs=values, metavar=metavar, help=f"{text} (default: as the file tells)"
        )
    bundle.add_argument(
        "--mean",
        type=number(-1e6, 1e6),
        nargs="+",
        metavar="M",
        help="taken from the pixels, after --scale (default: 0)",
    )
    bundle.add_argument(
        "--std", type=number_above(0.0), nargs="+", metavar="S", help="the pixels are divided by it last (default: 1)"
    )
    bundle.add_argument(
        "--scale", type=number_above(0.0), metavar="N", help="what white is before --mean: 1 or 255 (default: 1)"
    )
    bundle.add_argument("--order", choices=("rgb", "bgr"), metavar="ORDER", help="order of channels (default: rgb)")
    _add_map_options(bundle)
    bundle.add_argument(
        "--input", metavar="NAME", help="the image's input, if there are several (default: the only one)"
    )
    bundle.add_argument("--scores", metavar="NAME", help="the output, if several would do (default: the only one)")
    bundle.add_argument(
        "--uncertainty-threshold", type=number(0.0, 1.0), default=0.9, metavar="N", help="the bundle's default"
    )


def _add_map_options(bundle: argparse.ArgumentParser) -> None:
    bundle.add_argument(
        "--map",
        type=integer(16, 4096),
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="size of the maps, that the network answers for tile by tile (default: the network's)",
    )
    for option, least, text in (
        ("--overlap", 1, "pixels that neighbouring tiles share at least (default: a quarter of a tile)"),
        ("--margin", 0, "pixels along a tile's edge that its neighbour answers for alone (default: 0)"),
        ("--align", 1, "the tiles' corners are multiples of it: the step of the network's coarsest layer (default: 1)"),
    ):
        bundle.add_argument(option, type=integer(least, 4096), metavar="N", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools bundle` was asked for; returns the exit code."""
    from ground_tools.export.bundle_folder import check_place
    from ground_tools.own_networks.bundle import read_images, write_own_bundle
    from ground_tools.own_networks.conversion import read_network
    from ground_tools.own_networks.inspection import inspect_network

    check_place(arguments.out)
    size = tuple(arguments.size) if arguments.size else None
    content = read_network(arguments.model, size)
    try:
        tensors = inspect_network(content, size, arguments.input, arguments.scores)
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith("--") else f"{arguments.model}: {error}") from error
    place = _state_place(arguments, tensors)
    names, frames = read_images(arguments.images, arguments.count, place["height"], place["width"])
    statement = _state(arguments, content, tensors, frames, place)
    _report(arguments.model, tensors, statement)
    _, look = write_own_bundle(content, tensors, statement, names, frames, arguments.out)
    print(f"{len(frames)} images: the maps tell {look.information:.2f} nats of a pixel's class; the self-test passes")
    print(f"{arguments.out}: the bundle; look at {arguments.out}.png, then: flight check --bundle {arguments.out}")
    return 0


def _state_place(arguments: argparse.Namespace, tensors: Tensors) -> dict[str, Any]:
    """`input` of the manifest: the map's size, and its tiles where it is not the network's.

    Raises:
        ValueError: there are no such tiles, or options of tiles without a map.
    """
    from flight.tile_layout import parse_layout

    given = {name: getattr(arguments, name) for name in ("overlap", "margin", "align")}
    given = {name: value for name, value in given.items() if value is not None}
    channels = {"channels": tensors.channels}
    if arguments.map is None:
        if given:
            raise ValueError(f"--{next(iter(given))}: expected --map HEIGHT WIDTH with it, got none")
        return {"height": tensors.height, "width": tensors.width, **channels}
    height, width = arguments.map
    usual = max(min(tensors.height, tensors.width) // 4, 1)
    tiles = {"height": tensors.height, "width": tensors.width, "overlap": usual, **given}
    place = {"height": height, "width": width, **channels, "tiles": tiles}
    try:
        parse_layout(place)
    except ValueError as error:
        raise ValueError(f"--map: {error}") from error
    return place


def _state(
    arguments: argparse.Namespace, content: bytes, tensors: Tensors, frames: list[Any], place: dict[str, Any]
) -> Statement:
    """What the manifest has to say, from the options, the file, what the network does, and who sits at a terminal."""
    from ground_tools.foundation.names import check_name
    from ground_tools.own_networks.bundle import Statement, count_classes
    from ground_tools.own_networks.classes import default_classes, read_classes
    from ground_tools.own_networks.probing import find_output

    pixels, assumed = _state_pixels(arguments, tensors)
    output = arguments.output or find_output(content, tensors, pixels, frames)
    named = read_classes(arguments.classes) if arguments.classes else None
    count = count_classes(tensors, output, len(named) if named else None)
    classes = [_ask_role(one) for one in named or default_classes(count)]
    name = check_name(arguments.name or re.sub(r"[^A-Za-z0-9_.-]", "_", arguments.out.resolve().name), "--name")
    description = f"Segmentation in {count} classes, from {arguments.model.name}"
    threshold = arguments.uncertainty_threshold
    return Statement(name, arguments.bundle_version, description, classes, output, pixels, assumed, threshold, place)


def _state_pixels(arguments: argparse.Namespace, tensors: Tensors) -> tuple[dict[str, Any], bool]:
    """How pixels become inputs, as a manifest has it, and whether that is only assumed."""
    from flight.pixel_scaling import parse_pixels
    from ground_tools.own_networks.inspection import PIXELS

    given = {
        name: getattr(arguments, name) for name in ("scale", "mean", "std") if getattr(arguments, name) is not None
    }
    order = {"order": arguments.order} if arguments.order else {}
    if arguments.range is not None:
        low, high = arguments.range
        if given or not low < high:
            raise ValueError("--range: expected LOW below HIGH, without --scale, --mean and --std")
        stated = {"scale": high - low, "mean": [-low]}
        return {name: value for name, value in stated.items() if value not in (1.0, [0.0])} | order, False
    if given:
        try:
            parse_pixels(given, tensors.channels)
        except ValueError as error:
            raise ValueError(f"--{error}") from error
        return given | order, False
    if tensors.pixels is not None:
        return dict(PIXELS[tensors.pixels]) | order, False
    known = [name for name, entry in PIXELS.items() if len(entry.get("mean", [0])) in (1, tensors.channels)]
    answer = _ask("The file does not tell how pixels become its input.", known)
    return dict(PIXELS[answer or known[0]]) | order, answer is None


def _ask_role(one: NamedClass) -> NamedClass:
    from dataclasses import replace

    from ground_tools.own_networks.classes import ROLES

    if one.role_known:
        return one
    order = [one.role, *(role for role in ROLES if role != one.role)]
    answer = _ask(f"What is class {one.name} to a consumer?", order)
    return one if answer is None else replace(one, role=answer, role_known=True)


def _ask(question: str, choices: list[str], read: Callable[[str], str] = input) -> str | None:
    """Ask on a terminal, the first choice being the default. None where there is no terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    print(question)
    for number_of, choice in enumerate(choices, start=1):
        print(f"  {number_of}  {choice}")
    while True:
        answer = read(f"1..{len(choices)} (1): ").strip() or "1"
        if answer.isdigit() and 1 <= int(answer) <= len(choices):
            return choices[int(answer) - 1]


def _report(model: Path, tensors: Tensors, statement: Statement) -> None:
    """Say what the manifest will state."""
    from flight.tile_layout import parse_layout

    size = f"{tensors.height} x {tensors.width} px, {tensors.channels} channel{'s' * (tensors.channels > 1)}"
    print(f"{model}: input {tensors.image_input}, {size}, {tensors.dtype}")
    print(f"  output {tensors.scores_output}: {statement.output}, {tensors.output_channels} channels")
    tiles = parse_layout(statement.place)
    if tiles is not None:
        count = len(tiles.corners)
        print(f"  maps of {statement.place['height']} x {statement.place['width']} px, in {count} tiles")
    told = "assumed: the file does not tell, see --range" if statement.pixels_assumed else "as told"
    print(f"  pixels {statement.pixels or '0 to 1'} ({told})")
    for index, one in enumerate(statement.classes):
        print(f"  class {index} {one.name}: {one.role}{'' if one.role_known else ' (assumed from its name)'}")
