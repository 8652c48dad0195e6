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
# Of the time, that tests after so many frames may take. With a deadline a slow board answers frames in less passes than
# a test has, so that a number of frames alone would leave it little else to do than to test itself.
_LARGEST_SHARE = 0.05


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
        self._suspects: dict[str, str] = {}
        # Whether the worker has whole passes loaded and tested, or needs no loading for them.
        self._passes_ready = True
        self._engine_tested = "auto"
        self._frames_since = 0
        self._began = 0.0
        # Before this the next test by the number of frames is not due, monotonic clock.
        self._earliest = 0.0
        self.passed: bool | None = None
        self.time_ns = 0
        self.requested = False

    def is_due(self, idle: bool) -> bool:
        """Whether to test now.

        Args:
            idle: no frame waits. A requested test is due at any time, and so is the first one of whole passes before
                they answer a frame; one after so many frames only when idle, and after twice as many in any case, but
                not so soon that tests take more than their share of the time.
        """
        interval = self._parameters.current.self_test_interval
        waited = interval > 0 and self._frames_since >= (interval if idle else 2 * interval)
        waited = waited and time.monotonic() >= self._earliest
        loads_passes = self._parameters.current.engine == "passes" and not self._passes_ready
        return self.requested or waited or loads_passes

    def choose_engine(self) -> str:
        """The parameter `engine`, for the worker that starts now, or the test that begins."""
        self._engine_tested = self._parameters.current.engine
        self._began = time.monotonic()
        return self._engine_tested

    def note_replacement(self) -> None:
        """Note that a candidate has taken over, which was tested before and has given whole passes back."""
        self._passes_ready = False

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
            now = time.monotonic()
            self._earliest = now + (now - self._began) / _LARGEST_SHARE
        self._restart_count()
        key = f"{bundle.sha256} {answer.environment}"
        # By what is tested: its digest, and what the comparison says.
        verdicts = {answer.digest: "failed"}
        if answer.sha256 == bundle.sha256:
            verdicts[answer.digest] = self._compare_digest(key, answer.digest, fresh)
        if answer.passes_digest and verdicts[answer.digest] != "failed":
            # Whole passes are loaded for their test, from files that are verified then, whatever the worker's age.
            verdicts[answer.passes_digest] = self._compare_digest(f"{key}, whole passes", answer.passes_digest, True)
        self._passes_ready = not bundle.in_closed_form or (
            bool(answer.passes_digest) and self._engine_tested == "passes"
        )
        self.passed = "failed" not in verdicts.values()
        if not self.passed:
            self._counters.count("self_tests_failed")
            return False
        self._counters.count("self_tests_passed")
        for digest, verdict in verdicts.items():
            if verdict == "set":
                self._events.send("self_test_reference_set", digest=digest, sha256=bundle.sha256)
            elif verdict == "replaced":
                self._events.send("self_test_reference_replaced", digest=digest, sha256=bundle.sha256)
        if set(verdicts.values()) != {"passed"}:
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
            verdict = "replaced" if fresh and self._suspects.get(key) == digest else "failed"
        if fresh:
            self._suspects.pop(key, None)
            if verdict == "failed":
                self._suspects = {key: digest}
        if verdict in ("set", "replaced"):
            self._references[key] = digest
        if key in self._references:
            # Keep the order of use, so that the oldest is dropped first.
            self._references[key] = self._references.pop(key)
        while len(self._references) > _REFERENCES_KEPT:
            del self._references[next(iter(self._references))]
        return verdict
