"""A folder of real images without labels, as a set that travels: squares of them, of the networks' size."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ground_tools.datasets.store import webp_bytes


def is_image_folder(path: Path) -> bool:
    """Whether a path is a folder of images, and no set."""
    return path.is_dir() and not (path / "dataset.json").exists()


def read_squares(folder: Path, size: int) -> list[tuple[str, bytes]]:
    """Name of the file and WebP of each square. size: of the squares, pixels.

    A square has the smaller side of its image; along the larger one there are as many as fit beside each other. None is
    enlarged by more than half.

    Raises:
        ImageError: there are no images, or one cannot be read.
    """
    # Where an archive is read, the packages that read image files need not be.
    from flight.client.bit_depth import scale_to_grey
    from hil.images.folder import list_folder, open_images

    images = open_images(list_folder(folder).files, None, lambda line: print(line, file=sys.stderr))
    squares = []
    for index in range(len(images)):
        grey = scale_to_grey(*images.samples(index))
        squares += [(str(images.items[index]), webp_bytes(square)) for square in cut_squares(grey, size)]
    if not squares:
        raise ValueError(f"{folder}: expected images of {2 * size // 3} px and more, got none")
    return squares


def cut_squares(image: np.ndarray, size: int) -> list[np.ndarray]:
    """(H, W) uint8 -> squares (size, size) uint8, evenly along the longer side."""
    side, longer = min(image.shape), max(image.shape)
    if side < 2 * size // 3:
        return []
    count = longer // side
    gap = (longer - count * side) / (count + 1)
    squares = []
    for number in range(count):
        first = round(gap + number * (side + gap))
        part = image[first : first + side] if image.shape[0] == longer else image[:, first : first + side]
        how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
        squares.append(cv2.resize(np.ascontiguousarray(part[:side, :side]), (size, size), interpolation=how))
    return squares


def provenance_of(folder: Path, squares: list[tuple[str, bytes]]) -> dict[str, Any]:
    """As a training's record states a set's."""
    total = hashlib.sha256(b"".join(data for _, data in squares)).hexdigest()
    return {"name": folder.name, "sha256": total, "split_by": None, "splits_sha256": total}
