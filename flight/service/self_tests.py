"""The worker's self-tests: when one is due, and whether its answer is the known one, bit by bit."""

from __future__ import annotations

import time
from typing import Any

from flight.bundle import Bundle
from flight.service.events import EventSink
from flight.service.parameters import ParameterTable
from flight.service.protocol import Ready, SelfTestAnswer
from flight.service.record import RecordStore
from flight.service.statistics import Counters

# Of the bundles and environments seen last; the record has room for more than this.
_REFERENCES_KEPT = 100


class SelfTests:
    """References by bundle and environment, and the count towards the next test.

    passed: of the last test, None before the first. time_ns: when that was. requested: whether one is to be made
    whatever the count says.
    """

    def __init__(self, records: RecordStore, parameters: ParameterTable, events: EventSink, counters: Counters) -> None:
        self._records = records
        self._parameters = parameters
        self._events = events
        self._counters = counters
        self._references = dict(records.record.references)
        self._suspect: tuple[str, str] | None = None
        self._frames_since = 0
        self.passed: bool | None = None
        self.time_ns = 0
        self.requested = False

    def due(self, idle: bool) -> bool:
        """Whether to test now: on request; after an interval of frames when idle, after two of them in any case."""
        interval = self._parameters.now.self_test_interval
        waited = interval > 0 and self._frames_since >= (interval if idle else 2 * interval)
        return self.requested or waited

    def request(self) -> None:
        """Let a test be due."""
        self.requested = True

    def withdraw(self) -> None:
        """Take a request back."""
        self.requested = False

    def count_frame(self) -> None:
        """A frame was answered."""
        self._frames_since += 1

    def judge(self, bundle: Bundle, answer: Ready | SelfTestAnswer) -> bool:
        """Whether a worker's self-test over a bundle gave the known answer.

        The first answer becomes the known one; so does one that two fresh workers in a row gave. A Ready comes from
        a fresh worker, which has just loaded verified files.
        """
        fresh = isinstance(answer, Ready)
        if not fresh:
            self.requested = False
        self._end()
        key, digest = f"{bundle.sha256} {answer.environment}", answer.digest
        verdict = self._verdict(key, digest, fresh)
        self.passed = verdict != "failed"
        if not self.passed:
            self._counters.count("self_tests_failed")
            return False
        self._counters.count("self_tests_passed")
        if verdict != "passed":
            event = "self_test_reference_set" if verdict == "set" else "self_test_reference_replaced"
            self._events.send(event, f"{digest[:16]}... of bundle {key[:16]}...")
            self._records.note(references=dict(self._references))
        return True

    def fail(self) -> None:
        """A test gave no answer to compare."""
        self.requested = False
        self._end()
        self.passed = False
        self._counters.count("self_tests_failed")

    def status(self) -> dict[str, Any] | None:
        """The last test, as in housekeeping; None before the first."""
        return None if self.passed is None else {"time_ns": self.time_ns, "passed": self.passed}

    def _end(self) -> None:
        self.time_ns, self._frames_since = time.time_ns(), 0

    def _verdict(self, key: str, digest: str, fresh: bool) -> str:
        """ "passed"; "set" when there was no reference yet; "replaced" when the fresh worker before gave this same
        answer, so that the reference must be what is wrong; "failed" otherwise."""
        known = self._references.get(key)
        verdict = "passed"
        if known is None and fresh:
            verdict = "set"
        elif known != digest:
            verdict = "replaced" if fresh and self._suspect == (key, digest) else "failed"
        if fresh:
            self._suspect = (key, digest) if verdict == "failed" else None
        if verdict in ("set", "replaced"):
            self._references[key] = digest
        if key in self._references:
            # The latest used last: the oldest is the one to forget.
            self._references[key] = self._references.pop(key)
        while len(self._references) > _REFERENCES_KEPT:
            del self._references[next(iter(self._references))]
        return verdict
