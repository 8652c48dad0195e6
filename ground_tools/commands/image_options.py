"""The options of several commands that say where real images and their labels are."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from flight.option_types import existing_folder, output_folder

IMAGES_VARIABLE = "RUBBLEMAP_REAL_IMAGES"


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """Add --real-images and --labels."""
    parser.add_argument(
        "--real-images",
        type=existing_folder,
        metavar="DIR",
        default=os.environ.get(IMAGES_VARIABLE) or None,
        help=f"folder of real images with manifest.csv (default: the environment variable {IMAGES_VARIABLE})",
    )
    parser.add_argument(
        "--labels", type=output_folder, metavar="DIR", help="folder of their labels (default: those of D-4)"
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
    """The folder of --labels."""
    from ground_tools.labelling.collection import D4_LABELS

    return D4_LABELS if arguments.labels is None else Path(arguments.labels)
