"""The camera's client: sends frames to the service, and learns what became of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq

from flight.client.connection import Connection
from flight.client.epochs import take_epoch
from flight.client.telemetry import TelemetryListener
from flight.icd.frames import Pixels, encode_frame
from flight.icd.limits import DEFAULT_ENDPOINTS, TOPIC_HOUSEKEEPING

# ZeroMQ's own commands are smaller.
_LARGEST_PART = 1024


@dataclass(frozen=True)
class CameraReport:
    """What the service said last about a camera's frames.

    Attributes:
        accepted: number of this sender's frames that it accepted; newer ones may have superseded some of them.
        rejected: number of those that it rejected, by reason (docs/icd.md).
        newest_epoch: the largest epoch that it has accepted of this source, None for none: above the sender's own,
            every frame of this sender is rejected.
    """

    accepted: int
    rejected: Mapping[str, int]
    newest_epoch: int | None


class FrameSender(Connection):
    """Sends frames of one camera to the service. The frame_id counts up from 0 by itself.

    Args:
        endpoint: the service's frames socket.
        source: name of the camera, at most 32 bytes of UTF-8.
        epoch: boot count of the camera, larger at every start. By default seconds since 1970, or more where an
            earlier start on this computer had as many: the epochs used are recorded, see flight.client.epochs, so that
            a clock that goes back does no harm.
        keys: see Connection.
        telemetry: the service's telemetry socket, to learn from it what became of the frames; keys need the client role
            consumer, too. If the service knows a newer epoch of this source when the first frames come, an epoch that
            was not given is raised above it. None to do without.

    Attributes:
        epoch: that the next frame gets.

    Raises:
        EndpointError, KeyFileError, OSError: see Connection.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINTS["frames"],
        source: str = "camera",
        epoch: int | None = None,
        keys: Path | None = None,
        telemetry: str | None = None,
    ) -> None:
        self.source = source
        # IMMEDIATE: without a service, `send` waits; frames do not queue up to arrive late.
        # Nothing is to come back on this socket.
        options: dict[int, int] = {zmq.SNDHWM: 2, zmq.RCVHWM: 1, zmq.IMMEDIATE: 1, zmq.LINGER: 1000}
        super().__init__(zmq.PUSH, endpoint, options, _LARGEST_PART, keys)
        self._telemetry: TelemetryListener | None = None
        try:
            if telemetry is not None:
                self._telemetry = TelemetryListener(telemetry, [TOPIC_HOUSEKEEPING], keys)
            self._may_raise = epoch is None
            self.epoch = take_epoch(source) if epoch is None else epoch
        except BaseException:
            self.close()
            raise
        # Those whose frames are this sender's.
        self._epochs: set[int] = set()
        self._report: CameraReport | None = None
        self.next_frame_id = 0

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
            ConnectionClosed: close() was called, before or meanwhile.
            ForkError: in a child that was forked after opening.
        """
        if self._telemetry is not None:
            self.report()
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
        with self._using():
            if not self._send_in_time(parts, timeout_s):
                raise TimeoutError(
                    f"frames socket: no service took frame {frame_id} within {timeout_s:g} s at {self.endpoint}"
                )
        self._epochs.add(self.epoch)
        self.next_frame_id += 1
        return frame_id

    def report(self, timeout_s: float = 0.0) -> CameraReport | None:
        """What has become of the frames, as the service tells it every second.

        Args:
            timeout_s: how long to wait for the next message of the service; 0 takes what has come.

        Returns:
            The newest; None before any came, or from a service that does not tell it.

        Raises:
            ValueError: the sender was opened without `telemetry`.
            ConnectionClosed, ForkError: see send.
        """
        self._check_usable()
        if self._telemetry is None:
            raise ValueError("report: expected a sender with a telemetry endpoint, got one without")
        received = self._telemetry.receive(timeout_s)
        newest = received
        while received is not None:
            newest, received = received, self._telemetry.receive(0.0)
        if newest is not None and "cameras" in newest[1]:
            self._take_in([entry for entry in newest[1]["cameras"] if entry["source"] == self.source])
        return self._report

    def close(self) -> None:
        """Close the sender, and wake who waits in send(), who gets ConnectionClosed; see Connection.close."""
        if self._telemetry is not None:
            self._telemetry.close()
        super().close()

    def _take_in(self, entries: list[dict[str, Any]]) -> None:
        """Take in what housekeeping says of this source."""
        rejected: Counter[str] = Counter()
        accepted, newest = 0, None
        for entry in entries:
            if entry["newest_epoch"] is not None:
                newest = max(newest or 0, entry["newest_epoch"])
            if entry["epoch"] in self._epochs:
                accepted += entry["accepted"]
                rejected.update({str(why): number for why, number in entry["rejected"].items() if type(number) is int})
        self._report = CameraReport(accepted, dict(rejected), newest)
        # One that was accepted before has met another camera of its name, and must not take turns with it.
        if self._may_raise and accepted == 0 and newest is not None and newest >= self.epoch:
            self.epoch = take_epoch(self.source, newest + 1)
