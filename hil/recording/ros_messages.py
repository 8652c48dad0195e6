"""What the wire's messages are as messages of ROS 2, by definitions of its common interfaces. docs/ground_systems.md
has the table.

The definitions are those of ROS 2 Humble, which later distributions share.
"""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore

from flight.client import NavigationFix, Refusal, landing_circles, navigation_fix
from flight.icd.frames import decode_frame
from flight.icd.limits import TOPIC_HAZARD, TOPIC_NAVIGATION
from flight.icd.products import Product, decode_product

TYPES = get_typestore(Stores.ROS2_HUMBLE)
# builtin_interfaces/Time counts seconds with 32 bits.
_LATEST_NS = (2**31 - 1) * 1_000_000_000 + 999_999_999
_LOG_LEVELS = {"diagnostic": 10, "info": 20, "warning_low": 30, "warning_high": 40, "fatal": 50}
_OK, _WARN, _ERROR = 0, 1, 2
_STATUS_LEVELS = {"valid": _OK, "degraded": _WARN, "invalid": _ERROR}
_STATE_LEVELS = {"ready": _OK, "starting": _WARN, "degraded": _WARN, "safe": _ERROR}
_CIRCLE, _ADD = 0, 0
_GREEN = {"r": 0.0, "g": 0.62, "b": 0.45, "a": 1.0}  # Okabe and Ito's


@dataclass(frozen=True)
class RosMessage:
    """A message of ROS 2.

    Attributes:
        topic: its name.
        type: such as "sensor_msgs/msg/Image".
        content: an object of TYPES.
    """

    topic: str
    type: str
    content: Any

    def encode(self) -> bytes:
        """The message in CDR, little-endian."""
        return bytes(TYPES.serialize_cdr(self.content, self.type))


@dataclass(frozen=True)
class CircleOptions:
    """Which landing circles are looked for: see flight.client.landing_circles."""

    minimum_radius_px: float = 4.0
    count: int = 3


def make_ros_messages(
    name: str, header: Mapping[str, Any], parts: Sequence[bytes], circles: CircleOptions
) -> Iterator[RosMessage]:
    """Make the messages of ROS 2 that say what a message of the wire says.

    Args:
        name: of its schema: frame, map, event, housekeeping, command or reply.
        header: of the message, checked.
        parts: of the message.
        circles: which landing circles are looked for in hazard products.
    """
    if name == "frame":
        yield _image(f"{camera_topic(header['source'])}/image_raw", decode_frame(parts).pixels, header)
    elif name == "map":
        yield from _messages_of_product(decode_product(parts), circles)
    elif name == "event":
        yield _log(header)
    elif name == "housekeeping":
        yield _diagnostics(
            header["time_ns"],
            "",
            ("rubblemap: service", _STATE_LEVELS[header["state"]], header["state"], _flatten(header)),
        )
    else:
        topic = {"command": "/rubblemap/commands", "reply": "/rubblemap/replies"}[name]
        yield _make(topic, "std_msgs/msg/String", data=json.dumps(dict(header)))


def camera_topic(source: str) -> str:
    """The names of a camera's topics begin with this. A name that ROS does not take gets its CRC-32 behind it.

    Args:
        source: the camera's name on the wire.
    """
    token = re.sub(r"[^A-Za-z0-9]+", "_", source).strip("_") or "camera"
    if token[0].isdigit():
        token = f"camera_{token}"
    if token != source:
        token += f"_{zlib.crc32(source.encode('utf-8')):08x}"
    return f"/rubblemap/{token}"


def _messages_of_product(product: Product, circles: CircleOptions) -> Iterator[RosMessage]:
    header, place = product.header, camera_topic(product.header["source"])
    folder = f"{place}/{product.topic.removeprefix('map.')}"
    message = ", ".join([product.status, *header["flags"]])
    status = f"rubblemap: {header['source']} {product.topic}"
    values = _flatten({key: value for key, value in header.items() if key not in ("classes", "planes")})
    values["classes"] = ", ".join(f"{entry['index']} {entry['name']} ({entry['role']})" for entry in header["classes"])
    if product.status != "invalid":
        for name, plane in product.planes.items():
            yield _image(f"{folder}/{name}", plane, header)
        layout = {"dim": [_make_part("std_msgs/msg/MultiArrayDimension", label="a b c d e f", size=6, stride=6)]}
        layout_message = _make_part("std_msgs/msg/MultiArrayLayout", **layout, data_offset=0)
        affine = np.array(header["map_to_sensor"], dtype=np.float64)
        yield _make(f"{folder}/map_to_sensor", "std_msgs/msg/Float64MultiArray", layout=layout_message, data=affine)
    if product.topic == TOPIC_NAVIGATION:
        fix = navigation_fix(product)
        values["navigation_fix"] = fix.text if isinstance(fix, Refusal) else "found"
        if isinstance(fix, NavigationFix):
            yield from _messages_of_fix(fix, place, header)
    elif product.topic == TOPIC_HAZARD:
        found = landing_circles(product, circles.minimum_radius_px, circles.count)
        values["landing_circles"] = found.text if isinstance(found, Refusal) else str(len(found.circles))
        if not isinstance(found, Refusal):
            for number, circle in enumerate(found.circles):
                text = f"x {circle.x:.2f}, y {circle.y:.2f}, radius {circle.radius:.2f}"
                values[f"landing_circles.{number}"] = f"{text}, worst probability {circle.worst_probability:.3f}"
                yield _circle_marker(f"{place}/landing_circles", number, circle.x, circle.y, circle.radius, header)
    yield _diagnostics(
        header["published_time_ns"], header["source"], (status, _STATUS_LEVELS[product.status], message, values)
    )


def _messages_of_fix(fix: NavigationFix, place: str, header: Mapping[str, Any]) -> Iterator[RosMessage]:
    """Sensor pixels where ROS has metres: there is no message for a point in an image with its covariance."""
    covariance = np.zeros((6, 6))
    covariance[:2, :2] = [[fix.covariance_xx, fix.covariance_xy], [fix.covariance_xy, fix.covariance_yy]]
    half = np.deg2rad(fix.major_angle_deg) / 2.0
    turn = _make_part("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=float(np.sin(half)), w=float(np.cos(half)))
    pose = _make_part("geometry_msgs/msg/Pose", position=_point(fix.x, fix.y), orientation=turn)
    yield _make(
        f"{place}/body",
        "geometry_msgs/msg/PoseWithCovarianceStamped",
        header=_header(header["capture_time_ns"], header["source"]),
        pose=_make_part("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=covariance.ravel()),
    )
    if fix.sun is not None:
        yield _make(
            f"{place}/sun_direction",
            "geometry_msgs/msg/Vector3Stamped",
            header=_header(header["capture_time_ns"], header["source"]),
            vector=_make_part("geometry_msgs/msg/Vector3", x=fix.sun.x, y=fix.sun.y, z=0.0),
        )


def _circle_marker(topic: str, number: int, x: float, y: float, radius: float, header: Mapping[str, Any]) -> RosMessage:
    """A circle in an image; `scale` is its diameter."""
    color, clear = (_make_part("std_msgs/msg/ColorRGBA", **{**_GREEN, "a": alpha}) for alpha in (1.0, 0.0))
    return _make(
        topic,
        "visualization_msgs/msg/ImageMarker",
        header=_header(header["capture_time_ns"], header["source"]),
        ns="landing_circles",
        id=number,
        type=_CIRCLE,
        action=_ADD,
        position=_point(x, y),
        scale=2.0 * radius,
        outline_color=color,
        filled=0,
        fill_color=clear,
        lifetime=_make_part("builtin_interfaces/msg/Duration", sec=0, nanosec=0),
        points=[],
        outline_colors=[],
    )


def _image(topic: str, pixels: np.ndarray, header: Mapping[str, Any]) -> RosMessage:
    """An image. pixels: (H, W), (H, W, 3) of a frame, or (K, H, W) of a product; uint8, uint16 or float16."""
    if pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
        layers = pixels.shape[0] if pixels.ndim == 3 else 1
        encoding = f"32FC{layers}"
        if pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
    else:
        encoding = f"{'rgb' if pixels.ndim == 3 else 'mono'}{8 * pixels.dtype.itemsize}"
    rows = np.ascontiguousarray(pixels)
    return _make(
        topic,
        "sensor_msgs/msg/Image",
        header=_header(header["capture_time_ns"], header["source"]),
        height=rows.shape[0],
        width=rows.shape[1],
        encoding=encoding,
        is_bigendian=int(sys.byteorder == "big"),
        step=rows.nbytes // rows.shape[0],
        data=rows.view(np.uint8).reshape(-1),
    )


def _log(header: Mapping[str, Any]) -> RosMessage:
    return _make(
        "/rosout",
        "rcl_interfaces/msg/Log",
        stamp=_time(header["time_ns"]),
        level=_LOG_LEVELS[header["severity"]],
        name=f"rubblemap.{header['name']}",
        msg=header["message"],
        file="",
        function="",
        line=0,
    )


def _diagnostics(time_ns: int, frame_id: str, status: tuple[str, int, str, Mapping[str, str]]) -> RosMessage:
    """status: its name, level, message and values."""
    name, level, message, values = status
    pairs = [_make_part("diagnostic_msgs/msg/KeyValue", key=key, value=value) for key, value in values.items()]
    entry = _make_part(
        "diagnostic_msgs/msg/DiagnosticStatus",
        level=level,
        name=name,
        message=message,
        hardware_id="rubblemap",
        values=pairs,
    )
    return _make(
        "/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", header=_header(time_ns, frame_id), status=[entry]
    )


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Values by their keys with dots between them, as texts."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return flat


def _header(time_ns: int, frame_id: str) -> Any:
    return _make_part("std_msgs/msg/Header", stamp=_time(time_ns), frame_id=frame_id)


def _time(time_ns: int) -> Any:
    seconds, nanoseconds = divmod(min(time_ns, _LATEST_NS), 1_000_000_000)
    return _make_part("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)


def _point(x: float, y: float) -> Any:
    return _make_part("geometry_msgs/msg/Point", x=x, y=y, z=0.0)


def _make_part(type_name: str, **fields: Any) -> Any:
    return TYPES.types[type_name](**fields)


def _make(topic: str, type_name: str, **fields: Any) -> RosMessage:
    return RosMessage(topic, type_name, _make_part(type_name, **fields))
