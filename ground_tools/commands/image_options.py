"""The options of several commands that say where real images and their labels are."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from flight.option_types import existing_folder, output_folder

IMAGES_VARIABLE = "RUBBLEMAP_REAL_IMAGES"


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """Add --real-images, and --labels or --edition."""
    parser.add_argument(
        "--real-images",
        type=existing_folder,
        metavar="DIR",
        default=os.environ.get(IMAGES_VARIABLE) or None,
        help=f"folder of real images with manifest.csv (default: the environment variable {IMAGES_VARIABLE})",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--labels", type=output_folder, metavar="DIR", help="folder of their labels (default: those of D-4)"
    )
    which.add_argument(
        "--edition", type=int, choices=(1, 2), help="edition of D-4's labels (default: 2, which has more images)"
    )


def image_folder(arguments: argparse.Namespace) -> Path:
    """The folder of --real-images. Raises ValueError when neither the option nor the variable is given."""
    if arguments.real_images is None:
        raise ValueError(
            f"--real-images: expected DIR, the folder of images with manifest.csv, or {IMAGES_VARIABLE} to be set, got "
            "neither; real images are no part of the project (docs/datasets.md, D-4)"
        )
    return Path(arguments.real_images)


def label_folder(arguments: argparse.Namespace) -> Path:
    """The folder of --labels, or of D-4's --edition."""
    return _edition(arguments)[0] if arguments.labels is None else Path(arguments.labels)


def second_label_folder(arguments: argparse.Namespace) -> Path:
    """The folder of the second pass over D-4's --edition."""
    return _edition(arguments)[1]


def _edition(arguments: argparse.Namespace) -> tuple[Path, Path]:
    from ground_tools.labelling.collection import D4_EDITIONS

    return D4_EDITIONS[arguments.edition or max(D4_EDITIONS)]
