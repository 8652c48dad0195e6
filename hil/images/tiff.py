"""TIFF files that are not plain: several pages, packed bits, real and signed numbers, WhiteIsZero, palettes, CMYK.

tifffile tells what a page holds and decodes what needs no further package; for the other compressions (LZW, ZSTD) the
page's bytes are handed to OpenCV as a page of unsigned numbers, so that they come back bit for bit.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flight.client import tiff_tags
from flight.client.bit_depth import Samples, least_full_scale
from flight.client.image_formats import samples_of, stated_bits
from flight.client.images import ImageError, ImageItem
from hil.images import pillow
from hil.images.packages import require

_CLASSIC, _BIG = (b"II*\0", b"MM\0*"), (b"II+\0", b"MM\0+")
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED = 0, 1, 2, 3, 5
_OLD_JPEG, _JPEG = 6, 7
_NO_DATA = 42113
_UNASSOCIATED, _ASSOCIATED = 2, 1
_REDUCED_OR_MASK = 0b101


def matches(path: Path, head: bytes) -> bool:
    """Whether a file is a TIFF. head: how it begins."""
    return head.startswith(_CLASSIC + _BIG)


def count_pages(path: Path) -> int:
    """The number of pages, thumbnails left out. Raises ImageError."""
    with path.open("rb") as file:
        if file.read(4) in _CLASSIC:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, memoryview(data) as view:
                try:
                    return len(tiff_tags.read_pages(view))
                except tiff_tags.TagError as error:
                    raise ImageError(f"{ImageItem(path)}: not a readable image: {error}") from error
    tifffile = require("tifffile", "hil", "BigTIFF")
    try:
        with tifffile.TiffFile(path) as opened:
            return len(_pages(opened))
    except (tifffile.TiffFileError, ValueError, struct.error) as error:
        raise ImageError(f"{ImageItem(path)}: not a readable image: {error}") from error


def read(item: ImageItem) -> Samples:
    """Read a page. Raises ImageError."""
    tifffile = require("tifffile", "hil", "TIFF")
    try:
        with tifffile.TiffFile(item.path) as file:
            pages = _pages(file)
            if item.page >= len(pages):
                raise ImageError(f"{item}: not a readable image: no such page")
            page = pages[item.page]
            if any(
                place + length > file.filehandle.size
                for place, length in zip(page.dataoffsets, page.databytecounts, strict=False)
            ):
                raise ImageError(f"{item}: not a readable image: cut off")
            if page.compression in (_OLD_JPEG, _JPEG):
                return pillow.read(replace(item, page=page.index))
            return _interpret(page, _decode(page, file, item), item)
    except ImageError:
        raise
    except (tifffile.TiffFileError, ValueError, OSError, struct.error, cv2.error, IndexError, KeyError) as error:
        raise ImageError(f"{item}: not a readable image: {' '.join(str(error).split())[:200]}") from error
    except (MemoryError, OverflowError) as error:
        raise ImageError(f"{item}: more pixels than can be read; crop or bin the image") from error


def _pages(file: Any) -> list[Any]:
    return [page for page in file.pages if not int(page.subfiletype) & _REDUCED_OR_MASK]


def _interpret(page: Any, values: np.ndarray, item: ImageItem) -> Samples:
    """What decoded numbers mean. values: (H, W) or (H, W, C)."""
    bits = page.bitspersample if page.bitspersample in range(9, 16) else _stated(page)
    colors = int(page.photometric)
    if page.bitspersample < 8 and colors != _PALETTE:
        values = np.rint(values * (255.0 / (2**page.bitspersample - 1))).astype(np.uint8)
    if values.dtype.kind not in "uif":
        raise ImageError(f"{item}: expected real numbers, got {values.dtype}")
    if colors == _PALETTE:
        table = np.asarray(page.colormap)
        shift = 8 if table.max() > 255 else 0  # some writers put 8 bits there
        values = np.rint(table.mean(axis=0) / 2**shift).astype(np.uint8)[values]
    elif colors == _SEPARATED and values.ndim == 3 and values.shape[2] >= 4 and values.dtype.kind == "u":
        full = float(np.iinfo(values.dtype).max)
        ink = values[:, :, :4].astype(np.float64) / full
        light = (1.0 - ink[:, :, :3]).mean(axis=2) * (1.0 - ink[:, :, 3])
        values = np.rint(light * full).astype(values.dtype)
    elif colors not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
        raise ImageError(f"{item}: expected grey, RGB, palette or CMYK, got photometric {page.photometric}")
    elif values.ndim == 3:
        values = _average(page, values)
    if colors == _WHITE_IS_ZERO:
        values = _invert(values, bits)
    values = tiff_tags.orient(values, int(page.tags.valueof(tiff_tags.ORIENTATION, 1)))
    missing = _no_data(page)
    if missing is not None and values.dtype != np.uint8:
        values = np.where(values == missing, np.nan, values.astype(np.float64))
        return Samples(values, None if bits is None else float(2**bits - 1))
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        return samples_of(values, bits)
    return Samples(np.ascontiguousarray(values), None)


def _average(page: Any, values: np.ndarray) -> np.ndarray:
    colors = 3 if int(page.photometric) == _RGB else values.shape[2] - len(page.extrasamples)
    kinds = [int(kind) for kind in page.extrasamples[:1]]
    opacity = kinds in ([_ASSOCIATED], [_UNASSOCIATED]) and values.shape[2] > colors and values.dtype.kind == "u"
    shown = values[:, :, : max(colors, 1)].astype(np.float64).mean(axis=2)
    if opacity and kinds == [_UNASSOCIATED]:
        shown = shown * (values[:, :, colors] / np.iinfo(values.dtype).max)
    return np.rint(shown).astype(values.dtype) if values.dtype.kind in "ui" else shown


def _invert(values: np.ndarray, bits: int | None) -> np.ndarray:
    """Make black zero, white the largest number: of the bits stated, or else of the least that hold the darkest."""
    if values.dtype.kind == "u":
        full = 2**bits - 1 if bits else int(least_full_scale(float(values.max()), whole=True))
        return (full - np.minimum(values, full)).astype(values.dtype)
    return values.max() - values


def _stated(page: Any) -> int | None:
    names = (tiff_tags.SAMPLE_MAXIMUM, tiff_tags.MAXIMUM)
    tags: dict[int, Any] = {}
    for name in names:
        value = page.tags.valueof(name)
        if isinstance(value, int | tuple):
            tags[name] = value if isinstance(value, tuple) else (value,)
    tags[tiff_tags.DESCRIPTION] = page.description.encode("utf-8", "replace")
    return stated_bits(tags)


def _no_data(page: Any) -> float | None:
    """The value of pixels without one, as GDAL writes it."""
    text = page.tags.valueof(_NO_DATA)
    try:
        return float(str(text).strip("\0 ")) if text is not None else None
    except ValueError:
        return None


def _decode(page: Any, file: Any, item: ImageItem) -> np.ndarray:
    """The numbers of a page: (H, W) or (H, W, C)."""
    packed = page.bitspersample not in (8, 16, 32, 64) and not (page.bitspersample == 1 and page.samplesperpixel == 1)
    values: np.ndarray | None = None
    if not packed:
        try:
            values = page.asarray()
        except (ValueError, NotImplementedError, ImportError) as error:
            if "imagecodecs" not in str(error):
                raise
    if values is None:
        values = _decode_by_opencv(page, file, item, packed)
    if values.ndim == 3 and int(page.planarconfig) == 2 and page.samplesperpixel > 1:
        values = np.moveaxis(values, 0, -1)
    if values.ndim != 2 and not (values.ndim == 3 and values.shape[2] == page.samplesperpixel):
        raise ImageError(f"{item}: expected an image in a page, got numbers of the shape {values.shape}")
    return values


def _decode_by_opencv(page: Any, file: Any, item: ImageItem, packed: bool) -> np.ndarray:
    """Decode the compression with libtiff, which is in OpenCV; see the module."""
    width, height, channels = page.imagewidth, page.imagelength, page.samplesperpixel
    separate = int(page.planarconfig) == 2 and channels > 1
    if (
        channels not in (1, 3, 4)
        or (page.is_tiled and (packed or separate))
        or (separate and height % page.rowsperstrip)
    ):
        raise ImageError(
            f"{item}: expected strips of 1, 3 or 4 channels with the compression {page.compression.name}, got another "
            "arrangement; save it without compression, or pip install imagecodecs"
        )
    if separate:
        height, in_pixel = height * channels, 1
    else:
        in_pixel = channels
    bits = 8 if packed else page.bitspersample
    columns = -(-width * in_pixel * page.bitspersample // 8) if packed else width
    data = _with_segments(page, file, columns, height, bits, 1 if packed else in_pixel)
    array = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ImageError(
            f"{item}: not a readable image: damaged, or of a compression that is not read ({page.compression.name}); "
            "save it without compression, or pip install imagecodecs"
        )
    if packed:
        array = _unpack(array, page.bitspersample, width * in_pixel).reshape(height, width, -1).squeeze()
    else:
        if array.ndim == 3:  # OpenCV's order is blue, green, red
            array = array[:, :, [2, 1, 0, 3][: array.shape[2]]]
        array = np.ascontiguousarray(array).view(np.dtype(page.dtype).newbyteorder("="))
    return array.reshape(channels, page.imagelength, width) if separate else array


def _unpack(packed: np.ndarray, bits: int, count: int) -> np.ndarray:
    """Numbers of `bits` bits each, `count` a row, from rows of bytes."""
    rows = []
    weights = (1 << np.arange(bits - 1, -1, -1)).astype(np.float32)
    for row in packed:
        single = np.unpackbits(row)[: count * bits].reshape(count, bits)
        rows.append((single @ weights).astype(np.uint8 if bits <= 8 else np.uint16))
    return np.stack(rows)


def _with_segments(page: Any, file: Any, width: int, height: int, bits: int, channels: int) -> bytes:
    """A TIFF file with the compressed bytes of a page, that says of them what OpenCV takes without changing them."""
    order = file.byteorder
    segments = []
    for place, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.filehandle.seek(place)
        segments.append(file.filehandle.read(length))
    form = 3 if bits >= 32 else 1
    entries: list[tuple[int, str, list[int]]] = [
        (256, "I", [width]),
        (257, "I", [height]),
        (258, "H", [bits] * channels),
        (259, "H", [int(page.compression)]),
        (262, "H", [_RGB if channels >= 3 else _BLACK_IS_ZERO]),
        (266, "H", [int(page.tags.valueof(266, 1))]),
        (277, "H", [channels]),
        (284, "H", [1]),
        (317, "H", [int(page.predictor)]),
        (339, "H", [form] * channels),
    ]
    if channels == 4:
        entries.append((338, "H", [_ASSOCIATED]))
    counts = [len(segment) for segment in segments]
    if page.is_tiled:
        entries += [(322, "I", [page.tilewidth]), (323, "I", [page.tilelength]), (325, "I", counts)]
        places = (324, "I", [0] * len(segments))
    else:
        entries += [(278, "I", [min(page.rowsperstrip, height)]), (279, "I", counts)]
        places = (273, "I", [0] * len(segments))
    entries = sorted([*entries, places])
    # Header, directory, values that do not fit it, segments.
    start = 8 + 2 + 12 * len(entries) + 4
    values_at, extra = start, b""
    sizes = {tag: struct.calcsize(f"{order}{len(values)}{kind}") for tag, kind, values in entries}
    first = start + sum(size + size % 2 for size in sizes.values() if size > 4)
    offsets = [first + sum(counts[:number]) for number in range(len(counts))]
    directory = struct.pack(f"{order}H", len(entries))
    for tag, kind, values in entries:
        content = struct.pack(f"{order}{len(values)}{kind}", *(offsets if tag == places[0] else values))
        directory += struct.pack(f"{order}HHI", tag, {"H": 3, "I": 4}[kind], len(values))
        if len(content) <= 4:
            directory += content.ljust(4, b"\0")
        else:
            directory += struct.pack(f"{order}I", values_at + len(extra))
            extra += content + b"\0" * (len(content) % 2)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return head + directory + bytes(4) + extra + b"".join(segments)
