"""Frames from a folder of images, such as the shipped flyby."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flight.client.images import list_images, read_frame

FLYBY = Path(__file__).parents[1] / "flyby"
SHIPPED = "flyby"


@dataclass(frozen=True)
class FrameSource:
    """A sequence of frames.

    Attributes:
        name: of the folder.
        files: one image per frame, in order.
        geometry: range_km and sun_direction_camera of each frame; empty if unknown.
    """

    name: str
    files: list[Path]
    geometry: list[dict[str, Any]]

    def frame(self, index: int) -> np.ndarray:
        """Read a frame.

        Args:
            index: from 0; starts again after the last frame.

        Returns:
            (H, W) uint8 or uint16.

        Raises:
            ImageError: the file is not an image; the message names it.
        """
        return read_frame(self.files[index % len(self.files)])

    def frame_geometry(self, index: int) -> dict[str, Any]:
        """Optional header fields of frame `index`, which starts again after the last frame."""
        return self.geometry[index % len(self.geometry)] if self.geometry else {}


def open_source(where: str) -> FrameSource:
    """Open a source of frames.

    Args:
        where: "flyby", the shipped one, or a folder of PNG, JPEG or TIFF images. A folder with a flyby.json, as
            `ground-tools render --flyby` writes it, has the frames in frames/ and their geometry in that file.

    Raises:
        ImageError: no such folder, or no images in it.
        ValueError: flyby.json has another number of entries than there are images.
    """
    folder = FLYBY if where == SHIPPED else Path(where)
    description = folder / "flyby.json"
    if not description.is_file():
        return FrameSource(folder.name, list_images(folder), [])
    geometry = json.loads(description.read_text(encoding="utf-8"))["frames"]
    files = list_images(folder / "frames")
    if len(files) != len(geometry):
        raise ValueError(f"{description}: expected {len(files)} entries as there are images, got {len(geometry)}")
    fields = ("range_km", "sun_direction_camera")
    return FrameSource(folder.name, files, [{k: entry[k] for k in fields} for entry in geometry])
