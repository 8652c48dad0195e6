"""Frames from a folder of images, such as the shipped flyby."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flight.client.bit_depth import FrameImage
from flight.client.images import ImageSequence
from hil.images.folder import list_folder, open_images

FLYBY = Path(__file__).parents[1] / "flyby"
SHIPPED = "flyby"


@dataclass(frozen=True)
class FrameSource:
    """A sequence of frames.

    Attributes:
        name: of the folder.
        images: one per frame, in order.
        geometry: range_km and sun_direction_camera of each frame; empty if unknown.
    """

    name: str
    images: ImageSequence
    geometry: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def files(self) -> list[Path]:
        """The file of each frame, in order."""
        return [item.path for item in self.images.items]

    def image(self, index: int) -> FrameImage:
        """Read a frame with its bit depth.

        Args:
            index: from 0; starts again after the last frame.

        Raises:
            ImageError: the file is not an image; the message names it.
        """
        return self.images.frame(index % len(self.images))

    def frame(self, index: int) -> np.ndarray:
        """The pixels of a frame: (H, W) uint8 or uint16. See `image`."""
        return self.image(index).pixels

    def frame_geometry(self, index: int) -> dict[str, Any]:
        """Optional header fields of frame `index`, which starts again after the last frame."""
        return self.geometry[index % len(self.geometry)] if self.geometry else {}


def open_source(
    where: str,
    bit_depth: int | None = None,
    subfolders: bool = False,
    warn: Callable[[str], None] | None = None,
) -> FrameSource:
    """Open a source of frames.

    Args:
        where: "flyby", the shipped one, a folder of images (docs/images.md), or a file, of whose pages each is a frame.
            A folder with a flyby.json, as `ground-tools render --flyby` writes it, has the frames in frames/ and their
            geometry in that file.
        bit_depth: of images of more than 8 bits; None: as the files state it, or by the rule.
        subfolders: the images of folders below, too.
        warn: is told of files that are left out and of a bit depth that was assumed, a line each; None: nobody is.

    Raises:
        ImageError: no such folder, or no images in it.
        MissingReader: the package that reads the images is not installed.
        ValueError: flyby.json has another number of entries than there are images.
    """
    folder = FLYBY if where == SHIPPED else Path(where)
    if folder.is_file():
        return FrameSource(folder.name, open_images([folder], bit_depth, warn), [])
    description = folder / "flyby.json"
    has_geometry = description.is_file()
    listing = list_folder(folder / "frames" if has_geometry else folder, subfolders)
    if warn is not None and listing.left_out:
        warn(listing.summary())
    images = open_images(listing.files, bit_depth, warn)
    if not has_geometry:
        return FrameSource(folder.name, images, [])
    geometry = json.loads(description.read_text(encoding="utf-8"))["frames"]
    if len(images) != len(geometry):
        raise ValueError(f"{description}: expected {len(images)} entries as there are images, got {len(geometry)}")
    fields = ("range_km", "sun_direction_camera")
    return FrameSource(folder.name, images, [{k: entry[k] for k in fields} for entry in geometry])
