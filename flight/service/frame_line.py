"""Takes a frame from the frames socket to the worker, and its maps to the products socket."""

from __future__ import annotations

import time
import zlib
from dataclasses import replace

import zmq

from flight.icd.frame_message import FrameError
from flight.icd.limits import TOPIC_FULL, TOPIC_HAZARD, TOPIC_NAVIGATION
from flight.service.cameras import CameraCounts
from flight.service.intake import Intake, PendingFrame
from flight.service.parameters import ParameterTable
from flight.service.protocol import FrameJob, MapsAnswer
from flight.service.publisher import OpenJob, Publisher
from flight.service.rate_limit import RateLimit
from flight.service.serving_bundle import ServingBundle
from flight.service.state import State
from flight.service.statistics import Counters
from flight.settings import frame_seed

_MESSAGES_PER_TURN = 32


class FrameLine:
    """Receives frames, makes jobs of them, and publishes the maps, or that there are none.

    At most one frame of each source waits, and at most one is with the worker. Whether the worker is replaced is
    decided elsewhere.
    """

    def __init__(
        self,
        frames: zmq.Socket[bytes],
        rate_limit: RateLimit,
        base_seed: int,
        publisher: Publisher,
        serving: ServingBundle,
        parameters: ParameterTable,
        state: State,
        counters: Counters,
    ) -> None:
        """Start without a frame.

        Args:
            frames: the socket.
            base_seed: `inference.base_seed` of the configuration.
        """
        self._frames = frames
        self._rate_limit = rate_limit
        self._base_seed = base_seed
        self._publisher = publisher
        self._serving = serving
        self._parameters = parameters
        self._state = state
        self._events = state.events
        self._counters = counters
        self._intake = Intake()
        self._in_flight: OpenJob | None = None

    @property
    def waiting(self) -> bool:
        """Whether a frame waits for the worker."""
        return self._intake.waiting

    @property
    def in_flight(self) -> bool:
        """Whether a frame is with the worker."""
        return self._in_flight is not None

    @property
    def cameras(self) -> CameraCounts:
        """What became of each camera's frames."""
        return self._intake.cameras

    def take_frames(self) -> None:
        """Receive the frames that wait in the socket, at most so many as one turn may take; keep the newest."""
        for _ in range(_MESSAGES_PER_TURN):
            try:
                parts = self._frames.recv_multipart(flags=zmq.NOBLOCK)
            except zmq.Again:
                return
            self._counters.count("frames_received")
            try:
                if not self._rate_limit.take():
                    limit = self._rate_limit.per_second
                    raise FrameError("rate_limited", f"frame: expected at most {limit:g} frames per second, got more")
                superseded = self._intake.accept(parts)
            except FrameError as error:
                self._counters.count("frames_rejected", error.reason)
                self._events.send("frame_rejected", reason=error.reason, problem=str(error))
                continue
            self._counters.count("frames_accepted")
            self._counters.count("frames_superseded", number=int(superseded))

    def next_job(self, number: int) -> FrameJob:
        """Make a job of the waiting frame, which is in flight then. number: the job's."""
        pending = self._intake.take()
        assert pending is not None
        self._in_flight = job = self._open_job(pending)
        header = pending.frame.header
        return FrameJob(
            job=number,
            height=header["height"],
            width=header["width"],
            channels=header["channels"],
            dtype=header["dtype"],
            bit_depth=header["bit_depth"],
            centered=header["centered"],
            seed=job.seed,
            settings=job.parameters.settings(),
            # The deadline counts from the frame's arrival; CLOCK_MONOTONIC is one clock for both processes.
            started=pending.received,
            topics=job.topics,
            crc32=header["crc32"] if "crc32" in header else zlib.crc32(pending.pixels),
            pixels=pending.pixels,
        )

    def requeue_frame(self) -> None:
        """Let the frame in flight wait again: its job could not be sent."""
        self._intake.requeue(self._close_job().pending)

    def publish_maps(self, answer: MapsAnswer) -> None:
        """Publish the maps of the frame in flight.

        Raises:
            ProductError: the answer makes no valid product; the frame is still in flight.
        """
        assert self._in_flight is not None
        flags = ["bundle_damaged"] if self._state.files_damaged else []
        self._publisher.publish_maps(self._in_flight, answer, flags)
        self._close_job()

    def publish_failure(self, message: str) -> None:
        """Publish that the worker could not process the frame in flight. message: the worker's reason."""
        job = self._close_job()
        self._events.send("worker_refused", problem=message)
        self._publisher.publish_invalid(job, "frame_refused")

    def handle_worker_loss(self, restarting: bool) -> None:
        """Decide what becomes of the frame in flight when the worker is lost.

        The next worker gets it once; a frame that costs two workers may be the cause.

        Args:
            restarting: whether there will be a next worker.
        """
        if self._in_flight is None:
            return
        job = self._close_job()
        lost = replace(job.pending, lost_workers=job.pending.lost_workers + 1)
        if not restarting:
            self._publisher.publish_invalid(job, "safe_state")
        elif lost.lost_workers > 1 or not self._intake.requeue(lost):
            self._publisher.publish_invalid(job, "worker_failed")

    def answer_without_worker(self) -> None:
        """Publish that there is no map for the waiting frames, in the safe state."""
        while (pending := self._intake.take()) is not None:
            self._publisher.publish_invalid(self._open_job(pending), "safe_state")

    def _open_job(self, pending: PendingFrame) -> OpenJob:
        header, parameters = pending.frame.header, self._parameters.current
        seed = frame_seed(self._base_seed, header["source"], header["epoch"], header["frame_id"])
        topics = (TOPIC_NAVIGATION, TOPIC_HAZARD) + ((TOPIC_FULL,) if parameters.publish_full else ())
        return OpenJob(pending, self._serving.bundle, parameters, seed, topics, time.monotonic())

    def _close_job(self) -> OpenJob:
        assert self._in_flight is not None
        job, self._in_flight = self._in_flight, None
        return job
