"""The camera's client: sends frames to the service."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import zmq

from flight.client.connection import Connection
from flight.icd.frames import Pixels, encode_frame
from flight.icd.limits import DEFAULT_ENDPOINTS

# ZeroMQ's own commands are smaller.
_LARGEST_PART = 1024


class FrameSender(Connection):
    """Sends frames of one camera to the service. The frame_id counts up from 0 by itself.

    Args:
        endpoint: the service's frames socket.
        source: name of the camera, at most 32 bytes of UTF-8.
        epoch: boot count of the camera; the default, seconds since 1970, is larger at every start.
        keys: see Connection.

    Raises:
        KeyFileError: see Connection.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINTS["frames"],
        source: str = "camera",
        epoch: int | None = None,
        keys: Path | None = None,
    ) -> None:
        self.source = source
        self.epoch = int(time.time()) if epoch is None else epoch
        self.next_frame_id = 0
        # IMMEDIATE: without a service, `send` waits; frames do not queue up to arrive late.
        # Nothing is to come back on this socket.
        options: dict[int, int] = {zmq.SNDHWM: 2, zmq.RCVHWM: 1, zmq.IMMEDIATE: 1, zmq.LINGER: 1000}
        super().__init__(zmq.PUSH, endpoint, options, _LARGEST_PART, keys)

    def send(
        self,
        pixels: Pixels,
        *,
        centered: bool = False,
        bit_depth: int | None = None,
        capture_time_ns: int | None = None,
        timeout_s: float = 5.0,
        **optional: Any,
    ) -> int:
        """Send one frame.

        Args:
            pixels: (H, W) or (H, W, 3), uint8 or uint16.
            centered: the body is in the middle of the frame: take the whole frame.
            bit_depth: bits per channel in use; by default those of the dtype.
            capture_time_ns: nanoseconds since 1970; by default now.
            timeout_s: how long to wait for the service to take the frame.
            optional: header fields exposure_s, range_km, sun_direction_camera.

        Returns:
            The frame_id of the frame.

        Raises:
            TimeoutError: the service did not take the frame in time.
            ValueError: the frame is not one that the ICD allows.
        """
        frame_id = self.next_frame_id
        parts = encode_frame(
            pixels,
            source=self.source,
            epoch=self.epoch,
            frame_id=frame_id,
            capture_time_ns=time.time_ns() if capture_time_ns is None else capture_time_ns,
            centered=centered,
            bit_depth=bit_depth,
            **optional,
        )
        if not self._send_in_time(parts, timeout_s):
            raise TimeoutError(f"frames socket: no service took frame {frame_id} within {timeout_s:g} s")
        self.next_frame_id += 1
        return frame_id
