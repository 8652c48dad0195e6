"""Tests a second worker over a bundle beside the serving worker, which it then replaces, or not."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import zmq

from flight.bundle import Bundle
from flight.service.commands import CommandError
from flight.service.protocol import ProtocolError, Ready, StartFailed
from flight.service.self_tests import SelfTests
from flight.service.supervision import Worker


class CandidateSlot:
    """Holds at most one candidate worker.

    Args:
        make_worker: makes a worker that is not started.
        self_tests: decides whether its self-test passed.
    """

    def __init__(self, make_worker: Callable[[], Worker], self_tests: SelfTests) -> None:
        self._make_worker = make_worker
        self._self_tests = self_tests
        self._worker: Worker | None = None

    @property
    def free(self) -> bool:
        """Whether there is no candidate."""
        return self._worker is None

    def warm_up(self, folder: Path, bundle: Bundle) -> Generator[None, None, float]:
        """Start a candidate over a bundle, and wait until it has passed its self-test.

        Args:
            folder: from which it loads the bundle.
            bundle: what must be in that folder.

        Returns:
            The fraction of the self-test's pixels with the recorded class, 0..1.

        Raises:
            CommandError: it did not pass; there is no candidate then.
        """
        while self._worker is not None:
            yield
        try:
            self._worker = worker = self._make_worker()
            worker.start(folder, bundle.sha256, "auto", full_test=True)
            while (answer := _receive_first_answer(worker)) is None:
                yield
        except (OSError, zmq.ZMQError) as error:
            answer = f"no worker could be started: {error}"
        except ProtocolError as error:
            answer = f"{type(error).__name__}: {error}"
        if isinstance(answer, Ready) and not self._self_tests.check_answer(bundle, answer):
            answer = "self-test digest differs from the reference"
        if isinstance(answer, str):
            self.drop()
            raise CommandError("not_valid", answer)
        return float(answer.agreement)

    def take(self) -> Worker:
        """Take the candidate out, to serve."""
        assert self._worker is not None
        worker, self._worker = self._worker, None
        return worker

    def drop(self) -> None:
        """End the candidate, if there is one."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


def _receive_first_answer(worker: Worker) -> Ready | str | None:
    """Receive a starting worker's first answer.

    Returns:
        The answer, or why the worker cannot be used, or None if nothing has come yet.

    Raises:
        ProtocolError: the answer breaks the protocol.
    """
    answer = worker.receive()
    if isinstance(answer, Ready):
        return answer
    if isinstance(answer, StartFailed):
        return answer.message
    problem = worker.find_problem()
    return None if problem is None else problem.message
