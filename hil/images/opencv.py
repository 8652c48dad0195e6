"""Further kinds that OpenCV reads: BMP, PNM (PGM, PPM) and JPEG 2000."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np

from flight.client.bit_depth import Samples
from flight.client.images import ImageError, ImageItem, decode, flatten, read_bytes, samples_of

_BMP = b"BM"
_PNM = re.compile(rb"P[1-6]\s")
_JPEG_2000 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
# Width, height and, but for bitmaps, the value of white, with comments between.
_PNM_HEADER = re.compile(rb"P[2356](?:\s+|#[^\n]*\n)+\d+(?:\s+|#[^\n]*\n)+\d+(?:\s+|#[^\n]*\n)+(\d+)\s")
# From the marker SIZ of a JPEG 2000 codestream to the precision of its first component (ISO/IEC 15444-1, A.5.1).
_SIZ, _PRECISION = b"\xff\x4f\xff\x51", 42


def matches(path: Path, head: bytes) -> bool:
    """Whether a file is of these kinds. head: how it begins."""
    return head.startswith((_BMP, *_JPEG_2000)) or _PNM.match(head) is not None


def read(item: ImageItem) -> Samples:
    """Read a BMP, PNM or JPEG 2000 file. Raises ImageError."""
    data = read_bytes(item.path)
    if data.startswith(_BMP) and len(data) < struct.unpack_from("<I", data.ljust(6, b"\xff"), 2)[0]:
        raise ImageError(f"{item}: not a readable image: cut off")
    array = decode(data, str(item))
    if data.startswith(_JPEG_2000):
        place = data.find(_SIZ)
        bits = (data[place + _PRECISION] & 0x7F) + 1 if 0 <= place < len(data) - _PRECISION else None
        return samples_of(array, bits)
    header = _PNM_HEADER.match(data)
    if header is None:
        return samples_of(array)
    white = int(header[1])
    values = flatten(array)
    if values.dtype == np.uint8:
        return Samples(np.rint(np.minimum(values * (255.0 / white), 255.0)).astype(np.uint8), 255.0)
    return Samples(values, float(white))
