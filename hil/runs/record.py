"""What a run has seen, as plain data: the criteria are judged on it, and result.json holds it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class FrameRecord:
    """One frame of the camera, and what became of it.

    Attributes:
        index: of the frame, from 0.
        time_s: scenario seconds.
        epoch: of the camera.
        frame_id: of the frame in its epoch.
        dropped: the camera model never gave it.
        sent_s: when it was handed over, seconds since the run's begin; None: the service took none in time.
        acquired_s: when the camera took it, seconds since the run's begin.
        answered_s: when its navigation product came; None: none came.
        status: of that product; "" without one.
        flags: of that product.
        passes_used: of that product.
        entropy: mean predictive entropy of its map inside the frame, nats; None without a map.
        confusion: pixels by true class (rows) and class of the map (columns, the last of no class); None without truth.
        centroid_error_px: of the fix against the truth's outline, sensor pixels; None where there is none.
        fix: whether the map gave a navigation fix; why not.
        circle_pixels: map pixels that landing circles touch, and of them hazards of the truth; None if not looked for.
        circles: number of landing circles.
        bundle: SHA-256 of the bundle that answered.
    """

    index: int
    time_s: float
    epoch: int
    frame_id: int
    dropped: bool = False
    acquired_s: float = 0.0
    sent_s: float | None = None
    answered_s: float | None = None
    status: str = ""
    flags: tuple[str, ...] = ()
    passes_used: int = 0
    entropy: float | None = None
    confusion: list[list[int]] | None = None
    centroid_error_px: float | None = None
    fix: str = ""
    circle_pixels: tuple[int, int] | None = None
    circles: int = 0
    bundle: str = ""

    @property
    def latency_s(self) -> float | None:
        """From acquisition to the product's arrival, seconds; None without a product."""
        return None if self.answered_s is None else self.answered_s - self.acquired_s

    @property
    def has_map(self) -> bool:
        """Whether a product with a map came."""
        return self.status in ("valid", "degraded")


@dataclass
class FaultRecord:
    """A fault as it was carried out.

    Attributes:
        kind: of the scenario.
        at_s: when it was due, scenario seconds; until_s: when it was to end, None for one of a moment.
        began_s: when it began, seconds since the run's begin; ended_s: when it was over.
        note: what was done, or why not; failed: it was not, or the service did what it must not.
        degrades: whether it spoils the image.
    """

    kind: str
    at_s: float
    until_s: float | None = None
    began_s: float | None = None
    ended_s: float | None = None
    note: str = ""
    failed: bool = False
    degrades: bool = False


@dataclass
class CommandRecord:
    """A command of the scenario. outcome: completed, rejected, failed or timeout; message: of the reply."""

    name: str
    at_s: float
    expect: str
    sent_s: float | None = None
    seconds: float | None = None
    outcome: str = ""
    message: str = ""


@dataclass
class EventRecord:
    """An event. seconds: since the run's begin."""

    seconds: float
    name: str
    severity: str
    message: str
    suppressed: int = 0


@dataclass
class HousekeepingRecord:
    """One housekeeping message, in short. seconds: since the run's begin."""

    seconds: float
    state: str
    resident_bytes: int
    latency_ms: float | None = None


@dataclass
class Comparison:
    """A product compared with the offline answer. frame: index; equal: bit for bit."""

    frame: int
    topic: str
    equal: bool


@dataclass
class RunRecord:
    """Everything that a verdict needs.

    Attributes:
        scenario: name of the file.
        title: of the scenario.
        short: whether it was the short form.
        frames: of the camera, in order.
        faults, commands, events, housekeeping: in order.
        counters: of the last housekeeping message, those of earlier starts of the service added.
        states: (seconds, state) of every change.
        classes: names of the classes of the map; roles: theirs.
        truth_classes: names of the classes of the truth; empty without one. truth_roles: theirs.
        comparisons: with offline answers; None if none were asked for.
        service_starts: how often the runner started the service.
        runner_cpu_s: processor seconds of the runner while frames were streamed, and `streamed_s` how long that was.
        environment: of the run, for people.
    """

    scenario: str
    title: str
    short: bool
    frames: list[FrameRecord] = field(default_factory=list)
    faults: list[FaultRecord] = field(default_factory=list)
    commands: list[CommandRecord] = field(default_factory=list)
    events: list[EventRecord] = field(default_factory=list)
    housekeeping: list[HousekeepingRecord] = field(default_factory=list)
    counters: dict[str, Any] = field(default_factory=dict)
    states: list[tuple[float, str]] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    truth_classes: list[str] = field(default_factory=list)
    truth_roles: list[str] = field(default_factory=list)
    comparisons: list[Comparison] | None = None
    service_starts: int = 0
    runner_cpu_s: float = 0.0
    streamed_s: float = 0.0
    environment: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For result.json."""
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """What became of one criterion.

    Attributes:
        criterion: as in the file, for people.
        passed: whether it holds.
        expected: what must hold, in words.
        got: what was found, in words.
        evidence: figures, and the frames that decide.
    """

    criterion: str
    passed: bool
    expected: str
    got: str
    evidence: dict[str, Any]
