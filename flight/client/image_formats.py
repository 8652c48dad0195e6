"""Image files as bytes, decoded by OpenCV: PNG, JPEG, plain TIFF, BMP, PNM (PGM, PPM) and JPEG 2000."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.client import tiff_tags
from flight.client.bit_depth import Samples

OTHER_READER = "`hil segment` reads it"

_PNG, _JPEG, _BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG_2000 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
_PNM = re.compile(rb"P[1-6]\s")
_OTHERS = {
    b"SIMPLE  =": "FITS",
    b"PDS_VERSION_ID": "PDS3",
    b"<?xml": "XML, perhaps PDS4",
    b"GIF8": "GIF",
    b"RIFF": "RIFF",
}
# Width, height and the value of white, with comments between.
_PNM_HEADER = re.compile(rb"P[2356]" + 2 * rb"(?:\s|#[^\n]*\n)+\d{1,9}" + rb"(?:\s|#[^\n]*\n)+(\d{1,9})\s")
# From the marker SIZ of a JPEG 2000 codestream to the precision of its first component (ISO/IEC 15444-1, A.5.1).
_SIZ, _PRECISION = b"\xff\x4f\xff\x51", 42
_PLANAR = 284


class ImageError(ValueError):
    """An image file cannot be used as a frame; the message names the file and the cause."""


class OtherFormatError(ImageError):
    """A sound file, as far as it was read, of a kind that this reader leaves to hil.images."""


def decode_samples(data: bytes, shown: str) -> Samples:
    """Decode the content of an image file.

    EXIF's orientation is applied, channels are averaged, and what is transparent is black.

    Args:
        data: the content.
        shown: the file's name, for messages.

    Raises:
        OtherFormatError: an image, but one that is left to hil.images.
        ImageError: empty, truncated, damaged, or no image.
    """
    if data.startswith(_PNG):
        return _decode_png(data, shown)
    if data.startswith(_JPEG):
        return _decode_jpeg(data, shown)
    if data.startswith(_TIFF):
        return _decode_tiff(data, shown)
    if data.startswith((_BMP, *_JPEG_2000)) or _PNM.match(data):
        return _decode_further(data, shown)
    if not data:
        raise ImageError(f"{shown}: not a readable image: the file is empty")
    kind = next((kind for start, kind in _OTHERS.items() if data.startswith(start)), None)
    raise OtherFormatError(
        f"{shown}: expected a PNG, JPEG or TIFF image, got {kind or 'another file'}; "
        f"{OTHER_READER if kind else '`hil segment` reads some more kinds'}"
    )


def decode(data: bytes, shown: str) -> NDArray[Any]:
    """Decode an image with OpenCV, as it is. Raises ImageError for one that is damaged, cut off or too large."""
    try:
        array = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError) as error:
        if "MAX_IMAGE" in str(error) or isinstance(error, MemoryError):
            raise ImageError(f"{shown}: more pixels than can be read; crop or bin the image") from error
        array = None
    if array is None:
        raise ImageError(f"{shown}: not a readable image: damaged or cut off")
    return array


def flatten(array: NDArray[Any]) -> NDArray[Any]:
    """Average the channels of an image; what is transparent is black.

    Args:
        array: (H, W), (H, W, 3), or (H, W, 4) with the opacity last.
    """
    if array.ndim == 2:
        return array
    color = array[:, :, :3].mean(axis=2, dtype=np.float64)
    if array.shape[2] == 4:
        color *= array[:, :, 3] / np.iinfo(array.dtype).max
    grey: NDArray[Any] = (np.rint(color) if array.dtype.kind in "ui" else color).astype(array.dtype)
    return grey


def samples_of(array: NDArray[Any], bits: int | None = None, scaled_up: bool = False, orientation: int = 1) -> Samples:
    """Pixels as a decoder gives them, with the bits that their file states.

    Args:
        array: (H, W) or (H, W, C).
        bits: stated by the file; None: not stated. Pixels that are brighter contradict it.
        scaled_up: what the contradiction means: True: the pixels were scaled to all bits of their type; False: the
            statement is wrong.
        orientation: EXIF's.
    """
    values = np.ascontiguousarray(tiff_tags.orient(flatten(array), orientation))
    if values.dtype == np.uint8:
        return Samples(values, 255.0)
    if bits is None or not 8 <= bits <= 16:
        return Samples(values, None)
    if float(values.max()) <= 2**bits - 1:
        return Samples(values, float(2**bits - 1))
    return Samples(values, 65535.0 if scaled_up else None)


def _decode_png(data: bytes, shown: str) -> Samples:
    bits, orientation, channels = None, 1, 3
    for name, content in png_chunks(data):
        if name == b"IHDR" and len(content) == 13:
            channels = 1 if content[9] in (0, 4) else 3
        elif name == b"sBIT" and content:
            bits = max(content[:channels])
        elif name == b"eXIf":
            orientation = _orientation(content)
        elif name == b"acTL":
            raise OtherFormatError(f"{shown}: an animated PNG; {OTHER_READER}")
    # As the specification has it, samples are scaled up to all bits of the container; many writers leave them as they
    # are. The brightest pixel tells which.
    return samples_of(decode(data, shown), bits, scaled_up=True, orientation=orientation)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk of a PNG file before its pixels."""
    offset = 8
    while offset + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, offset)
        name = data[offset + 4 : offset + 8]
        if name == b"IDAT":
            return
        yield name, data[offset + 8 : offset + 8 + length]
        offset += 12 + length


def _decode_jpeg(data: bytes, shown: str) -> Samples:
    # OpenCV and Pillow take zeros in place of the rest of the file, as a broken-off copy may have, for grey.
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise ImageError(f"{shown}: not a readable image: damaged or cut off")
    orientation = 1
    for marker, content in jpeg_segments(data):
        if marker == 0xE1 and content.startswith(b"Exif\0\0"):
            orientation = _orientation(content[6:])
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(content) > 5:
            if content[0] != 8:
                raise ImageError(f"{shown}: expected a JPEG image of 8 bits, got {content[0]}; convert it to PNG")
            if content[5] == 4:
                raise OtherFormatError(f"{shown}: a JPEG image of CMYK colours; {OTHER_READER}")
    return samples_of(decode(data, shown), orientation=orientation)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment of a JPEG file before its pixels."""
    offset = 2
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        marker = data[offset + 1]
        if marker == 0xDA:
            return
        if marker == 0xFF:  # fill
            offset += 1
            continue
        (length,) = struct.unpack_from(">H", data, offset + 2)
        yield marker, data[offset + 4 : offset + 2 + length]
        offset += 2 + length


def _orientation(exif: bytes) -> int:
    try:
        pages = tiff_tags.read_pages(exif)
    except tiff_tags.TagError:
        return 1
    return tiff_tags.number(pages[0], tiff_tags.ORIENTATION, 1) if pages else 1


def _decode_tiff(data: bytes, shown: str) -> Samples:
    try:
        pages = tiff_tags.read_pages(data)
    except tiff_tags.TagError as error:
        if data[2:4] in (b"+\0", b"\0+"):
            raise OtherFormatError(f"{shown}: a BigTIFF file; {OTHER_READER}") from error
        raise ImageError(f"{shown}: not a readable image: {error}") from error
    if len(pages) != 1:
        raise OtherFormatError(f"{shown}: expected one page, got {len(pages)} pages; {OTHER_READER}")
    tags = pages[0]
    bits = set(tags.get(tiff_tags.BITS, (1,)))
    form = tiff_tags.number(tags, tiff_tags.SAMPLE_FORMAT, 1)
    colors = tiff_tags.number(tags, tiff_tags.PHOTOMETRIC, 1)
    channels = tiff_tags.number(tags, tiff_tags.SAMPLES, 1)
    is_plain = form == 1 and not bits - {8, 16} and (colors, channels) in ((1, 1), (2, 3))
    if not is_plain or tiff_tags.number(tags, _PLANAR, 1) != 1:
        kind = {1: "unsigned", 2: "signed", 3: "real"}.get(form, f"sample format {form}")
        raise OtherFormatError(
            f"{shown}: expected a TIFF image of 8 or 16 bits, grey or RGB, got {kind} numbers of "
            f"{', '.join(map(str, sorted(bits)))} bits, {channels} channels, photometric {colors}; {OTHER_READER}"
        )
    if tiff_tags.is_truncated(tags, len(data)):
        raise ImageError(f"{shown}: not a readable image: cut off")
    # OpenCV has turned it by its orientation.
    return samples_of(decode(data, shown), stated_bits(tags))


def stated_bits(tags: tiff_tags.Tags) -> int | None:
    """The bits in use that a TIFF page's tags state: MaxSampleValue, SMaxSampleValue, OME's SignificantBits."""
    for tag in (tiff_tags.SAMPLE_MAXIMUM, tiff_tags.MAXIMUM):
        # Some writers put the brightest pixel there: only all ones of some bits are a statement.
        largest = tiff_tags.number(tags, tag, 0)
        if largest > 255 and largest & (largest + 1) == 0 and largest < 65535:
            return largest.bit_length()
    description = tags.get(tiff_tags.DESCRIPTION, b"")
    if isinstance(description, bytes):
        found = re.search(rb'SignificantBits="(\d{1,2})"', description)
        if found and 8 <= int(found[1]) <= 16:
            return int(found[1])
    return None


def _decode_further(data: bytes, shown: str) -> Samples:
    if data.startswith(_BMP) and len(data) < struct.unpack_from("<I", data.ljust(6, b"\xff"), 2)[0]:
        raise ImageError(f"{shown}: not a readable image: cut off")
    array = decode(data, shown)
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
