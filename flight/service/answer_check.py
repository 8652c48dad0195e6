"""Checks that the maps of an answer can be what their names say, before they are published.

The check of the message is of its form: names, sizes, checksums. A worker whose memory is corrupted may answer in the
right form with classes that there are not, probabilities above 1, or an affine that leads past the frame.

Planes are bytes here, and are searched by what the interpreter does with bytes in one go: the service has no NumPy.
"""

from __future__ import annotations

import struct
from typing import Any

from flight.icd.catalogue import PLANES
from flight.icd.product_message import ProductError, ProductMessage


def check_maps(product: ProductMessage, frame: dict[str, Any]) -> None:
    """Check the values of every plane, and that the map lies on the frame.

    Args:
        product: checked, with planes.
        frame: header of the frame that it answers.

    Raises:
        ProductError: names the plane or the field, what was expected and what came.
    """
    classes = len(product.header["classes"])
    for entry, plane in zip(product.header["planes"], product.planes, strict=True):
        height, width = entry["shape"][-2:]
        largest = PLANES[entry["name"]].largest_value(classes, height, width)
        if entry["dtype"] == "u8":
            _check_integers(entry["name"], bytes(plane), largest)
        else:
            _check_halves(entry["name"], bytes(plane), largest)
    _check_affine(product.header, frame)


def _check_integers(name: str, plane: bytes, largest: float) -> None:
    if plane.translate(None, bytes(range(int(largest) + 1))):
        raise ProductError(f"plane {name}: expected values 0..{largest:g}, got {min(plane)}..{max(plane)}")


def _check_halves(name: str, plane: bytes, largest: float) -> None:
    """Check a plane of binary16. What is no number is left to the consumers, who take it for the worst."""
    # binary16 may have rounded the largest value up, and sums of float32 may be above 1 by a few steps.
    limit = largest * (1.0 + 2.0**-10)
    low_limit, high_limit = struct.pack("<e", limit)
    # Numbers of binary16 from 0 on are ordered as their bits are; negative ones and what is no number come after them.
    # So a value is in range where its high byte is below the limit's, or the same and its low byte is not above.
    high = plane[1::2].translate(bytes((byte >= high_limit) + (byte > high_limit) for byte in range(256)))
    if b"\2" not in high:
        low = plane[::2].translate(bytes(byte > low_limit for byte in range(256)))
        # As one integer each, whose bits meet where both bytes are at or above the limit's.
        if not int.from_bytes(high, "little") & int.from_bytes(low, "little"):
            return
    numbers = [value for value in struct.unpack(f"<{len(plane) // 2}e", plane) if value == value]
    if numbers and (min(numbers) < 0.0 or max(numbers) > limit):
        raise ProductError(f"plane {name}: expected values 0..{largest:g}, got {min(numbers):g}..{max(numbers):g}")


def _check_affine(header: dict[str, Any], frame: dict[str, Any]) -> None:
    """The affine scales and shifts, and the middle of the map shows a place of the frame."""
    a, b, c, d, e, f = header["map_to_sensor"]
    if not (a > 0.0 and e > 0.0 and b == 0.0 and d == 0.0):
        raise ProductError(f"map.map_to_sensor: expected a scale and a shift, got {[a, b, c, d, e, f]}")
    map_height, map_width = header["planes"][0]["shape"][-2:]
    rows, columns = frame["height"], frame["width"]
    x, y = a * 0.5 * (map_width - 1) + c, e * 0.5 * (map_height - 1) + f
    if not (-0.5 <= x <= columns - 0.5 and -0.5 <= y <= rows - 0.5):
        raise ProductError(
            f"map.map_to_sensor: expected the map's middle within {columns} x {rows} pixels, got ({x:g}, {y:g})"
        )
