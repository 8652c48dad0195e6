"""The frame message: [header, pixels]."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.icd.limits import HEADER_BYTES, MESSAGE_BYTES, SCHEMA_VERSION
from flight.icd.packing import PackingError, pack_map, unpack_map
from flight.schema import SchemaError, check, format_text, format_value, load_schema

_SCHEMA = load_schema("flight.icd.schemas", "frame")
_DTYPES: dict[str, np.dtype[Any]] = {"u8": np.dtype("<u1"), "u16": np.dtype("<u2")}

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


class FrameError(ValueError):
    """A frame that breaks the contract.

    Attributes:
        reason: a key of catalogue.REJECTION_REASONS.
        camera: (source, epoch) of the frame; None where its header cannot be trusted that far.
    """

    def __init__(self, reason: str, message: str, camera: tuple[str, int] | None = None) -> None:
        self.reason = reason
        self.camera = camera
        super().__init__(message)


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
    check(header, _SCHEMA, "frame")
    _check_depth_and_size(header, len(raw))
    return [pack_map(header), raw]


def _check_depth_and_size(header: dict[str, Any], size: int) -> None:
    """Check what the schema cannot: the bits fit the dtype, and the pixels fit the message."""
    bits = 8 * _DTYPES[header["dtype"]].itemsize
    if header["bit_depth"] > bits:
        raise FrameError(
            "invalid_field",
            f"frame.bit_depth: expected 8..{bits} for {header['dtype']}, got {header['bit_depth']}",
        )
    if size > MESSAGE_BYTES:
        raise FrameError("wrong_parts", f"frame: expected at most {MESSAGE_BYTES} bytes of pixels, got {size}")


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
    try:
        return _decode(parts)
    except FrameError:
        raise
    except Exception as error:
        # A camera's message must not end the service, whatever it holds that nobody thought of.
        text = f"frame: cannot be decoded ({type(error).__name__}: {format_text(error)})"
        raise FrameError("malformed_header", text) from error


def _decode(parts: Sequence[bytes | memoryview]) -> Frame:
    if len(parts) != 2:
        raise FrameError("wrong_parts", f"frame: expected 2 message parts, got {len(parts)}")
    try:
        header = unpack_map(parts[0], HEADER_BYTES, "frame header")
    except PackingError as error:
        raise FrameError("malformed_header", str(error)) from error
    version = header.get("schema")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise FrameError("unknown_schema", f"frame.schema: expected {SCHEMA_VERSION}, got {format_value(version)}")
    try:
        check(header, _SCHEMA, "frame")
    except SchemaError as error:
        raise FrameError("invalid_field", str(error)) from error
    header = {"channels": 1, **header}
    try:
        return _decode_pixels(header, parts[1])
    except FrameError as error:
        raise FrameError(error.reason, str(error), (header["source"], header["epoch"])) from error


def _decode_pixels(header: dict[str, Any], data: bytes | memoryview) -> Frame:
    """Check the pixels against a checked header."""
    dtype = _DTYPES[header["dtype"]]
    _check_depth_and_size(header, len(data))
    height, width, channels = header["height"], header["width"], header["channels"]
    expected = height * width * channels * dtype.itemsize
    if len(data) != expected:
        raise FrameError(
            "size_mismatch",
            f"frame pixels: expected {height} x {width} x {channels} x {dtype.itemsize} = {expected} bytes, "
            f"got {len(data)}",
        )
    if "crc32" in header and zlib.crc32(data) != header["crc32"]:
        raise FrameError(
            "crc_mismatch",
            f"frame.crc32: expected {header['crc32']:#010x}, got {zlib.crc32(data):#010x} over the pixels",
        )
    shape = (height, width) if channels == 1 else (height, width, channels)
    return Frame(header, np.frombuffer(data, dtype=dtype).reshape(shape))
