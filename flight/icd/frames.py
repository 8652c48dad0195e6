"""The frame message: [header, pixels], with pixels as arrays."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.icd.frame_message import FRAME_SCHEMA, FrameError, check_depth_and_size, check_frame
from flight.icd.limits import SCHEMA_VERSION
from flight.icd.packing import pack_map
from flight.schema import check

__all__ = ["Frame", "FrameError", "Pixels", "decode_frame", "encode_frame"]

_DTYPES: dict[str, np.dtype[Any]] = {"u8": np.dtype("<u1"), "u16": np.dtype("<u2")}

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Frame:
    """A decoded frame.

    Attributes:
        header: the checked header, `channels` filled in.
        pixels: (H, W) or (H, W, 3), uint8 or uint16, sensor pixels.
    """

    header: dict[str, Any]
    pixels: Pixels

    @property
    def key(self) -> tuple[int, int]:
        """(epoch, frame_id), strictly increasing per source."""
        return self.header["epoch"], self.header["frame_id"]


def encode_frame(
    pixels: Pixels,
    *,
    source: str,
    epoch: int,
    frame_id: int,
    capture_time_ns: int,
    centered: bool,
    bit_depth: int | None = None,
    **optional: Any,
) -> list[bytes]:
    """Make the two parts of a frame message, with a CRC-32 of the pixels.

    Args:
        pixels: (H, W) or (H, W, 3), uint8 or uint16.
        source: name of the camera.
        epoch: counts restarts of the camera's numbering.
        frame_id: counts frames; (epoch, frame_id) increases strictly per source.
        capture_time_ns: spacecraft clock.
        centered: the body fills the frame already.
        bit_depth: significant bits; None for all of the dtype.
        optional: exposure_s, range_km, sun_direction_camera.

    Raises:
        SchemaError, FrameError: the message would break the contract.
    """
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim not in (2, 3):
        raise FrameError(
            "invalid_field", f"frame: expected (H, W) or (H, W, 3) u8 or u16, got {pixels.shape} {pixels.dtype}"
        )
    data = np.ascontiguousarray(pixels)
    if sys.byteorder == "big" and data.itemsize > 1:
        data = data.byteswap()
    raw = data.tobytes()
    header = {
        "schema": SCHEMA_VERSION,
        "type": "frame",
        "source": source,
        "epoch": epoch,
        "frame_id": frame_id,
        "capture_time_ns": capture_time_ns,
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "channels": pixels.shape[2] if pixels.ndim == 3 else 1,
        "dtype": "u8" if pixels.dtype == np.uint8 else "u16",
        "bit_depth": bit_depth if bit_depth is not None else 8 * pixels.dtype.itemsize,
        "centered": centered,
        **optional,
        "crc32": zlib.crc32(raw),
    }
    check(header, FRAME_SCHEMA, "frame")
    check_depth_and_size(header, len(raw))
    return [pack_map(header), raw]


def decode_frame(parts: Sequence[bytes | memoryview]) -> Frame:
    """Check and decode a frame message.

    Args:
        parts: header and pixels.

    Returns:
        The frame; its pixels are a view of the second part.

    Raises:
        FrameError: with the reason, and a line that names the field, what was expected and what came; nothing else is
            raised.
    """
    message = check_frame(parts)
    header = message.header
    height, width, channels = header["height"], header["width"], header["channels"]
    shape = (height, width) if channels == 1 else (height, width, channels)
    return Frame(header, np.frombuffer(message.pixels, dtype=_DTYPES[header["dtype"]]).reshape(shape))
