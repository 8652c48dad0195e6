"""Frames of a renderer elsewhere, asked for pose by pose: the closed-loop protocol of CORTO.

A pose is one UDP datagram of big-endian doubles: the sun's position, then position and quaternion of the camera and of
the body; in the older form of 21 numbers the sun has a quaternion, too. An image comes over one TCP connection: eight
bytes, its length as a little-endian integer, and a PNG file. Quaternions are scalar first; the camera's axes are
Blender's, which looks along its own -z with y up, and a sun shines along its own -z.

The protocol: Pugliatti et al., CORTO 2.0, github.com/MattiaPugliatti/corto, tutorials/advanced_CIL_ClosedLoop_remote_*.
"""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hil.scenarios.source_tables import RemoteSource
from hil.sources.frames import Frame, FrameStream, Tell, spread
from hil.sources.poses import Pose, find_poses, read_track, to_quaternion

_PREFIX = struct.Struct("<Q")
_MOST_BYTES = 1 << 28
_MOST_PIXELS = 1 << 26
_LEAST_PIXELS = 16
_PNG = b"\x89PNG\r\n\x1a\n"
# Up to the end of the width and height that a PNG begins with.
_HEAD_BYTES = 24


class RemoteError(RuntimeError):
    """The remote renderer is not there, or does not keep to the protocol; the message says at which frame."""


class RemoteFrames(FrameStream):
    """The frames of a remote renderer, asked for before the run and held as their files.

    Args:
        source: its table.
        beside: folder that relative paths begin in.
        count: number of frames.

    Raises:
        TrajectoryError, OSError: the trajectory cannot be read.
    """

    def __init__(self, source: RemoteSource, beside: Path, count: int) -> None:
        self.name = f"{source.host}:{source.image_port}"
        self._source, self._count = source, count
        track = read_track(source.trajectory, beside)
        self._poses = find_poses(track, source.rotation, source.sun, source.frames or count, None)
        self._images: list[bytes] = []

    def __len__(self) -> int:
        return self._count

    def prepare(self, tell: Tell) -> None:
        """Ask for all frames, one after the other.

        Raises:
            RemoteError: there is no renderer, it is too slow, or what it sends is no image.
        """
        size: tuple[int, int] | None = None
        with RemoteRenderer(self._source) as renderer:
            for number, pose in enumerate(self._poses):
                tell(f"remote renderer: frame {number + 1}/{len(self._poses)}")
                image = renderer.render(pose, number)
                pixels = decode_image(image, renderer.place(number))
                if size is not None and pixels.shape != size:
                    raise RemoteError(
                        f"{renderer.place(number)}: expected {size[1]} x {size[0]} pixels as before, "
                        f"got {pixels.shape[1]} x {pixels.shape[0]}"
                    )
                size = (pixels.shape[0], pixels.shape[1])
                self._images.append(image)

    def frame(self, index: int) -> Frame:
        stored = spread(index, self._count, len(self._images))
        pose, pixels = self._poses[stored], decode_image(self._images[stored], f"frame {stored}")
        geometry = {"range_km": pose.range_km, "sun_direction_camera": pose.sun_in_camera.tolist()}
        return Frame(pixels, 8 * pixels.itemsize, pose.time_s, geometry)


class RemoteRenderer:
    """A connection to a renderer; use it in a `with`.

    Args:
        source: where it is, and how long to wait for it.

    Raises:
        RemoteError: nobody listens there.
    """

    def __init__(self, source: RemoteSource) -> None:
        self._source = source
        self._place = f"source: remote renderer at {source.host}"
        try:
            self._images = socket.create_connection((source.host, source.image_port), source.connect_s)
        except OSError as error:
            reason = f"none within {source.connect_s:g} s" if isinstance(error, TimeoutError) else str(error)
            raise RemoteError(f"{self._place}: expected one at TCP port {source.image_port}, got {reason}") from error
        # To the host that answered: of several addresses of a name, another one may be another computer's.
        self._poses = socket.socket(self._images.family, socket.SOCK_DGRAM)
        self._address = (self._images.getpeername()[0], source.pose_port)

    def __enter__(self) -> RemoteRenderer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._images.close()
        self._poses.close()

    def place(self, number: int) -> str:
        """A frame, for messages."""
        return f"{self._place}: frame {number}"

    def render(self, pose: Pose, number: int) -> bytes:
        """Send a pose, and wait for its image. number: of the frame, for messages.

        Returns:
            The bytes of a file.

        Raises:
            RemoteError: it did not come in time, or not whole.
        """
        place = self.place(number)
        self._check_silence(place)
        try:
            self._poses.sendto(encode_pose(pose, self._source), self._address)
        except OSError as error:
            raise RemoteError(f"{place}: pose not sent: {error.strerror}") from error
        deadline = time.monotonic() + self._source.answer_s
        (length,) = _PREFIX.unpack(self._receive(place, "the image's length", _PREFIX.size, deadline))
        if not _HEAD_BYTES <= length <= _MOST_BYTES:
            raise RemoteError(f"{place}: expected an image of {_HEAD_BYTES}..{_MOST_BYTES} bytes, got {length}")
        return self._receive(place, "the image", length, deadline)

    def _check_silence(self, place: str) -> None:
        """What comes before it is asked for would be taken for the answer."""
        self._images.setblocking(False)
        with suppress(BlockingIOError, OSError):
            if self._images.recv(1, socket.MSG_PEEK):
                raise RemoteError(f"{place}: expected nothing before the pose, got bytes")

    def _receive(self, place: str, what: str, count: int, deadline: float) -> bytes:
        """Exactly so many bytes. Raises RemoteError."""
        data = bytearray()
        while len(data) < count:
            left = deadline - time.monotonic()
            try:
                if left <= 0.0:
                    raise TimeoutError
                self._images.settimeout(left)
                part = self._images.recv(min(count - len(data), 1 << 20))
            except TimeoutError:
                waited = f"{self._source.answer_s:g} s"
                raise RemoteError(
                    f"{place}: expected {what} within {waited}, got {len(data)} of {count} bytes"
                ) from None
            except OSError as error:
                raise RemoteError(f"{place}: expected {what}, got {error.strerror}") from error
            if not part:
                raise RemoteError(
                    f"{place}: expected {what}, got {len(data)} of {count} bytes and the end of the connection"
                )
            data += part
        return bytes(data)


def encode_pose(pose: Pose, source: RemoteSource) -> bytes:
    """A pose as the renderer takes it, in units of its scene."""
    x, y, z = pose.axes
    camera = to_quaternion(np.stack([x, -y, -z], axis=1))
    numbers = [*(source.sun_distance * pose.sun)]
    if source.sun_pose:
        numbers += [*_light_quaternion(pose.sun)]
    numbers += [*(pose.camera_km / source.km_per_unit), *camera]
    numbers += [0.0, 0.0, 0.0, *to_quaternion(pose.body_axes.T)]
    return struct.pack(f">{len(numbers)}d", *numbers)


def _light_quaternion(sun: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a light that shines from the sun: its z axis points there."""
    across = np.array([0.0, 0.0, 1.0]) if abs(sun[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    x = np.cross(across, sun)
    x /= np.linalg.norm(x)
    return to_quaternion(np.stack([x, np.cross(sun, x), sun], axis=1))


def decode_image(data: bytes, place: str) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The grey image of a PNG file, (H, W); of colours their mean by ITU-R BT.601.

    Args:
        data: the file.
        place: of the frame, for the message.

    Raises:
        RemoteError: it is none, or of a size that no camera has.
    """
    if not data.startswith(_PNG) or len(data) < _HEAD_BYTES:
        raise RemoteError(f"{place}: expected a PNG file, got {len(data)} bytes that begin with {data[:8]!r}")
    width, height = struct.unpack(">II", data[16:_HEAD_BYTES])
    if not (min(width, height) >= _LEAST_PIXELS and width * height <= _MOST_PIXELS):
        raise RemoteError(f"{place}: expected an image of a camera's size, got {width} x {height} pixels")
    decoded = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype not in (np.uint8, np.uint16):
        raise RemoteError(f"{place}: expected a PNG file, got {len(data)} bytes that cannot be decoded")
    if decoded.ndim == 3:
        decoded = cv2.cvtColor(decoded, cv2.COLOR_BGRA2GRAY if decoded.shape[2] == 4 else cv2.COLOR_BGR2GRAY)
    if decoded.dtype == np.uint8:
        return np.ascontiguousarray(decoded, dtype=np.uint8)
    return np.ascontiguousarray(decoded, dtype=np.uint16)


def open_remote(source: RemoteSource, beside: Path, count: int) -> FrameStream:
    """Open a remote renderer; see hil.sources.registry.open_frames."""
    return RemoteFrames(source, beside, count)
