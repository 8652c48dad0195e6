"""Decides when the worker's self-test is due, and whether the digest of its answer is the reference."""

from __future__ import annotations

import time
from typing import Any

from flight.bundle import Bundle
from flight.service.events import EventSink
from flight.service.parameters import ParameterTable
from flight.service.protocol import Ready, SelfTestAnswer
from flight.service.record_writer import RecordWriter
from flight.service.statistics import Counters

# Of the latest bundles and environments; a record can hold more than this.
_REFERENCES_KEPT = 100


class SelfTests:
    """Keeps the reference digests by bundle and environment, and counts frames up to the next test.

    Attributes:
        passed: whether the last test passed, None before the first.
        time_ns: when that was, spacecraft clock.
        requested: whether a test is due because of a command.
    """

    def __init__(
        self, records: RecordWriter, parameters: ParameterTable, events: EventSink, counters: Counters
    ) -> None:
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

    def is_due(self, idle: bool) -> bool:
        """Whether to test now.

        Args:
            idle: no frame waits. A requested test is due at any time; one after so many frames only when idle, and
                after twice as many in any case.
        """
        interval = self._parameters.current.self_test_interval
        waited = interval > 0 and self._frames_since >= (interval if idle else 2 * interval)
        return self.requested or waited

    def request(self) -> None:
        """Request a test."""
        self.requested = True

    def withdraw_request(self) -> None:
        """Withdraw the request."""
        self.requested = False

    def count_frame(self) -> None:
        """Count a frame that was answered."""
        self._frames_since += 1

    def check_answer(self, bundle: Bundle, answer: Ready | SelfTestAnswer) -> bool:
        """Check whether the digest of a worker's self-test is the reference, and record a new reference.

        The first digest becomes the reference, and so does one that two fresh workers in a row gave; never one of a
        worker that has another bundle loaded.

        Args:
            bundle: that the worker must have loaded.
            answer: a Ready comes from a fresh worker, which has just loaded verified files.
        """
        fresh = isinstance(answer, Ready)
        if not fresh:
            self.requested = False
        self._restart_count()
        key, digest = f"{bundle.sha256} {answer.environment}", answer.digest
        verdict = self._compare_digest(key, digest, fresh) if answer.sha256 == bundle.sha256 else "failed"
        self.passed = verdict != "failed"
        if not self.passed:
            self._counters.count("self_tests_failed")
            return False
        self._counters.count("self_tests_passed")
        if verdict != "passed":
            if verdict == "set":
                self._events.send("self_test_reference_set", digest=digest, sha256=bundle.sha256)
            else:
                self._events.send("self_test_reference_replaced", digest=digest, sha256=bundle.sha256)
            self._records.note(references=dict(self._references))
        return True

    def note_failure(self) -> None:
        """Count a test that gave no answer to compare."""
        self.requested = False
        self._restart_count()
        self.passed = False
        self._counters.count("self_tests_failed")

    def status(self) -> dict[str, Any] | None:
        """The last test as in housekeeping; None before the first."""
        return None if self.passed is None else {"time_ns": self.time_ns, "passed": self.passed}

    def _restart_count(self) -> None:
        self.time_ns, self._frames_since = time.time_ns(), 0

    def _compare_digest(self, key: str, digest: str, fresh: bool) -> str:
        """Compare an answer's digest with the reference.

        Returns:
            "passed"; "set" when there was no reference; "replaced" when the fresh worker before gave the same
            answer, so that the reference must be wrong; "failed" otherwise.
        """
        reference = self._references.get(key)
        verdict = "passed"
        if reference is None and fresh:
            verdict = "set"
        elif reference != digest:
            verdict = "replaced" if fresh and self._suspect == (key, digest) else "failed"
        if fresh:
            self._suspect = (key, digest) if verdict == "failed" else None
        if verdict in ("set", "replaced"):
            self._references[key] = digest
        if key in self._references:
            # Keep the order of use, so that the oldest is dropped first.
            self._references[key] = self._references.pop(key)
        while len(self._references) > _REFERENCES_KEPT:
            del self._references[next(iter(self._references))]
        return verdict
