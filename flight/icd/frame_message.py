"""The frame message as bytes: [header, pixels]. What needs arrays of pixels is in frames.py, which loads NumPy."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flight.icd.limits import HEADER_BYTES, MESSAGE_BYTES, SCHEMA_VERSION
from flight.icd.packing import PackingError, unpack_map
from flight.schema import SchemaError, check, format_text, format_value, load_schema

FRAME_SCHEMA = load_schema("flight.icd.schemas", "frame")
# Bytes of a value of each dtype on the wire.
PIXEL_BYTES = {"u8": 1, "u16": 2}


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
class FrameMessage:
    """A frame message that keeps the contract.

    Attributes:
        header: the checked header, `channels` filled in.
        pixels: the second part.
    """

    header: dict[str, Any]
    pixels: bytes | memoryview

    @property
    def key(self) -> tuple[int, int]:
        """(epoch, frame_id), strictly increasing per source."""
        return self.header["epoch"], self.header["frame_id"]


def check_depth_and_size(header: dict[str, Any], size: int) -> None:
    """Check what the schema cannot: the bits fit the dtype, and the pixels fit the message. Raises FrameError."""
    bits = 8 * PIXEL_BYTES[header["dtype"]]
    if header["bit_depth"] > bits:
        raise FrameError(
            "invalid_field",
            f"frame.bit_depth: expected 8..{bits} for {header['dtype']}, got {header['bit_depth']}",
        )
    if size > MESSAGE_BYTES:
        raise FrameError("wrong_parts", f"frame: expected at most {MESSAGE_BYTES} bytes of pixels, got {size}")


def check_frame(parts: Sequence[bytes | memoryview]) -> FrameMessage:
    """Check a frame message: header, size, CRC.

    Args:
        parts: header and pixels.

    Raises:
        FrameError: with the reason, and a line that names the field, what was expected and what came; nothing else is
            raised.
    """
    try:
        return _check(parts)
    except FrameError:
        raise
    except Exception as error:
        # A camera's message must not end the service, whatever it holds that nobody thought of.
        text = f"frame: cannot be decoded ({type(error).__name__}: {format_text(error)})"
        raise FrameError("malformed_header", text) from error


def _check(parts: Sequence[bytes | memoryview]) -> FrameMessage:
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
        check(header, FRAME_SCHEMA, "frame")
    except SchemaError as error:
        raise FrameError("invalid_field", str(error)) from error
    header = {"channels": 1, **header}
    try:
        _check_pixels(header, parts[1])
    except FrameError as error:
        raise FrameError(error.reason, str(error), (header["source"], header["epoch"])) from error
    return FrameMessage(header, parts[1])


def _check_pixels(header: dict[str, Any], data: bytes | memoryview) -> None:
    """Check the pixels against a checked header."""
    value_bytes = PIXEL_BYTES[header["dtype"]]
    check_depth_and_size(header, len(data))
    height, width, channels = header["height"], header["width"], header["channels"]
    expected = height * width * channels * value_bytes
    if len(data) != expected:
        raise FrameError(
            "size_mismatch",
            f"frame pixels: expected {height} x {width} x {channels} x {value_bytes} = {expected} bytes, "
            f"got {len(data)}",
        )
    if "crc32" in header and zlib.crc32(data) != header["crc32"]:
        raise FrameError(
            "crc_mismatch",
            f"frame.crc32: expected {header['crc32']:#010x}, got {zlib.crc32(data):#010x} over the pixels",
        )
