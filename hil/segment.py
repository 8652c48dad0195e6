"""`hil segment`: images of any kind segmented into files, without sockets."""

from __future__ import annotations

import argparse

from flight.client.images import ImageSequence
from flight.segment import segment_images, stems_of, warn
from hil.images.folder import list_folder
from hil.images.reader import list_pages, read_samples


def segment(arguments: argparse.Namespace) -> int:
    """Segment the images and folders of a command line; returns the exit code.

    Args:
        arguments: images, subfolders, and those of flight.segment.add_segment_options.

    Raises:
        ValueError, OSError: see flight.segment.segment_images.
        MissingReader: the package that reads some kind is not installed.
    """
    items, stems = [], []
    for path in arguments.images:
        if path.is_dir():
            listing = list_folder(path, arguments.subfolders)
            if listing.left_out:
                warn(listing.summary())
            found = [item for file in listing.files for item in list_pages(file)]
            stems += stems_of(found, path)
        else:
            found = list_pages(path)
            stems += stems_of(found)
        items += found
    return segment_images(arguments, ImageSequence(items, read_samples, arguments.bit_depth, warn), stems)
