"""Sends the frames of a recording to a service again, and compares what comes back with what was recorded."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

from flight.client import ConnectionClosed, Subscriber, TelemetryListener
from flight.client.epochs import take_epoch
from flight.icd.frame_message import FrameError, check_frame
from flight.icd.limits import PRODUCT_TOPICS, TOPIC_HOUSEKEEPING
from flight.icd.packing import pack_map
from hil.recording.channels import RecordedMessage
from hil.recording.comparison import Comparison
from hil.recording.connections import WireConnection
from hil.recording.reader import RecordingReader

# Housekeeping comes every second.
_HOUSEKEEPING_S = 1.5
# How long a frame's answer may take, with a worker that has to start again meanwhile; and how long none may come before
# those that are missing are given up.
_ANSWER_S = 30.0
_IDLE_S = 10.0
_ASK_S = 0.5
_SEND_S = 30.0
# A subscription takes a moment to reach the publisher.
_SUBSCRIPTION_S = 0.5
_PRODUCT_QUEUE = 1000
# As a camera's client has them: without a service, sending waits.
_CAMERA_OPTIONS: dict[int, int] = {zmq.SNDHWM: 2, zmq.RCVHWM: 1, zmq.IMMEDIATE: 1, zmq.LINGER: 1000}


@dataclass(frozen=True)
class Endpoints:
    """Sockets of the service that frames are sent to. keys: see Connection."""

    frames: str
    products: str
    telemetry: str
    keys: Path | None = None


@dataclass
class Replay:
    """How a replay went.

    Attributes:
        recorded: number of frames in the recording.
        sent: number of frames.
        left_out: frames that were not sent, as they are none of the ICD and would have needed a new epoch.
        rejected: frames that the service rejected meanwhile, by reason; None if it did not tell.
        ending: of the recording, see RecordingReader.
        comparison: of the products.
    """

    recorded: int = 0
    sent: int = 0
    left_out: int = 0
    rejected: Counter[str] | None = None
    ending: str = ""
    comparison: Comparison = field(default_factory=Comparison)


class _Ledger:
    """What the service says of the frames that have come since the replay began."""

    def __init__(self, telemetry: TelemetryListener) -> None:
        self._telemetry = telemetry
        self.first = self._newest = self._receive(_HOUSEKEEPING_S)

    def _receive(self, timeout_s: float) -> dict[str, Any] | None:
        """The newest housekeeping; None if none came in time."""
        newest, received = None, self._telemetry.receive(timeout_s)
        while received is not None:
            newest, received = received[1], self._telemetry.receive(0.0)
        return newest

    def is_settled(self, sent: int) -> bool:
        """Whether the service has done with as many frames, by what it has said so far."""
        self._newest = self._receive(0.0) or self._newest
        received, processed, superseded = (
            self._count(name) for name in ("frames_received", "frames_processed", "frames_superseded")
        )
        rejected = self.rejected
        return rejected is not None and sent <= received <= processed + superseded + rejected.total()

    def _count(self, name: str) -> int:
        if self.first is None or self._newest is None:
            return 0
        return int(self._newest["counters"][name] - self.first["counters"][name])

    @property
    def rejected(self) -> Counter[str] | None:
        """Frames that it has rejected, by reason; None if it does not tell."""
        if self.first is None or self._newest is None:
            return None
        return Counter(self._newest["counters"]["frames_rejected"]) - Counter(self.first["counters"]["frames_rejected"])

    def wait(self) -> None:
        """Wait for housekeeping that is newer than all answers."""
        self._newest = self._receive(_HOUSEKEEPING_S) or self._newest


class _Answers:
    """Compares products as they come, in a thread."""

    def __init__(self, subscriber: Subscriber, comparison: Comparison) -> None:
        self._subscriber = subscriber
        self._comparison = comparison
        self._answered: set[tuple[str, int, int]] = set()
        self._changed = threading.Condition()
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        try:
            while True:
                product = self._subscriber.receive()
                if product is None:
                    continue
                with self._changed:
                    self._comparison.compare(product)
                    self._answered.add(product.frame_key)
                    self._last = time.monotonic()
                    self._changed.notify_all()
        except ConnectionClosed:
            return

    def wait_for(self, frame: tuple[str, int, int], settled: Callable[[], bool]) -> None:
        """Wait until a product of a frame has come, at most as long as a service may need; see wait_for_all."""
        deadline = time.monotonic() + _ANSWER_S
        with self._changed:
            while not self._changed.wait_for(lambda: frame in self._answered, _ASK_S):
                if settled() or time.monotonic() >= deadline:
                    return

    def wait_for_all(self, settled: Callable[[], bool]) -> None:
        """Wait until every recorded product has its counterpart, no more are to come, or none has come for long.

        Args:
            settled: whether the service has done with all frames; asked again and again.
        """
        with self._changed:
            self._last = time.monotonic()
        while not settled():
            with self._changed:
                left = self._last + _IDLE_S - time.monotonic()
                if not self._comparison.missing or left <= 0.0:
                    return
                self._changed.wait(min(left, _ASK_S))
        with self._changed:  # what was published before the service said so may still be on its way
            self._changed.wait_for(lambda: not self._comparison.missing, _ASK_S)

    def join(self) -> None:
        """Wait for the end of the thread, after the subscriber was closed."""
        self._thread.join()


def play(
    path: Path,
    endpoints: Endpoints,
    *,
    speed: float = 1.0,
    step: bool = False,
    new_epoch: bool = False,
    after_frame: Callable[[int], None] = lambda sent: None,
) -> Replay:
    """Send the frames of a recording to a service, as they were received: with their headers, in their order.

    Products are bit-identical to the recorded ones if bundle, parameters and base seed are the same, no deadline cut
    passes short, and the service has no newer frame of these cameras: one that was started for it, say.

    Args:
        path: of the recording.
        endpoints: of the service.
        speed: 1 for the recorded times between frames, 2 for half of them.
        step: in place of `speed`: send a frame when the one before is answered.
        new_epoch: send them as frames of cameras that have started again, for a service that had newer ones. Products
            have other seeds then.
        after_frame: called with the number of frames sent.

    Returns:
        How it went.

    Raises:
        RecordingError, OSError: see RecordingReader.
        ValueError: there are no frames in the recording.
        TimeoutError: no service takes the frames.
        EndpointError, KeyFileError: see Connection.
    """
    replay = Replay()
    reader = RecordingReader(path)
    epochs = _read_expectations(reader, new_epoch, replay)
    if not replay.recorded:
        raise ValueError(f"{path}: expected frames to send, got a recording without any")
    keys = endpoints.keys
    with (
        WireConnection(zmq.PUSH, endpoints.frames, _CAMERA_OPTIONS, 1024, keys) as camera,
        TelemetryListener(endpoints.telemetry, [TOPIC_HOUSEKEEPING], keys) as telemetry,
        Subscriber(endpoints.products, PRODUCT_TOPICS, newest=False, queue=_PRODUCT_QUEUE, keys=keys) as subscriber,
    ):
        answers, ledger = _Answers(subscriber, replay.comparison), _Ledger(telemetry)
        try:
            if ledger.first is None:
                time.sleep(_SUBSCRIPTION_S)
            else:
                replay.comparison.compare_parameters(ledger.first)
            pace = _Pace(speed, step, answers, ledger)
            for message in reader.messages({"frame"}):
                _send(message, camera, epochs if new_epoch else None, pace, replay)
                after_frame(replay.sent)
            answers.wait_for_all(lambda: ledger.is_settled(replay.sent))
            ledger.wait()
            replay.rejected = ledger.rejected
        finally:
            subscriber.close()
            answers.join()
    return replay


class _Pace:
    """When the next frame is due."""

    def __init__(self, speed: float, step: bool, answers: _Answers, ledger: _Ledger) -> None:
        self._speed = speed
        self._step = step
        self._answers = answers
        self._ledger = ledger
        self._began: tuple[float, int] | None = None

    def wait(self, message: RecordedMessage) -> None:
        """Wait until a frame is due."""
        if self._began is None:
            self._began = (time.monotonic(), message.time_ns)
        if not self._step:
            due = self._began[0] + (message.time_ns - self._began[1]) / 1e9 / self._speed
            time.sleep(max(due - time.monotonic(), 0.0))

    def finish(self, frame: tuple[str, int, int] | None, sent: int) -> None:
        """Wait until the frame that was sent last is answered, if that is asked for.

        Args:
            frame: None for one that no service answers.
            sent: number of frames.
        """
        if self._step and frame is not None:
            self._answers.wait_for(frame, lambda: self._ledger.is_settled(sent))


def _read_expectations(reader: RecordingReader, new_epoch: bool, replay: Replay) -> dict[tuple[str, int], int]:
    """Read what there is to compare with; returns the new epoch of each source and recorded epoch, if one is wanted."""
    epochs: dict[tuple[str, int], int] = {}
    for message in reader.messages({"frame", "product", "telemetry"}):
        replay.recorded += message.kind == "frame"
        if message.kind == "frame" and new_epoch:
            _take_new_epoch(message, epochs)
        replay.comparison.expect(message, epochs)
    replay.ending = reader.ending
    return epochs


def _send(
    message: RecordedMessage,
    camera: WireConnection,
    epochs: dict[tuple[str, int], int] | None,
    pace: _Pace,
    replay: Replay,
) -> None:
    """Send a recorded frame when it is due. epochs: under which it is sent; None for its own."""
    parts, frame = list(message.parts), None
    try:
        header = check_frame(parts).header
    except FrameError:
        if epochs is not None or not parts:
            replay.left_out += 1
            return
    else:
        if epochs is not None:
            header = {**header, "epoch": epochs[header["source"], header["epoch"]]}
            parts[0] = pack_map(header)
        frame = (header["source"], header["epoch"], header["frame_id"])
    pace.wait(message)
    camera.send(parts, _SEND_S)
    replay.sent += 1
    pace.finish(frame, replay.sent)


def _take_new_epoch(message: RecordedMessage, epochs: dict[tuple[str, int], int]) -> None:
    """Give the camera of a recorded frame another epoch, if it has none yet."""
    try:
        header = check_frame(message.parts).header
    except FrameError:
        return
    camera = (header["source"], header["epoch"])
    if camera not in epochs:
        epochs[camera] = take_epoch(header["source"])
