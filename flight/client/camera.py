"""The camera side: sending frames."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import zmq

from flight.client.connection import Connection
from flight.icd.frames import Pixels, encode_frame
from flight.icd.limits import DEFAULT_ENDPOINTS


class FrameSender(Connection):
    """Sends frames of one camera to the service.

    source: the camera's name. epoch: its boot count; the default, seconds since 1970, rises with every start. keys: see
    Connection.
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
        # IMMEDIATE: frames wait for a service to be there, not in a queue from which it would get them late.
        super().__init__(zmq.PUSH, endpoint, {zmq.SNDHWM: 2, zmq.IMMEDIATE: 1, zmq.LINGER: 1000}, keys)

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
        """Send one frame; returns its frame_id.

        pixels: (H, W) or (H, W, 3), uint8 or uint16. centered: the body is in the middle and the frame is to be
        taken whole. optional: exposure_s, range_km, sun_direction_camera. Raises TimeoutError when the service
        does not take it in time, ValueError for a frame that breaks the contract.
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
        if not self._hand_over(parts, timeout_s):
            raise TimeoutError(f"frames socket: no service took frame {frame_id} within {timeout_s:g} s")
        self.next_frame_id += 1
        return frame_id
