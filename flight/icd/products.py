"""The product message: [topic, header, plane, plane, ...], with planes as arrays."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.icd.product_message import MOST_PARTS, ProductError, check_product, check_product_header, encode_product

__all__ = [
    "MOST_PARTS",
    "PLANE_DTYPES",
    "Plane",
    "Product",
    "ProductError",
    "check_product_header",
    "decode_product",
    "describe_plane",
    "encode_product",
]

# The catalogue's dtypes, as they are on the wire.
PLANE_DTYPES: dict[str, np.dtype[Any]] = {"u8": np.dtype("<u1"), "f16": np.dtype("<f2")}
Plane = NDArray[np.uint8] | NDArray[np.float16]


@dataclass(frozen=True)
class Product:
    """A decoded, verified product.

    Attributes:
        header: as in the ICD.
        planes: by name, (H, W) or (K, H, W), uint8 or float16, read-only; empty if the status is "invalid".
    """

    header: dict[str, Any]
    planes: dict[str, Plane]

    @property
    def topic(self) -> str:
        """The product's topic, such as "map.navigation"."""
        return str(self.header["topic"])

    @property
    def status(self) -> str:
        """ "valid", "degraded" or "invalid"."""
        return str(self.header["status"])

    @property
    def frame_key(self) -> tuple[str, int, int]:
        """(source, epoch, frame_id) of the frame that the product answers."""
        return self.header["source"], self.header["epoch"], self.header["frame_id"]


def describe_plane(name: str, plane: Plane, units: str) -> tuple[dict[str, Any], bytes]:
    """Make a plane's entry of the header and its bytes.

    Args:
        name: of the plane.
        plane: (H, W) or (K, H, W), uint8 or float16.
        units: of its values.
    """
    dtype = "u8" if plane.dtype == np.uint8 else "f16"
    raw = np.ascontiguousarray(plane, dtype=PLANE_DTYPES[dtype]).tobytes()
    entry = {
        "name": name,
        "dtype": dtype,
        "shape": list(plane.shape),
        "units": units,
        "crc32": zlib.crc32(raw),
        "nbytes": len(raw),
    }
    return entry, raw


def decode_product(parts: Sequence[bytes | memoryview]) -> Product:
    """Check and decode a product message: schema, topic, sizes, CRCs.

    Args:
        parts: topic, header, planes.

    Returns:
        The product; its planes are read-only views of the parts.

    Raises:
        ProductError: the message breaks the contract in any way; nothing else is raised.
    """
    message = check_product(parts)
    planes: dict[str, Plane] = {}
    for entry, raw in zip(message.header["planes"], message.planes, strict=True):
        plane = np.frombuffer(raw, dtype=PLANE_DTYPES[entry["dtype"]]).reshape(entry["shape"])
        plane.flags.writeable = False
        planes[entry["name"]] = plane
    return Product(message.header, planes)
