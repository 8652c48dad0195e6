"""The pixels of an image file, whatever kind it is of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flight.client.bit_depth import Samples
from flight.client.image_formats import decode_samples
from flight.client.images import ImageError, ImageItem, OtherFormatError, read_bytes
from hil.images import fits, pds, pillow, tiff

# .xml and .lbl are labels of a file with the pixels, which lies beside them.
FITS_SUFFIXES = (".fits", ".fit", ".fts", ".fz")
PDS_SUFFIXES = (".img", ".imq", ".lbl", ".xml")
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".pgm", ".ppm", ".pnm", ".webp", ".gif", ".jp2"),
    *FITS_SUFFIXES,
    *PDS_SUFFIXES,
)
_HEAD_BYTES = 4096
_PNG, _JPEG = b"\x89PNG", b"\xff\xd8\xff"


@dataclass(frozen=True)
class _Family:
    """Kinds of files that one module reads.

    Attributes:
        matches: whether a file is of them: its path, and how it begins.
        count: number of its images, from its path; None: always one.
        read: an image of it. Raises ImageError.
    """

    matches: Callable[[Path, bytes], bool]
    count: Callable[[Path], int] | None
    read: Callable[[ImageItem], Samples]


def _read_plain(item: ImageItem) -> Samples:
    """What flight reads too, as flight does, so that both give the same; the others of these kinds in other ways."""
    data = read_bytes(item.path)
    try:
        return decode_samples(data, str(item))
    except OtherFormatError:
        if tiff.matches(item.path, data[:_HEAD_BYTES]):
            return tiff.read(item)
        if data.startswith((_PNG, _JPEG)):
            return pillow.read(item)
        raise ImageError(f"{item}: not a readable image: of no kind that is known") from None


# The first that matches reads a file.
_FAMILIES = (
    _Family(tiff.matches, tiff.count_pages, _read_plain),
    _Family(lambda path, head: head.startswith(_PNG), pillow.count_pages, _read_plain),
    _Family(pillow.matches, pillow.count_pages, pillow.read),
    _Family(fits.matches, fits.count_pages, fits.read),
    _Family(pds.matches, pds.count_pages, pds.read),
    _Family(lambda path, head: True, None, _read_plain),
)


def list_pages(path: Path) -> list[ImageItem]:
    """The images of a file: pages of a TIFF, images of a FITS or PDS file, frames of an animation.

    One that cannot be opened counts as one image, which fails when it is read.

    Raises:
        MissingReader: the package that reads this kind is not installed.
    """
    try:
        family = _family_of(path)
        pages = 1 if family.count is None else family.count(path)
    except ImageError:
        pages = 1
    return [ImageItem(path, page, pages) for page in range(max(pages, 1))]


def read_samples(item: ImageItem) -> Samples:
    """Read an image.

    Returns:
        Its pixels. EXIF's orientation is applied; rows of FITS and PDS files stay in the order of the file. Channels
        are averaged; what is transparent is black.

    Raises:
        ImageError: missing, empty, truncated, damaged, or of a kind that is not read.
        MissingReader: the package that reads this kind is not installed.
    """
    return _family_of(item.path).read(item)


def _family_of(path: Path) -> _Family:
    shown = str(ImageItem(path))
    try:
        if not path.is_file() and path.exists():
            raise ImageError(f"{shown}: expected a file")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise ImageError(f"{shown}: {error.strerror}") from error
    if not head:
        raise ImageError(f"{shown}: not a readable image: the file is empty")
    return next(family for family in _FAMILIES if family.matches(path, head))
