"""A worker beside the serving one: warmed up over a bundle, then taken in its place, or dropped."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import zmq

from flight.bundle import Bundle
from flight.service.commands import CommandError
from flight.service.supervision import Worker


class CandidateSlot:
    """Room for one candidate.

    new_worker: makes one. judge: whether the self-test that a fresh worker's first message tells of, over the given
    bundle, gave the known answer.
    """

    def __init__(self, new_worker: Callable[[], Worker], judge: Callable[[Bundle, dict[str, Any]], bool]) -> None:
        self._new_worker = new_worker
        self._judge = judge
        self._worker: Worker | None = None

    @property
    def free(self) -> bool:
        """Whether there is no candidate."""
        return self._worker is None

    def warm_up(self, folder: Path, bundle: Bundle) -> Generator[None, None, float]:
        """Start a candidate over the bundle in `folder`, and wait until it has passed its self-test.

        Returns the fraction of pixels as the bundle records them. Raises CommandError when it did not pass; there is
        then no candidate.
        """
        while self._worker is not None:
            yield
        self._worker = worker = self._new_worker()
        try:
            worker.start(folder)
            while (message := _first_word(worker)) is None:
                yield
        except (OSError, zmq.ZMQError) as error:
            message = {"type": "lost", "message": f"no worker could be started: {error}"}
        problem = ""
        if message["type"] != "ready":
            problem = message["message"]
        elif message["sha256"] != bundle.sha256:
            problem = "the bundle changed while it was loaded"
        elif not self._judge(bundle, message):
            problem = "the self-test's answer was not the known one"
        if problem:
            self.drop()
            raise CommandError("not_valid", problem)
        return float(message["agreement"])

    def take(self) -> Worker:
        """The candidate, which then serves."""
        assert self._worker is not None
        worker, self._worker = self._worker, None
        return worker

    def drop(self) -> None:
        """End the candidate, if there is one."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


def _first_word(worker: Worker) -> dict[str, Any] | None:
    """What a starting worker says: that it is ready, or that it refuses; or that it was lost. None: nothing yet."""
    received = worker.receive()
    if received is not None:
        return received[0]
    problem = worker.problem(time.monotonic())
    return None if problem is None else {"type": "lost", "message": problem[1]}
