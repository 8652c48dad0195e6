"""PDS3 and PDS4 images, through pdr: attached and detached labels, byte orders, scaling, special constants.

Rows stay in the order of the file, so that maps lead back to it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flight.client.bit_depth import Samples
from flight.client.images import ImageError, ImageItem
from hil.images.packages import require

_LABELS = (b"PDS_VERSION_ID", b"ODL_VERSION_ID")
# Names of objects that hold no picture of the camera.
_OTHERS = (
    "QUALITY",
    "SIGMA",
    "ERROR",
    "MASK",
    "BROWSE",
    "THUMBNAIL",
    "PREVIEW",
    "HISTOGRAM",
    "LABEL",
    "HEADER",
    "FLAG",
)
_STATED_MAXIMUM = "valid_maximum"


def matches(path: Path, head: bytes) -> bool:
    """Whether a file is a PDS product or its label. head: how the file begins."""
    if any(label in head[:512] for label in _LABELS):
        return True
    if b"pds.nasa.gov/pds4" in head or b"<Product_Observational" in head:
        return True
    return path.suffix.lower() in (".img", ".imq") and label_beside(path) is not None


def label_beside(path: Path) -> Path | None:
    """The detached label of a file with pixels: of the same name, with .lbl or .xml."""
    names = (path.with_suffix(suffix) for suffix in (".LBL", ".lbl", ".xml", ".XML"))
    return next((label for label in names if label != path and label.is_file()), None)


def count_pages(path: Path) -> int:
    """The number of images and of bands in them. Raises ImageError."""
    return len(_planes(_open(ImageItem(path))))


def read(item: ImageItem) -> Samples:
    """Read an image. Raises ImageError."""
    product = _open(item)
    planes = _planes(product)
    if item.page >= len(planes):
        raise ImageError(f"{item}: not a readable image: no image in the PDS product")
    name, band = planes[item.page]
    block = _block(product, name)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            values = product[name]
        except MemoryError as error:
            raise ImageError(f"{item}: more pixels than can be read; crop or bin the image") from error
        except Exception as error:  # pdr has a loader for each mission's archive, and each fails in its own way
            raise ImageError(f"{item}: not a readable image: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(values, np.ndarray) or values.ndim not in (2, 3) or values.dtype.kind not in "uif":
        why = "; ".join(str(warning.message) for warning in told) or "no image"
        raise ImageError(f"{item}: not a readable image: cut off, or its pixels are missing ({why[:200]})")
    if values.ndim == 3:
        values = values[band]
    values = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=True))
    return _interpret(values, block)


def _open(item: ImageItem) -> Any:
    pdr = require("pdr", "planetary", "PDS")
    # pdr looks for a label in the same folder if the file has none.
    label = None if item.path.suffix.lower() in (".lbl", ".xml") else label_beside(item.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return pdr.read(str(item.path), label_fn=None if label is None else str(label))
        except Exception as error:  # see read
            raise ImageError(f"{item}: not a readable image: {' '.join(str(error).split())[:200]}") from error


def _planes(product: Any) -> list[tuple[str, int]]:
    """The images of a product: name, and band of it."""
    found: list[tuple[str, int]] = []
    for name in product.keys():  # noqa: SIM118  # pdr's own mapping
        block = _block(product, name)
        if any(word in name.upper() for word in _OTHERS):
            continue
        if "LINES" in block and "LINE_SAMPLES" in block:
            bands = int(block.get("BANDS", 1))
        elif str(block.get("axes", "")) in ("2", "3") and "Element_Array" in block:
            bands = int(block["Axis_Array"][0]["elements"]) if str(block["axes"]) == "3" else 1
        else:
            continue
        found += [(name, band) for band in range(bands)]
    return found


def _block(product: Any, name: str) -> Mapping[str, Any]:
    """What a product's label says of an object."""
    # Of PDS4 pdr finds blocks by their kind alone, of which there may be several; its structures know their own.
    structure = (getattr(product, "_pds4_structures", None) or {}).get(name)
    if structure is not None:
        return dict(getattr(structure, "meta_data", None) or {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return product.metablock_(name) or {}


def _interpret(values: np.ndarray, block: Mapping[str, Any]) -> Samples:
    """Apply special constants, scaling and the stated range of values."""
    element: Mapping[str, Any] = block.get("Element_Array", {})
    special: Mapping[str, Any] = block.get("Special_Constants", {})
    factor = _number(block.get("SCALING_FACTOR", element.get("scaling_factor"))) or 1.0
    offset = _number(block.get("OFFSET", element.get("value_offset"))) or 0.0
    invalid, white = np.zeros(values.shape, dtype=bool), np.zeros(values.shape, dtype=bool)
    for name, text in (*block.items(), *special.items()):
        kind = _kind_of_constant(name)
        constant = _number(text) if kind else None
        if constant is not None:
            (white if kind == "white" else invalid)[values == constant] = True
    full_scale = None
    mask = _number(block.get("SAMPLE_BIT_MASK"))
    if mask is not None and 255 <= mask < 65535:
        full_scale = float(2 ** int(mask).bit_length() - 1)
    if (maximum := _number(special.get(_STATED_MAXIMUM))) is not None:
        full_scale = maximum
    if factor == 1.0 and offset == 0.0:
        scaled = values
    else:
        scaled = values.astype(np.float64) * factor + offset
        full_scale = None if full_scale is None else full_scale * factor + offset
    if full_scale is not None and full_scale <= 0.0:
        full_scale = None
    if invalid.any() or white.any():
        valid = scaled[~invalid & ~white]
        top = full_scale or (float(valid.max()) if valid.size else 0.0)
        scaled = np.where(white, top, np.where(invalid, 0.0, scaled)).astype(scaled.dtype)
    return Samples(scaled, 255.0 if scaled.dtype == np.uint8 else full_scale)


def _kind_of_constant(name: str) -> str:
    """Whether a keyword of a label names a value that is no measurement: "white", "invalid", or "" for others."""
    upper = name.upper()
    if upper.startswith(("BAND_SUFFIX", "LINE_SUFFIX", "SAMPLE_SUFFIX")):
        return ""
    if "SATURATION" in upper or upper in ("SATURATED_CONSTANT", "INFINITY_CONSTANT"):
        return "invalid" if "LOW" in upper else "white"
    return "invalid" if upper.endswith(("_CONSTANT", "NULL")) else ""


def _number(value: Any) -> float | None:
    if isinstance(value, list | tuple):
        value = value[0] if value else None
    if isinstance(value, Mapping):
        value = value.get("value")
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
