"""Camera frames from image files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
SMALLEST_SIDE, LARGEST_SIDE = 16, 4096


class ImageError(ValueError):
    """An image file cannot be used as a frame; the message names the file and the cause."""


def read_frame(path: Path) -> NDArray[Any]:
    """Read a PNG, JPEG or TIFF file as a frame.

    Args:
        path: of the file.

    Returns:
        (H, W) uint8 or uint16; the channels of a colour image are averaged.

    Raises:
        ImageError: the file is missing, not an image, not of 8 or 16 bits, or not of 16..4096 pixels a side.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}") from error
    array = None
    if data:
        try:
            array = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            array = None
    if array is None:
        raise ImageError(f"{path}: not a readable PNG, JPEG or TIFF image")
    if array.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{path}: expected 8 or 16 bits per channel, got {array.dtype}")
    if array.ndim == 3:
        array = np.rint(array[:, :, :3].mean(axis=2)).astype(array.dtype)
    rows, columns = array.shape
    if not (SMALLEST_SIDE <= rows <= LARGEST_SIDE and SMALLEST_SIDE <= columns <= LARGEST_SIDE):
        raise ImageError(f"{path}: expected {SMALLEST_SIDE}..{LARGEST_SIDE} px a side, got {columns} x {rows}")
    return np.ascontiguousarray(array)


def list_images(folder: Path) -> list[Path]:
    """List the PNG, JPEG and TIFF files of a folder, sorted by name.

    Raises:
        ImageError: no such folder, or no such files in it.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise ImageError(f"{folder}: no {', '.join(IMAGE_SUFFIXES)} files in it")
    return files
