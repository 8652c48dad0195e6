"""The worker's self-tests: when one is due, and whether its answer is the known one, bit by bit."""

from __future__ import annotations

import time

# Of the bundles and environments seen last; the record has room for more than this.
_REFERENCES_KEPT = 100


class SelfTests:
    """References by bundle and environment, and the count towards the next test.

    references: key -> digest. passed: of the last test, None before the first; time_ns: when that was.
    """

    def __init__(self, references: dict[str, str]) -> None:
        self.references = dict(references)
        self.passed: bool | None = None
        self.time_ns = 0
        self.frames_since = 0
        self._suspect: tuple[str, str] | None = None

    def due(self, interval: int, idle: bool) -> bool:
        """Whether to test now: after `interval` frames when idle, after twice as many in any case; 0: never."""
        return interval > 0 and self.frames_since >= (interval if idle else 2 * interval)

    def judge(self, key: str, digest: str, fresh: bool) -> str:
        """Judge a worker's answer. fresh: the worker has just loaded verified files.

        Returns "passed"; "set" when there was no reference yet; "replaced" when the fresh worker before gave this
        same answer, so that the reference must be what is wrong; "failed" otherwise.
        """
        self.time_ns, self.frames_since = time.time_ns(), 0
        known = self.references.get(key)
        verdict = "passed"
        if known is None and fresh:
            verdict = "set"
        elif known != digest:
            verdict = "replaced" if fresh and self._suspect == (key, digest) else "failed"
        if fresh:
            self._suspect = (key, digest) if verdict == "failed" else None
        if verdict in ("set", "replaced"):
            self.references[key] = digest
        if key in self.references:
            # The latest used last: the oldest is the one to forget.
            self.references[key] = self.references.pop(key)
        while len(self.references) > _REFERENCES_KEPT:
            del self.references[next(iter(self.references))]
        self.passed = verdict != "failed"
        return verdict

    def failed(self) -> None:
        """Note a test that gave no answer to compare."""
        self.time_ns, self.frames_since, self.passed = time.time_ns(), 0, False
