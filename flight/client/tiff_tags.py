"""The tags of a TIFF file: what it says of its pixels, without decoding any. EXIF data are such a file, too.

After the TIFF 6.0 specification (Adobe, 1992), sections 2 and 8.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
DESCRIPTION, STRIP_OFFSETS, ORIENTATION, SAMPLES, STRIP_COUNTS = 270, 273, 274, 277, 279
MAXIMUM, TILE_OFFSETS, TILE_COUNTS, SAMPLE_FORMAT, SAMPLE_MAXIMUM = 281, 324, 325, 339, 341
_SUBFILE_TYPE = 254

# Type of a value -> its struct format; 1 and 7 are bytes, 2 is text.
_FORMATS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I"}
_MOST_PAGES = 100_000

Tags = Mapping[int, tuple[int | float, ...] | bytes]


class TagError(ValueError):
    """Bytes that are no TIFF file, or one that ends before its tags."""


def read_pages(data: bytes | memoryview) -> list[Tags]:
    """The tags of each page of a TIFF file; smaller copies of a page (thumbnails) and masks are no pages.

    Raises:
        TagError: not a TIFF file with offsets of 32 bits, or a damaged one.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None:
        raise TagError("no TIFF file with offsets of 32 bits")
    pages: list[Tags] = []
    seen: set[int] = set()
    try:
        (offset,) = struct.unpack_from(f"{order}I", data, 4)
        while offset and offset not in seen and len(seen) < _MOST_PAGES:
            seen.add(offset)
            tags, offset = _read_directory(data, offset, order)
            if not number(tags, _SUBFILE_TYPE, 0) & 0b101:
                pages.append(tags)
    except (struct.error, OverflowError) as error:
        raise TagError("a TIFF file that ends before its tags") from error
    return pages


def _read_directory(data: bytes | memoryview, offset: int, order: str) -> tuple[Tags, int]:
    (count,) = struct.unpack_from(f"{order}H", data, offset)
    tags: dict[int, tuple[int | float, ...] | bytes] = {}
    for entry in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", data, entry)
        size = struct.calcsize(_FORMATS.get(kind, "B")) * length
        place = entry + 8 if size <= 4 else struct.unpack_from(f"{order}I", data, entry + 8)[0]
        if kind in (2, 7):
            tags[tag] = bytes(data[place : place + length])
        elif kind in _FORMATS:
            tags[tag] = struct.unpack_from(f"{order}{length}{_FORMATS[kind]}", data, place)
    (following,) = struct.unpack_from(f"{order}I", data, offset + 2 + 12 * count)
    return tags, following


def number(tags: Tags, tag: int, default: int) -> int:
    """The first value of a tag as a whole number; `default` where the tag is missing."""
    values = tags.get(tag, ())
    return int(values[0]) if values else default


def is_truncated(tags: Tags, size: int) -> bool:
    """Whether pixels of a page lie beyond the end of a file of `size` bytes."""
    for places, lengths in ((STRIP_OFFSETS, STRIP_COUNTS), (TILE_OFFSETS, TILE_COUNTS)):
        pairs = zip(tags.get(places, ()), tags.get(lengths, ()), strict=False)
        if any(place + length > size for place, length in pairs):
            return True
    return False


def orient(pixels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Turn an image the way up that EXIF's orientation (1..8) says; other values leave it as it is."""
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
