"""What viewers show of a recording: pictures and log entries by Foxglove's schemas, headers as JSON.

Foxglove and Rerun know these schemas in protobuf; JSON channels are for Foxglove's plots and tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from foxglove_schemas_protobuf.Log_pb2 import Log
from google.protobuf.timestamp_pb2 import Timestamp

from flight.client import pictures
from flight.icd.frames import decode_frame
from flight.icd.limits import TOPIC_HAZARD, TOPIC_NAVIGATION
from flight.icd.products import Product, decode_product
from hil.overlay import PALETTE

# The pictures are for people: what is larger is reduced. The wire's message beside it has every pixel.
_LARGEST_SIDE = 1024
_LEVELS = {
    "diagnostic": Log.Level.DEBUG,
    "info": Log.Level.INFO,
    "warning_low": Log.Level.WARNING,
    "warning_high": Log.Level.ERROR,
    "fatal": Log.Level.FATAL,
}


@dataclass(frozen=True)
class View:
    """A message for viewers.

    Attributes:
        topic: in the MCAP file.
        message: by a schema of Foxglove's, or a map that becomes JSON.
    """

    topic: str
    message: CompressedImage | Log | dict[str, Any]

    def encode(self) -> bytes:
        """The message as bytes. Raises ValueError if JSON cannot hold a value."""
        if isinstance(self.message, dict):
            return json.dumps(self.message, allow_nan=False).encode("utf-8")
        return self.message.SerializeToString()


def make_views(name: str, header: dict[str, Any], parts: Sequence[bytes]) -> Iterator[View]:
    """Make what viewers show of a message.

    Args:
        name: of its schema: frame, map, event, housekeeping, command or reply.
        header: of the message, checked.
        parts: of the message.
    """
    if name == "frame":
        yield View(f"/cameras/{header['source']}/frame", _picture_of_frame(header, parts))
    elif name == "map":
        yield from _views_of_product(decode_product(parts))
    elif name == "event":
        yield View(
            "/events",
            Log(
                timestamp=_timestamp(header["time_ns"]),
                level=_LEVELS[header["severity"]],
                message=header["message"],
                name=header["name"],
            ),
        )
    else:
        yield View({"housekeeping": "/housekeeping", "command": "/commands", "reply": "/replies"}[name], header)


def _views_of_product(product: Product) -> Iterator[View]:
    header = product.header
    place = f"/cameras/{header['source']}"
    yield View(f"{place}/{product.topic}", header)
    if product.status == "invalid":
        return
    classes = len(header["classes"])
    if product.topic == TOPIC_NAVIGATION:
        seen = product.planes["class_map"] < classes
        class_map = pictures.draw_class_map(product.planes["enhanced_class_map"], PALETTE, classes, seen)
        yield View(f"{place}/class_map", _encode_picture(class_map, header))
        entropy = pictures.draw_entropy(product.planes["predictive_entropy"], classes)
        yield View(f"{place}/entropy", _encode_picture(entropy, header))
    elif product.topic == TOPIC_HAZARD:
        hazard = pictures.draw_hazard(product.planes["hazard_probability"])
        yield View(f"{place}/hazard", _encode_picture(hazard, header))


def _picture_of_frame(header: dict[str, Any], parts: Sequence[bytes]) -> CompressedImage:
    pixels = decode_frame(parts).pixels
    if header["bit_depth"] > 8:
        pixels = np.right_shift(pixels, header["bit_depth"] - 8)
    picture = np.minimum(pixels, 255).astype(np.uint8)
    if max(picture.shape[:2]) > _LARGEST_SIDE:
        scale = _LARGEST_SIDE / max(picture.shape[:2])
        size = max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1)
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    return _encode_picture(picture, header)


def _encode_picture(picture: np.ndarray, header: dict[str, Any]) -> CompressedImage:
    """A picture, (H, W) grey or (H, W, 3) red, green, blue, as a PNG in Foxglove's message."""
    if picture.ndim == 3:
        picture = np.ascontiguousarray(picture[:, :, ::-1])
    done, data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError("picture: PNG encoding failed")
    return CompressedImage(
        timestamp=_timestamp(header["capture_time_ns"]),
        frame_id=header["source"],
        data=data.tobytes(),
        format="png",
    )


def _timestamp(time_ns: int) -> Timestamp:
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    return Timestamp(seconds=seconds, nanos=nanos)
