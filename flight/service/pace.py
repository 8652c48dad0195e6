"""What the steps of a worker's jobs take on this machine: the measure of how long the next ones may take.

A board may need a hundred times as long for a frame as another, and no limit in seconds fits both. What a worker has
shown holds for those after it over the same bundle.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

_KEPT = 50
_KEPT_BUNDLES = 8
# How far a step's usual time is from its longest: one stop of the whole machine must not raise a limit for long.
_QUANTILE = 0.9


class _Durations:
    """The latest durations of a step, seconds. usual_s: their quantile, asked for in every turn of the loop."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=_KEPT)
        self.usual_s = 0.0

    def append(self, seconds: float) -> None:
        self._latest.append(seconds)
        ordered = sorted(self._latest)
        self.usual_s = ordered[int(_QUANTILE * (len(ordered) - 1))]


@dataclass
class _Steps:
    """Durations of a frame's steps with one engine, seconds.

    Attributes:
        first: up to the end of the first pass, what is done once for a frame included.
        further: from one pass to the next.
        rest: from the last pass to the answer.
    """

    first: _Durations = field(default_factory=_Durations)
    further: _Durations = field(default_factory=_Durations)
    rest: _Durations = field(default_factory=_Durations)

    def usual_pause_s(self) -> float:
        return max(self.first.usual_s, self.further.usual_s, self.rest.usual_s)

    def usual_answer_s(self, passes: int) -> float:
        return self.first.usual_s + (passes - 1) * self.further.usual_s + self.rest.usual_s


@dataclass(frozen=True)
class Course:
    """How a job without passes of a frame went. longest_pause_s: without a sign of progress. total_s: all of it."""

    longest_pause_s: float
    total_s: float


class Pace:
    """Remembers what steps and jobs took, by bundle; of one worker after another, and of two at once."""

    def __init__(self) -> None:
        self._steps: dict[str, dict[str, _Steps]] = {}
        self._courses: dict[tuple[str, str], Course] = {}

    def note_pass(self, sha256: str, engine: str, number: int, seconds: float) -> None:
        """Note what a pass took.

        Args:
            sha256: of the bundle's manifest.
            engine: that ran it, "passes" or "closed_form".
            number: of the pass, 1 for a frame's first.
            seconds: since the sign of progress before it.
        """
        steps = self._find_steps(sha256, engine)
        (steps.first if number == 1 else steps.further).append(seconds)

    def note_rest(self, sha256: str, engine: str, seconds: float) -> None:
        """Note what the answer took after its last pass."""
        self._find_steps(sha256, engine).rest.append(seconds)

    def note_course(self, sha256: str, job: str, course: Course) -> None:
        """Note how a job went that ended well. job: "start" or "self_test"."""
        self._courses[sha256, job] = course

    def find_course(self, sha256: str, job: str) -> Course | None:
        """How such a job went last; None before the first."""
        return self._courses.get((sha256, job))

    def knows(self, sha256: str, engine: str) -> bool:
        """Whether a frame's passes are known. engine: the parameter; "auto" for whichever the bundle has."""
        known = self._steps.get(sha256, {})
        return bool(known) if engine == "auto" else engine in known

    def usual_pause_s(self, sha256: str) -> float:
        """The usual time between two signs of progress at a frame, of the bundle's slowest engine; 0 if none is known.

        Which engine the next frame takes is not known for certain, and a limit too long costs less than a good worker.
        """
        return max((steps.usual_pause_s() for steps in self._steps.get(sha256, {}).values()), default=0.0)

    def usual_answer_s(self, sha256: str, passes: int) -> float:
        """The usual time for a frame of so many passes, of the bundle's slowest engine; 0 if none is known."""
        return max((steps.usual_answer_s(passes) for steps in self._steps.get(sha256, {}).values()), default=0.0)

    def _find_steps(self, sha256: str, engine: str) -> _Steps:
        if sha256 not in self._steps:
            self._steps[sha256] = {}
            for old in list(self._steps)[:-_KEPT_BUNDLES]:
                del self._steps[old]
                self._courses = {key: course for key, course in self._courses.items() if key[0] != old}
        return self._steps[sha256].setdefault(engine, _Steps())
