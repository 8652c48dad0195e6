"""A frame's way through the service: from the frames socket to the products socket."""

from __future__ import annotations

import time
from dataclasses import replace

import zmq

from flight.icd.frames import FrameError
from flight.icd.limits import TOPIC_FULL, TOPIC_HAZARD, TOPIC_NAVIGATION
from flight.service.intake import Intake, PendingFrame
from flight.service.parameters import ParameterTable
from flight.service.protocol import FrameJob, MapsAnswer
from flight.service.publisher import Publisher, Work
from flight.service.rate_limit import RateLimit
from flight.service.serving_bundle import ServingBundle
from flight.service.state import State
from flight.service.statistics import Counters
from flight.settings import frame_seed

_MESSAGES_PER_TURN = 32


class FrameLine:
    """Takes frames in, makes jobs of them, and publishes what comes of each: maps, or that there are none.

    At most one frame waits and at most one is in flight; what is done with the worker is no business of this room.
    frames: the socket. base_seed: of the configuration.
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
        self._in_flight: Work | None = None

    @property
    def waiting(self) -> bool:
        """Whether a frame waits for the worker."""
        return self._intake.pending is not None

    @property
    def in_flight(self) -> bool:
        """Whether a frame is with the worker."""
        return self._in_flight is not None

    def take_frames(self) -> None:
        """Take in what the socket has, within a turn's share; the newest frame is kept."""
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
                self._events.send("frame_rejected", str(error), reason=error.reason)
                continue
            self._counters.count("frames_accepted")
            self._counters.count("frames_superseded", number=int(superseded))

    def next_job(self, number: int) -> FrameJob:
        """The waiting frame as a job, and with that in flight. number: the job's."""
        pending = self._intake.take()
        assert pending is not None
        self._in_flight = work = self._work_for(pending)
        header = pending.frame.header
        return FrameJob(
            job=number,
            height=header["height"],
            width=header["width"],
            channels=header["channels"],
            dtype=header["dtype"],
            bit_depth=header["bit_depth"],
            centered=header["centered"],
            seed=work.seed,
            settings=work.parameters.settings(),
            # The deadline counts from the frame's arrival; CLOCK_MONOTONIC is one clock for both processes.
            started=pending.received,
            topics=work.topics,
            pixels=pending.pixels,
        )

    def take_back(self) -> None:
        """The job could not be handed over: its frame waits again, as if it had never been in flight."""
        self._intake.put_back(self._end_flight().pending)

    def publish(self, answer: MapsAnswer) -> None:
        """Publish the maps of the frame in flight. Raises ProductError, with the frame still in flight."""
        assert self._in_flight is not None
        flags = ["bundle_damaged"] if self._state.files_damaged else []
        self._publisher.publish_maps(self._in_flight, answer, flags)
        self._end_flight()

    def publish_refusal(self, message: str) -> None:
        """The worker could not process the frame in flight: say so. message: its reason."""
        work = self._end_flight()
        self._events.send("worker_refused", message)
        self._publisher.publish_invalid(work, "frame_refused")

    def lose_worker(self, another: bool) -> None:
        """The worker is gone. another: whether a next one is to come, which gets the frame that was in flight.

        A frame is tried once more; one that costs two workers may be the cause.
        """
        if self._in_flight is None:
            return
        work = self._end_flight()
        lost = replace(work.pending, lost_workers=work.pending.lost_workers + 1)
        if not another:
            self._publisher.publish_invalid(work, "safe_state")
        elif lost.lost_workers > 1 or not self._intake.put_back(lost):
            self._publisher.publish_invalid(work, "worker_failed")

    def answer_without_worker(self) -> None:
        """In the safe state: say of the waiting frame that there is no map."""
        pending = self._intake.take()
        if pending is not None:
            self._publisher.publish_invalid(self._work_for(pending), "safe_state")

    def _work_for(self, pending: PendingFrame) -> Work:
        header, parameters = pending.frame.header, self._parameters.now
        seed = frame_seed(self._base_seed, header["source"], header["epoch"], header["frame_id"])
        topics = (TOPIC_NAVIGATION, TOPIC_HAZARD) + ((TOPIC_FULL,) if parameters.publish_full else ())
        return Work(pending, self._serving.bundle, parameters, seed, topics, time.monotonic())

    def _end_flight(self) -> Work:
        assert self._in_flight is not None
        work, self._in_flight = self._in_flight, None
        return work
