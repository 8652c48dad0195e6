"""A worker beside the serving one: warmed up over a bundle, then taken in its place, or dropped."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from pathlib import Path

import zmq

from flight.bundle import Bundle
from flight.service.commands import CommandError
from flight.service.protocol import ProtocolError, Ready, Refused
from flight.service.self_tests import SelfTests
from flight.service.supervision import Worker


class CandidateSlot:
    """Room for one candidate. new_worker: makes one."""

    def __init__(self, new_worker: Callable[[], Worker], self_tests: SelfTests) -> None:
        self._new_worker = new_worker
        self._self_tests = self_tests
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
        try:
            self._worker = worker = self._new_worker()
            worker.start(folder)
            while (answer := _first_answer(worker)) is None:
                yield
        except (OSError, zmq.ZMQError) as error:
            answer = f"no worker could be started: {error}"
        except ProtocolError as error:
            answer = f"{type(error).__name__}: {error}"
        if isinstance(answer, Ready):
            if answer.sha256 != bundle.sha256:
                answer = "the bundle changed while it was loaded"
            elif not self._self_tests.judge(bundle, answer):
                answer = "the self-test's answer was not the known one"
        if isinstance(answer, str):
            self.drop()
            raise CommandError("not_valid", answer)
        return float(answer.agreement)

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


def _first_answer(worker: Worker) -> Ready | str | None:
    """A starting worker's first answer, or why there will be none that is of use; None: nothing yet.

    Raises ProtocolError.
    """
    answer = worker.receive()
    if isinstance(answer, Ready):
        return answer
    if isinstance(answer, Refused):
        return answer.message
    problem = worker.problem(time.monotonic())
    return None if problem is None else problem[1]
