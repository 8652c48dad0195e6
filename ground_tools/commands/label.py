"""`ground-tools label`: label real images by hand, with proposals, sheets to look at, and checks."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flight.command_line import examples
from flight.option_types import (
    existing_file,
    existing_folder,
    existing_path,
    integer,
    integers,
    names,
    number,
    number_above,
    numbers,
    output_file,
    word_or,
)
from flight.segment import add_bit_depth
from ground_tools.commands.image_options import IMAGES_VARIABLE, add_image_options, image_folder, label_folder
from ground_tools.labelling.shapes import LABELS, SILHOUETTES

_PROPOSAL_METHODS = ("band", "canny", "none")

_SIZES = (
    "Middles are those of the shape's area, in pixels of the original image. `px across at 128` is the longer side of "
    "the smallest rectangle about the shape, in pixels of the 128 x 128 sample: the original's pixels times 128 over "
    "the side of the crop. TOO SMALL: below the least size of its label in set.toml, so masks leave it out. OUTSIDE OF "
    "THE CROP: no part of the sample."
)

_BY_HAND = "An image beside which a person has drawn labels that are not taken in yet is named and left out."
_WHOLE = (
    "All of it or nothing: where a shape, label or image cannot be used, no file is written. An image's shapes are "
    "replaced; its crop, silhouette and note stay. Masks and run lengths become polygons along the pixels' edges."
)

# By action, in the order in which labelling goes.
_EXAMPLES = {
    "status": {"ground-tools label status --real-images DIR": ""},
    "propose": {
        "ground-tools label propose eros_03 --real-images DIR": "outline of the body and terminator, to be corrected"
    },
    "sheet": {
        "ground-tools label sheet eros_03 --out eros_03.png": "enlarged, with coordinates, labels and mask",
        "ground-tools label sheet eros_03 --out part.png --region 60,20,140,90 --scale 12 --gamma 2": "",
    },
    "add": {"ground-tools label add eros_03 --label crater --ellipse 92,38,11,9,20": ""},
    "list": {
        "ground-tools label list eros_03": "numbered shapes with their sizes at 128 x 128",
        "ground-tools label list eros_03 --text > eros_03.txt": "the shapes as lines of text, to be edited, and",
    },
    "apply": {"ground-tools label apply eros_03 eros_03.txt": "to be put back in place of those that are there"},
    "replace": {"ground-tools label replace eros_03 --shape 2 --ellipse 93,38,11,8,20": ""},
    "move": {"ground-tools label move eros_03 --shape 2 --by=-2,1.5": ""},
    "remove": {"ground-tools label remove eros_03 --shape 4": ""},
    "set": {
        "ground-tools label set eros_03 --silhouette seen --labelled": "",
        "ground-tools label set bennu_14 --close-ups 300,0,394 694,0,394 --labelled": "two samples of one large image",
    },
    "check": {"ground-tools label check": ""},
    "agreement": {"ground-tools label agreement --write docs": "a second person's labels against the first's"},
    "export": {"ground-tools label export --coco labels.json": "for CVAT or Label Studio; and back:"},
    "import": {
        "ground-tools label import --coco labels.json": "",
        "ground-tools label import --labelme DIR": "files that were drawn in labelme",
        "ground-tools label import --coco result.json --category asteroid=body rock=boulder --labelled": "",
    },
    "manifest": {"ground-tools label manifest DIR": "manifest.csv for images of your own"},
}
_NOTE = f"""Set {IMAGES_VARIABLE} instead of giving --real-images each time.

Labels are labelme files, one an image, in --labels DIR (default: those of the set D-4). Coordinates are pixels of the
original image; an angle is in degrees from the x axis, clockwise as seen. `px across at 128` is a shape's size where
the rules measure it: the longer side of the smallest rectangle about it, in pixels of the 128 x 128 sample."""


def add_parser(commands: Any) -> None:
    """Add the command `label` to those of `ground-tools`."""
    together = {command: text for actions in _EXAMPLES.values() for command, text in actions.items()}
    label = commands.add_parser("label", help="label real images by hand", epilog=examples(together, _NOTE))
    label.set_defaults(extra="render")
    actions = label.add_subparsers(dest="action", required=True, metavar="ACTION")
    common = argparse.ArgumentParser(add_help=False)
    add_image_options(common)

    def action(name: str, text: str, image: bool = True, more: str = "") -> argparse.ArgumentParser:
        description = f"{text[0].upper()}{text[1:]}. {more}".strip()
        epilog = examples(_EXAMPLES[name])
        parser: argparse.ArgumentParser = actions.add_parser(
            name, help=text, description=description, epilog=epilog, parents=[common]
        )
        if image:
            parser.add_argument("image", metavar="IMAGE", help="name in manifest.csv, or its last part")
        return parser

    propose = action("propose", "propose the body's outline and the terminator", image=False, more=_BY_HAND)
    propose.add_argument(
        "images", nargs="*", metavar="IMAGE", help="images to propose for (default: every image that the set wants)"
    )
    propose.add_argument(
        "--terminator", choices=_PROPOSAL_METHODS, default="band", help="how the terminator is looked for"
    )
    propose.add_argument("--replace", action="store_true", help="replace what a person has drawn, too")

    _add_editing_actions(action)
    _add_sheet(action)
    action("check", "find labels that are wrong or odd; exit 1 when something must be put right", image=False)
    action("status", "show what is labelled and what is not", image=False)
    _add_agreement(action)
    export = action("export", "write the labels as a COCO file", image=False)
    export.add_argument("--coco", type=output_file, required=True, metavar="FILE", help="the COCO file")
    _add_import(action)
    manifest = actions.add_parser(
        "manifest", help="write manifest.csv for a folder of images", epilog=examples(_EXAMPLES["manifest"])
    )
    manifest.add_argument("folder", type=existing_folder, metavar="DIR", help="folder of images, one folder a body")
    manifest.add_argument(
        "--body", metavar="NAME", help="body of all images (default: the name of the folder that each lies in)"
    )
    add_bit_depth(manifest)


def _add_import(action: Callable[..., argparse.ArgumentParser]) -> None:
    text = "take in labels drawn in labelme, or in CVAT or Label Studio through a COCO file"
    take = action("import", text, image=False, more=_WHOLE)
    source = take.add_mutually_exclusive_group(required=True)
    source.add_argument("--coco", type=existing_file, metavar="FILE", help="a COCO file, or a ZIP archive with one")
    source.add_argument(
        "--labelme",
        type=existing_path,
        nargs="+",
        metavar="PATH",
        help="labelme files, drawn with or without our commands, or folders with them",
    )
    take.add_argument(
        "--category",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=LABEL",
        help=f"take what a file calls NAME for one of {', '.join(LABELS)} (default: other names are refused)",
    )
    take.add_argument(
        "--name-map",
        type=existing_file,
        metavar="CSV",
        help="lines NAME,FILE: how a file names an image, and its name in manifest.csv (default: by the names alone; "
        "folders before them and Label Studio's prefixes of uploads are no matter)",
    )
    take.add_argument(
        "--line-width",
        type=number_above(0),
        metavar="PIXELS",
        help="width of a terminator that is drawn as a line in labelme, pixels of the image (default: 6 pixels of "
        "a sample of 128 x 128)",
    )
    take.add_argument(
        "--skip-unusable",
        action="store_true",
        help="leave out what cannot be used, and images of which a shape cannot be read, and name it (default: take in "
        "nothing then)",
    )
    take.add_argument(
        "--clear-empty",
        action="store_true",
        help="remove the labels of images in which the file has none (default: they stay)",
    )
    take.add_argument("--labelled", action="store_true", help="call the images done (default: as before)")


def _add_sheet(action: Callable[..., argparse.ArgumentParser]) -> None:
    sheet = action("sheet", "draw the image enlarged, with coordinates, labels and mask")
    sheet.add_argument("--out", type=output_file, required=True, metavar="PNG", help="file to write")
    sheet.add_argument(
        "--region",
        type=integers("X0,Y0,X1,Y1"),
        metavar="X0,Y0,X1,Y1",
        help="part to draw (default: all of it)",
    )
    sheet.add_argument(
        "--scale",
        type=word_or("auto", integer(1, 16)),
        default="auto",
        metavar="N",
        help="size of a pixel; auto: the largest that fits",
    )
    sheet.add_argument(
        "--gamma",
        type=number(0.1, 10.0),
        default=1.0,
        metavar="G",
        help="exponent; above 1 makes dim parts brighter",
    )
    sheet.add_argument("--smooth", action="store_true", help="enlarge by cubic interpolation, not by squares")
    sheet.add_argument("--no-labels", action="store_true", help="the plain image alone")
    sheet.add_argument(
        "--panels", type=_panels, metavar="NAME,...", help="panels to draw, in order (default: plain,labels,mask)"
    )


def _panels(text: str) -> tuple[str, ...]:
    from ground_tools.labelling.sheets import PANELS

    return names(PANELS)(text)


def _add_agreement(action: Callable[..., argparse.ArgumentParser]) -> None:
    agree = action("agreement", "measure a second person's labels against the first's", image=False)
    agree.add_argument(
        "--second",
        type=existing_folder,
        metavar="DIR",
        help="folder of the second labels (default: those of D-4's edition)",
    )
    agree.add_argument("--json", action="store_true", help="print JSON, for programs")
    agree.add_argument(
        "--write",
        type=existing_folder,
        metavar="DOCS",
        help="put the agreement into DOCS/datasets.md, too (default: print it only)",
    )


def _add_editing_actions(action: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the actions that change the labels of one image. action: adds a parser by name and help."""
    shape: dict[str, Any] = {"type": integer(0), "required": True, "metavar": "N"}
    add = action("add", "add a shape")
    add.add_argument("--label", choices=LABELS, required=True, help="what the shape shows")
    _add_shape_options(add)
    change = action("replace", "put another shape in the place of one")
    change.add_argument("--shape", help="number of the shape in `label list`", **shape)
    change.add_argument("--label", choices=LABELS, help="what the shape shows (default: as before)")
    _add_shape_options(change)
    move = action("move", "move a shape")
    move.add_argument("--shape", help="number of the shape in `label list`", **shape)
    move.add_argument("--by", type=numbers("DX,DY"), required=True, metavar="DX,DY", help="pixels; write --by=-2,1.5")
    remove = action("remove", "remove shapes")
    remove.add_argument("--shape", nargs="+", help="numbers of the shapes in `label list`", **shape)
    listing = action("list", "list the shapes, numbered, with their middles and their sizes at 128 x 128", more=_SIZES)
    listing.add_argument("--text", action="store_true", help="print lines that `label apply` takes")
    apply = action("apply", "put the shapes of a text file in place of those that are there")
    apply.add_argument("file", type=Path, metavar="FILE", help="lines as `label list --text` writes them; - reads them")

    setting = action("set", "say that an image is labelled, set its crop, close-ups, silhouette or note")
    setting.add_argument(
        "--silhouette",
        choices=SILHOUETTES,
        help="whether the outline of the unlit side is seen or inferred (default: as before)",
    )
    setting.add_argument(
        "--crop",
        type=_crop,
        metavar="X,Y,SIDE",
        help="a square, pixels of the image; auto: about the body (default: as before)",
    )
    setting.add_argument(
        "--close-ups",
        nargs="*",
        type=_square,
        metavar="X,Y,SIDE",
        help="squares that become samples of their own in place of the crop, where the ground goes on beyond them; no "
        "two may share a pixel; none given: the crop again (default: as before)",
    )
    setting.add_argument("--note", metavar="TEXT", help="note for people (default: as before)")
    setting.add_argument(
        "--labelled",
        action=argparse.BooleanOptionalAction,
        help="whether the image is done; accepts its proposals (default: as before)",
    )


def _add_shape_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--ellipse", metavar="X,Y,A,B[,ANGLE]", help="centre, half axes, angle")
    what.add_argument("--circle", metavar="X,Y,R", help="centre, radius")
    what.add_argument("--rectangle", nargs=2, metavar="X,Y", help="two opposite corners")
    what.add_argument("--polygon", nargs="+", metavar="X,Y", help="corners, in order")


def _crop(text: str) -> tuple[int, int, int] | str:
    """X,Y,SIDE; or auto as it is, as None leaves the crop as before."""
    return text if text == "auto" else _square(text)


def _square(text: str) -> tuple[int, int, int]:
    x, y, side = integers("X,Y,SIDE")(text)
    if side < 8:
        raise argparse.ArgumentTypeError(f"expected a side of 8 or more, got {side}")
    return x, y, side


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools label` was asked for; returns the exit code."""
    from ground_tools.commands.label_actions import run_action

    if arguments.action != "manifest":
        arguments.real_images, arguments.labels = image_folder(arguments), label_folder(arguments)
    return run_action(arguments)
