"""`ground-tools label`: label real images by hand, with proposals, sheets to look at, and checks."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ground_tools.labelling.collection import D4_LABELS, D4_SECOND
from ground_tools.labelling.shapes import LABELS, SILHOUETTES

IMAGES_VARIABLE = "RUBBLEMAP_REAL_IMAGES"
_PROPOSAL_METHODS = ("band", "canny", "none")

_SIZES = (
    "Middles are those of the shape's area, in pixels of the original image. `px across at 128` is the longer side of "
    "the smallest rectangle about the shape, in pixels of the 128 x 128 sample: the original's pixels times 128 over "
    "the side of the crop. TOO SMALL: below the least size of its label in set.toml, so masks leave it out. OUTSIDE OF "
    "THE CROP: no part of the sample."
)

_EXAMPLES = f"""examples (set {IMAGES_VARIABLE} instead of giving --real-images each time):
  ground-tools label status --real-images DIR
  ground-tools label propose eros_03 --real-images DIR         outline of the body and terminator, to be corrected
  ground-tools label sheet eros_03 --out eros_03.png           enlarged, with coordinates, labels and mask
  ground-tools label sheet eros_03 --out part.png --region 60,20,140,90 --scale 12 --gamma 2
  ground-tools label add eros_03 --label crater --ellipse 92,38,11,9,20
  ground-tools label list eros_03                              numbered shapes with their sizes at 128 x 128
  ground-tools label replace eros_03 --shape 2 --ellipse 93,38,11,8,20
  ground-tools label remove eros_03 --shape 4
  ground-tools label list eros_03 --text > eros_03.txt         the shapes as lines of text, to be edited, and
  ground-tools label apply eros_03 eros_03.txt                 to be put back in place of those that are there
  ground-tools label set eros_03 --silhouette seen --labelled
  ground-tools label check
  ground-tools label agreement --write docs                    a second person's labels against the first's
  ground-tools label export --coco labels.json                 for CVAT or Label Studio; and back:
  ground-tools label import --coco labels.json
  ground-tools label manifest DIR                              manifest.csv for images of your own

Labels are labelme files, one an image, in --labels DIR (default: those of the set D-4). Coordinates are pixels of the
original image; an angle is in degrees from the x axis, clockwise as seen. `px across at 128` is a shape's size where
the rules measure it: the longer side of the smallest rectangle about it, in pixels of the 128 x 128 sample.
"""


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where real images and their labels are."""
    parser.add_argument(
        "--real-images",
        type=Path,
        metavar="DIR",
        default=os.environ.get(IMAGES_VARIABLE),
        help=f"folder of real images with manifest.csv (default: the environment variable {IMAGES_VARIABLE})",
    )
    parser.add_argument("--labels", type=Path, default=D4_LABELS, metavar="DIR", help="labels (default: those of D-4)")


def add_parser(commands: Any) -> None:
    """Add the command `label` to those of `ground-tools`."""
    label = commands.add_parser(
        "label",
        help="label real images by hand",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = label.add_subparsers(dest="action", required=True, metavar="ACTION")
    common = argparse.ArgumentParser(add_help=False)
    add_image_arguments(common)

    def action(name: str, text: str, image: bool = True, more: str = "") -> argparse.ArgumentParser:
        description = f"{text[0].upper()}{text[1:]}. {more}"
        parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=description, parents=[common])
        if image:
            parser.add_argument("image", metavar="IMAGE", help="name in manifest.csv, or its last part")
        return parser

    propose = action("propose", "propose the body's outline and the terminator", image=False)
    propose.add_argument("images", nargs="*", metavar="IMAGE", help="(default: every image that the set wants)")
    propose.add_argument("--terminator", choices=_PROPOSAL_METHODS, default="band", help="(default: band)")
    propose.add_argument("--replace", action="store_true", help="in place of what a person has drawn, too")

    _editing_actions(action)
    sheet = action("sheet", "draw the image enlarged, with coordinates, labels and mask")
    sheet.add_argument("--out", type=Path, required=True, metavar="PNG")
    sheet.add_argument("--region", metavar="X0,Y0,X1,Y1", help="this part only")
    sheet.add_argument("--scale", default="auto", help="size of a pixel, 1..16 (default: auto, the largest that fits)")
    sheet.add_argument("--gamma", type=float, default=1.0, help="above 1 makes dim parts brighter (default: 1)")
    sheet.add_argument("--smooth", action="store_true", help="enlarge by cubic interpolation, not by squares")
    sheet.add_argument("--no-labels", action="store_true", help="the plain image alone")
    sheet.add_argument("--panels", default="plain,labels,mask", help="which, in order (default: plain,labels,mask)")

    action("check", "find labels that are wrong or odd; exit 1 when something must be put right", image=False)
    action("status", "what is labelled and what is not", image=False)
    agree = action("agreement", "a second person's labels against the first's", image=False)
    agree.add_argument("--second", type=Path, default=D4_SECOND, metavar="DIR", help="(default: those of D-4)")
    agree.add_argument("--json", action="store_true", help="for programs")
    agree.add_argument("--write", type=Path, metavar="DOCS", help="put it into DOCS/datasets.md, too")
    for name, text in (("export", "write the labels as a COCO file"), ("import", "read labels from a COCO file")):
        action(name, text, image=False).add_argument("--coco", type=Path, required=True, metavar="FILE")
    manifest = actions.add_parser("manifest", help="write manifest.csv for a folder of images")
    manifest.add_argument("folder", type=Path, metavar="DIR")
    manifest.add_argument("--body", help="of all images (default: the name of the folder that each lies in)")


def _editing_actions(action: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the actions that change the labels of one image. action: adds a parser by name and help."""
    add = action("add", "add a shape")
    add.add_argument("--label", choices=LABELS, required=True)
    _shape_arguments(add)
    change = action("replace", "put another shape in the place of one")
    change.add_argument("--shape", type=int, required=True, metavar="N", help="its number in `label list`")
    change.add_argument("--label", choices=LABELS, help="(default: as before)")
    _shape_arguments(change)
    move = action("move", "move a shape")
    move.add_argument("--shape", type=int, required=True, metavar="N")
    move.add_argument("--by", type=_pair, required=True, metavar="DX,DY", help="pixels; write --by=-2,1.5")
    remove = action("remove", "remove shapes")
    remove.add_argument("--shape", type=int, required=True, nargs="+", metavar="N")
    listing = action("list", "the shapes, numbered, with their middles and their sizes at 128 x 128", more=_SIZES)
    listing.add_argument("--text", action="store_true", help="as lines that `label apply` takes")
    apply = action("apply", "put the shapes of a text file in place of those that are there")
    apply.add_argument("file", type=Path, metavar="FILE", help="lines as `label list --text` writes them; - reads them")

    setting = action("set", "say that an image is labelled, set its crop, silhouette or note")
    setting.add_argument("--silhouette", choices=SILHOUETTES)
    setting.add_argument("--crop", metavar="X,Y,SIDE", help="a square, pixels of the image; `auto`: about the body")
    setting.add_argument("--note")
    setting.add_argument("--labelled", action=argparse.BooleanOptionalAction, help="done; accepts its proposals")


def _shape_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--ellipse", metavar="X,Y,A,B[,ANGLE]", help="middle, half axes, angle")
    what.add_argument("--circle", metavar="X,Y,R")
    what.add_argument("--rectangle", nargs=2, metavar="X,Y", help="two opposite corners")
    what.add_argument("--polygon", nargs="+", metavar="X,Y")


def _pair(text: str) -> tuple[float, float]:
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected two numbers with a comma between, got {text!r}") from error
    return x, y


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools label` was asked for; returns the exit code."""
    from ground_tools.commands.label_actions import run_action

    if arguments.action != "manifest":
        if arguments.real_images is None:
            raise ValueError(
                f"give --real-images DIR, the folder of images with manifest.csv, or set {IMAGES_VARIABLE}"
            )
        arguments.real_images = Path(arguments.real_images)
    return run_action(arguments)
