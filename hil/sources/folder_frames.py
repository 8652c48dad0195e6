"""Folders of images as frame streams: with truth masks and geometry where they have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hil.scenarios.source_tables import FlybySource, FolderSource
from hil.sources.folder import FLYBY, FrameSource, open_source
from hil.sources.frames import TRUTH_CLASSES, Frame, FrameStream, spread


class FolderFrames(FrameStream):
    """The images of a folder, spread over so many frames.

    Args:
        source: the images.
        folder: that may hold masks/ with a truth mask of each image's name, and flyby.json.
        count: number of frames.
    """

    def __init__(self, source: FrameSource, folder: Path, count: int) -> None:
        self.name = source.name
        self._source, self._count = source, count
        self._masks = folder / "masks"
        self._times: list[float] = []
        description = folder / "flyby.json"
        if description.is_file():
            entries: list[dict[str, Any]] = json.loads(description.read_text(encoding="utf-8"))["frames"]
            self._times = [float(entry["time_s"]) for entry in entries if "time_s" in entry]
        if self._masks.is_dir():
            self.classes = TRUTH_CLASSES

    def __len__(self) -> int:
        return self._count

    def frame(self, index: int) -> Frame:
        stored = spread(index, self._count, len(self._source))
        image = self._source.image(stored)
        time_s = self._times[stored] if stored < len(self._times) else None
        truth = self._read_truth(stored, image.pixels.shape) if self.classes else None
        return Frame(image.pixels, image.bit_depth, time_s, self._source.frame_geometry(stored), truth)

    def _read_truth(self, stored: int, shape: tuple[int, ...]) -> np.ndarray | None:
        path = self._masks / f"{self._source.files[stored].stem}.png"
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
        if mask is None:
            return None
        if mask.dtype != np.uint8 or mask.shape != shape or mask.max() >= len(TRUTH_CLASSES):
            raise ValueError(f"{path}: expected uint8 classes below {len(TRUTH_CLASSES)} of the frame's size")
        return np.asarray(mask, dtype=np.uint8)


def open_flyby(source: FlybySource, beside: Path, count: int) -> FrameStream:
    """Open the shipped flyby; see hil.sources.registry.open_frames."""
    return FolderFrames(open_source("flyby"), FLYBY, count)


def open_folder(source: FolderSource, beside: Path, count: int) -> FrameStream:
    """Open a folder of images; see hil.sources.registry.open_frames."""
    folder = beside / source.path
    return FolderFrames(open_source(str(folder), source.bit_depth, source.subfolders), folder, count)
