"""FITS images, through astropy: BZERO and BSCALE, byte orders, tile compression, invalid values, masks in extensions.

Rows stay in the order of the file, so that maps lead back to it: its first row is row 0, though FITS viewers show it at
the bottom.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from flight.client.bit_depth import Samples
from flight.client.images import ImageError, ImageItem
from hil.images.packages import require

_START, _GZIP = b"SIMPLE  =", b"\x1f\x8b"
# Names of extensions that hold no picture; pixels that the first kind marks are invalid.
_MASKS = ("MASK", "DQ", "QUALITY", "BPM", "BADPIX")
_OTHERS = ("ERR", "SIGMA", "VAR", "WEIGHT", "WHT", "UNCERT", "BACKPLANE")
# What cameras' programs write: the bits of the converter, or the value of a saturated pixel.
_BIT_KEYS = ("BITDEPTH", "ADCBITS", "ADC_BITS", "NBITS", "BITS")
_SATURATION_KEYS = ("SATURATE", "SATLEVEL", "DATASAT")


def matches(path: Path, head: bytes) -> bool:
    """Whether a file is FITS, or FITS in gzip. head: how it begins."""
    zipped = head.startswith(_GZIP) and Path(path.stem).suffix.lower() in (".fits", ".fit", ".fts")
    return head.startswith(_START) or zipped


def count_pages(path: Path) -> int:
    """The number of images: of extensions, and of planes of a cube. Raises ImageError."""
    with _opened(ImageItem(path)) as units:
        return len(_planes(units))


def read(item: ImageItem) -> Samples:
    """Read an image. Raises ImageError."""
    with _opened(item) as units:
        planes = _planes(units)
        if item.page >= len(planes):
            raise ImageError(f"{item}: not a readable image: no image in the FITS file")
        unit, plane = planes[item.page]
        values = np.asarray(unit.data)
        values = values.reshape(-1, *values.shape[-2:])[plane]
        invalid = _invalid(units, values.shape)
        header: Mapping[str, Any] = unit.header
    # Of this machine's byte order.
    values = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=True))
    if values.dtype.kind not in "uif":
        raise ImageError(f"{item}: expected real numbers, got {values.dtype}")
    if invalid is not None and invalid.any():
        values[invalid] = np.nan if values.dtype.kind == "f" else 0
    return Samples(values, 255.0 if values.dtype == np.uint8 else _full_scale(header))


def _planes(units: Any) -> list[tuple[Any, int]]:
    """The images of a file: extension, and plane of it."""
    found = []
    for unit in units:
        shape = getattr(unit, "shape", ())
        name = str(unit.name).upper()
        if getattr(unit, "is_image", False) and len(shape) >= 2 and not any(word in name for word in _MASKS + _OTHERS):
            found += [(unit, plane) for plane in range(int(np.prod(shape[:-2])))]
    return found


def _invalid(units: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Pixels that a mask extension marks by another number than 0."""
    for unit in units:
        if getattr(unit, "is_image", False) and any(word in str(unit.name).upper() for word in _MASKS):
            mask = np.asarray(unit.data)
            if mask.shape[-2:] == shape:
                return np.asarray(mask.reshape(-1, *shape).any(axis=0))
    return None


def _full_scale(header: Mapping[str, Any]) -> float | None:
    for key in _BIT_KEYS:
        bits = header.get(key)
        if isinstance(bits, int) and 8 <= bits <= 16:
            return float(2**bits - 1)
    for key in _SATURATION_KEYS:
        level = header.get(key)
        if isinstance(level, int | float) and level > 0:
            return float(level)
    return None


@contextmanager
def _opened(item: ImageItem) -> Iterator[Any]:
    """The units of a file; what goes wrong with it is an ImageError."""
    fits = require("astropy.io.fits", "planetary", "FITS")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            with fits.open(item.path, memmap=False, lazy_load_hdus=False) as units:
                cut = [warning for warning in told if "truncated" in str(warning.message)]
                if cut:
                    raise ImageError(f"{item}: not a readable image: cut off ({cut[0].message})")
                yield units
    except ImageError:
        raise
    except (OSError, ValueError, TypeError, KeyError, EOFError, fits.VerifyError) as error:
        raise ImageError(f"{item}: not a readable image: {' '.join(str(error).split())[:200]}") from error
    except MemoryError as error:
        raise ImageError(f"{item}: more pixels than can be read; crop or bin the image") from error
