"""Frames from a folder of images, the shipped flyby among them."""

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
    """A sequence of frames. files: in order. geometry: per frame range_km and sun_direction_camera; may be empty."""

    name: str
    files: list[Path]
    geometry: list[dict[str, Any]]

    def frame(self, index: int) -> np.ndarray:
        """Frame `index`, counted round and round: (H, W) uint8 or uint16. Raises ImageError naming the file."""
        return read_frame(self.files[index % len(self.files)])

    def frame_geometry(self, index: int) -> dict[str, Any]:
        """The optional header fields of frame `index`, counted round and round."""
        return self.geometry[index % len(self.geometry)] if self.geometry else {}


def open_source(where: str) -> FrameSource:
    """The shipped flyby ("flyby"), or any folder of PNG, JPEG or TIFF images.

    A folder with a flyby.json, as `ground-tools render --flyby` writes it, holds the frames in frames/ and
    their geometry. Raises ImageError naming the folder when it holds no images.
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
