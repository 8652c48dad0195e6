"""Camera frames from image files: PNG, JPEG and plain TIFF. What else people have, `hil segment` reads (hil.images)."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.client import tiff_tags
from flight.client.bit_depth import BitDepthRule, FrameImage, Samples, scale_frame
from flight.schema import format_text

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
SMALLEST_SIDE, LARGEST_SIDE = 16, 4096
OTHER_READER = "`hil segment` reads it"

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OTHERS = {b"SIMPLE  =": "FITS", b"PDS_VERSION_ID": "PDS3", b"<?xml": "XML, perhaps PDS4", b"GIF8": "GIF"}
# So many images, evenly spread over a sequence, are looked at before the first one is used.
_PREVIEWED = 32
_NAME_LENGTH = 400
_DIGITS = frozenset("0123456789")


class ImageError(ValueError):
    """An image file cannot be used as a frame; the message names the file and the cause."""


class OtherFormatError(ImageError):
    """A sound file, as far as it was read, of a kind that this reader leaves to hil.images."""


@dataclass(frozen=True)
class ImageItem:
    """One image of a file.

    Attributes:
        path: of the file.
        page: from 0.
        pages: of the file.
    """

    path: Path
    page: int = 0
    pages: int = 1

    def __str__(self) -> str:
        """Its name for people: one line of printable characters."""
        place = f", page {self.page + 1} of {self.pages}" if self.pages > 1 else ""
        return f"{format_text(self.path, _NAME_LENGTH)}{place}"


class ImageSequence:
    """Images that belong together, with one rule for their bit depth.

    Args:
        items: in order.
        read: an item's pixels. Raises ImageError.
        bit_depth: given by a person; None: as the files state it, or by the rule of flight.client.bit_depth.
        warn: is told, in one line, what was assumed; None: nobody is.
    """

    def __init__(
        self,
        items: Sequence[ImageItem],
        read: Callable[[ImageItem], Samples],
        bit_depth: int | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.items = items
        self._read = read
        self._rule = BitDepthRule(bit_depth, warn)
        self._previewed = False

    def __len__(self) -> int:
        return len(self.items)

    def samples(self, index: int) -> tuple[Samples, float]:
        """The pixels of an image as the file has them, and the value of full scale. Raises ImageError."""
        item = self.items[index]
        samples = self._read(item)
        if self._rule.must_assume(samples) and not self._previewed:
            self._preview()
        return samples, self._rule.full_scale(samples, str(item))

    def frame(self, index: int) -> FrameImage:
        """An image as a frame.

        Raises:
            ImageError: it cannot be read, or is not of 16..4096 pixels a side.
        """
        samples, full_scale = self.samples(index)
        rows, columns = samples.values.shape
        if not (SMALLEST_SIDE <= rows <= LARGEST_SIDE and SMALLEST_SIDE <= columns <= LARGEST_SIDE):
            raise ImageError(
                f"{self.items[index]}: expected {SMALLEST_SIDE}..{LARGEST_SIDE} px a side, got {columns} x {rows}"
            )
        return scale_frame(samples, full_scale)

    def _preview(self) -> None:
        """Let the rule see images from all over the sequence, so that its first frames are as bright as its last."""
        self._previewed = True
        chosen = np.unique(np.linspace(0, len(self.items) - 1, min(_PREVIEWED, len(self.items))).astype(int))
        for index in chosen if len(self.items) > 1 else []:
            try:
                self._rule.look_at(self._read(self.items[index]))
            except ImageError:
                continue  # is told when its turn comes


def read_frame(path: Path) -> NDArray[Any]:
    """Read a PNG, JPEG or plain TIFF file as a frame.

    Args:
        path: of the file.

    Returns:
        (H, W) uint8 or uint16, as the file has them; the channels of a colour image are averaged.

    Raises:
        ImageError: the file is missing, not such an image, or not of 16..4096 pixels a side.
    """
    return ImageSequence([ImageItem(path)], read_samples).frame(0).pixels


def read_bytes(path: Path) -> bytes:
    """The content of an image file. Raises ImageError that names it."""
    try:
        if not path.is_file() and path.exists():
            raise ImageError(f"{_shown(path)}: expected a file")
        return path.read_bytes()
    except (OSError, MemoryError) as error:
        raise ImageError(f"{_shown(path)}: {getattr(error, 'strerror', None) or 'larger than the memory'}") from error


def read_samples(item: ImageItem) -> Samples:
    """Read a PNG, JPEG or TIFF file with one page of 8 or 16 bits.

    EXIF's orientation is applied, channels are averaged, and what is transparent is black.

    Raises:
        OtherFormatError: an image, but another one than that.
        ImageError: missing, empty, truncated, or no image.
    """
    return decode_samples(read_bytes(item.path), item.path)


def decode_samples(data: bytes, path: Path) -> Samples:
    """The same of the content of a file. path: for messages."""
    shown = _shown(path)
    if data.startswith(_PNG):
        return _decode_png(data, shown)
    if data.startswith(_JPEG):
        return _decode_jpeg(data, shown)
    if data.startswith(_TIFF):
        return _decode_tiff(data, shown)
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
    return np.rint(color).astype(array.dtype) if array.dtype.kind in "ui" else color.astype(array.dtype)


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
    orientation = 1
    for marker, content in jpeg_segments(data):
        if marker == 0xE1 and content.startswith(b"Exif\0\0"):
            orientation = _orientation(content[6:])
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(content) > 5:
            if content[0] != 8:
                raise ImageError(f"{shown}: expected a JPEG image of 8 bits, got {content[0]}; convert it to PNG")
            if content[5] == 4:
                raise OtherFormatError(f"{shown}: a JPEG image of CMYK colours; {OTHER_READER}")
    if data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise ImageError(f"{shown}: not a readable image: damaged or cut off")
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
    if form != 1 or bits - {8, 16} or (colors, channels) not in ((1, 1), (2, 3)):
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


def natural_key(path: Path) -> tuple[list[tuple[int, int | str]], ...]:
    """Sorts paths as people count: frame_2 before frame_10."""
    return tuple(
        [(0, int(part)) if part[0] in _DIGITS else (1, part) for part in re.split(r"([0-9]+)", name) if part]
        for name in (*path.parts, str(path))
    )


def list_images(folder: Path) -> list[Path]:
    """List the PNG, JPEG and TIFF files of a folder, in natural order; hidden files are none.

    Raises:
        ImageError: no such folder, or no such files in it.
    """
    if not folder.is_dir():
        raise ImageError(f"{_shown(folder)}: no such folder")
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."]
    if not files:
        raise ImageError(f"{_shown(folder)}: no {', '.join(IMAGE_SUFFIXES)} files in it")
    return sorted(files, key=natural_key)


def _shown(path: Path) -> str:
    return str(ImageItem(path))
