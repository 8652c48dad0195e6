"""How long a worker may take, and be silent: by the configuration, and by what this machine has shown to need.

What is configured holds as it is for the start and for an answer. What is not is a minimum, that a slow board exceeds.
"""

from __future__ import annotations

from dataclasses import dataclass

from flight.service.configuration import WorkerSection
from flight.service.pace import Course, Pace
from flight.service.protocol import FrameJob, SelfTestJob

# Before the first pass a large frame is centred, which takes so much longer for every million pixels, or as long as the
# usual step of a frame where that is longer.
_S_PER_MEGAPIXEL = 0.5
# Of something that this machine has never done before: in all, over what may pass without a sign of progress; and what
# may pass without a sign while it computes. A board that needs a minute for a pass starts within these.
_STEPS_OF_A_JOB = 30.0
_WHILE_COMPUTING = 10.0


@dataclass(frozen=True)
class Limit:
    """A limit in time. field: of [worker] in the configuration, that it comes from."""

    seconds: float
    field: str


class WorkerLimits:
    """The limits on workers.

    Args:
        section: [worker] of the configuration.
        pace: what steps have taken.
    """

    def __init__(self, section: WorkerSection, pace: Pace) -> None:
        self._section = section
        self._pace = pace

    def find_whole(self, sha256: str, job: FrameJob | SelfTestJob | None) -> Limit:
        """How long a job may take in all, however regularly signs of progress come.

        Args:
            sha256: of the worker's bundle.
            job: at which the worker is; None for its start.
        """
        name = "start_timeout_s" if job is None else "answer_timeout_s"
        configured = float(getattr(self._section, name))
        if name in self._section.configured:
            return Limit(configured, name)
        if isinstance(job, FrameJob):
            known = self._pace.knows(sha256, job.settings.engine)
            usual = self._pace.usual_answer_s(sha256, job.settings.passes) if known else None
        else:
            usual = max((course.total_s for course in self._find_courses(sha256, job)), default=None)
        if usual is None:
            return Limit(_STEPS_OF_A_JOB * max(configured, self._section.start_timeout_s), name)
        return Limit(max(configured, self._section.hang_factor * usual), name)

    def find_silence(
        self,
        sha256: str,
        job: FrameJob | SelfTestJob | None,
        starting: bool = False,
        megapixels: float = 0.0,
        computing: bool = False,
        minimum_s: float | None = None,
    ) -> Limit:
        """How long a worker may be silent.

        Args:
            sha256: of its bundle.
            job: at which it is; None for an idle or a starting one.
            starting: whether it starts.
            megapixels: of a frame that is not centred yet.
            computing: whether it used the processor during the silence.
            minimum_s: in place of hang_timeout_s.
        """
        shortest = self._section.hang_timeout_s if minimum_s is None else minimum_s
        if not starting and not isinstance(job, SelfTestJob):
            if job is None or self._pace.knows(sha256, job.settings.engine):
                usual = self._pace.usual_pause_s(sha256)
                extra = megapixels * max(_S_PER_MEGAPIXEL, usual)
                return Limit(max(shortest, self._section.hang_factor * usual) + extra, "hang_timeout_s")
            return self._find_unknown(computing)
        courses = self._find_courses(sha256, job)
        if not courses:
            return self._find_unknown(computing)
        usual = self._section.hang_factor * max(course.longest_pause_s for course in courses)
        if starting:
            return Limit(max(self._section.start_timeout_s, usual), "start_timeout_s")
        return Limit(max(shortest, usual), "hang_timeout_s")

    def _find_courses(self, sha256: str, job: FrameJob | SelfTestJob | None) -> list[Course]:
        """How such jobs went. A start measures self-tests, too: it is one, and loads more before it."""
        kinds = ("start",) if job is None else ("start", "self_test")
        return [course for kind in kinds if (course := self._pace.find_course(sha256, kind)) is not None]

    def _find_unknown(self, computing: bool) -> Limit:
        """The limit on silence at something that this machine has not done before."""
        times = _WHILE_COMPUTING if computing and "start_timeout_s" not in self._section.configured else 1.0
        return Limit(times * self._section.start_timeout_s, "start_timeout_s")
