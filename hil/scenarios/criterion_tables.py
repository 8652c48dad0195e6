"""The criteria of a scenario, as its file states them; hil.runs.judge judges them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from flight.icd.catalogue import EVENTS, FLAGS
from hil.scenarios.fields import RuleError, entry


@dataclass(frozen=True, kw_only=True)
class _Windowed:
    from_s: float = entry("of frames from this scenario time on", 0.0, low=0, high=1e6)
    to_s: float | None = entry("of frames before this scenario time; none: until the end", None, low=0, high=1e6)

    def __post_init__(self) -> None:
        if self.to_s is not None and self.to_s <= self.from_s:
            raise RuleError("to_s", f"more than from_s, {self.from_s:g}", self.to_s)


@dataclass(frozen=True, kw_only=True)
class AnsweredWithin(_Windowed):
    """Frames are answered with a map in time, from the frame's acquisition to the product's arrival."""

    kind: ClassVar[str] = "answered_within"
    seconds: float = entry("most time, seconds", low=0.001, high=3600)
    share: float = entry("least share of the frames that the camera gave", 1.0, low=0, high=1)


@dataclass(frozen=True, kw_only=True)
class LostAtMost(_Windowed):
    """Frames of the camera of which no product came, with a map or without: sent or not, superseded ones among them."""

    kind: ClassVar[str] = "lost_at_most"
    frames: int = entry("most frames", 0, low=0, high=1_000_000)


@dataclass(frozen=True, kw_only=True)
class MiouAtLeast(_Windowed):
    """Mean over the classes of the intersection over union of class map and truth, pixels of all frames pooled."""

    kind: ClassVar[str] = "miou_at_least"
    value: float = entry("least mIoU", low=0, high=1)
    of: str = entry(
        "of classes, which truth and bundle must name alike, or of their roles", "classes", choices=("classes", "roles")
    )


@dataclass(frozen=True, kw_only=True)
class CentroidErrorAtMost(_Windowed):
    """Distance of the navigation fix from the centroid of the true outline, of frames that show a whole body."""

    kind: ClassVar[str] = "centroid_error_at_most"
    pixels: float = entry("most distance, sensor pixels", low=0, high=4096)
    share: float = entry("least share of the fixes within it", 0.9, low=0, high=1)


@dataclass(frozen=True, kw_only=True)
class EntropyRises:
    """The mean entropy is higher while a fault degrades the image than in the other frames."""

    kind: ClassVar[str] = "entropy_rises"
    factor: float = entry("by which it is at least higher", 1.0, low=1, high=100)


@dataclass(frozen=True, kw_only=True)
class LandingCirclesClear(_Windowed):
    """Landing circles lie clear of craters and boulders of the truth."""

    kind: ClassVar[str] = "landing_circles_clear"
    share: float = entry(
        "most of the circles' pixels that truth has as a hazard, all circles pooled", 0.0, low=0, high=1
    )
    radius_px: float = entry("least radius of a circle, sensor pixels", 3.0, low=0, high=4096)


@dataclass(frozen=True, kw_only=True)
class RecoveredWithin:
    """After each fault, a valid or degraded map of a frame that was taken after the fault's end."""

    kind: ClassVar[str] = "recovered_within"
    seconds: float = entry("most time from the fault's end, seconds of the clock", low=0.001, high=3600)


@dataclass(frozen=True, kw_only=True)
class SafeState:
    """The service reaches the safe state, or never does."""

    kind: ClassVar[str] = "safe_state"
    reached: bool = entry("whether it must be reached", False)


@dataclass(frozen=True, kw_only=True)
class NoWrongMap:
    """Products are, bit for bit, what the engine gives offline for their frames, seeds and parameters."""

    kind: ClassVar[str] = "no_wrong_map"
    frames: int = entry("so many of them at most are compared, evenly spread", 60, low=1, high=1_000_000)


@dataclass(frozen=True, kw_only=True)
class FlagRaised(_Windowed):
    """Products carry a flag."""

    kind: ClassVar[str] = "flag_raised"
    flag: str = entry("the flag", choices=tuple(FLAGS))
    least: float = entry("least share of the products", 0.0, low=0, high=1)
    most: float = entry("most share of the products", 1.0, low=0, high=1)


@dataclass(frozen=True, kw_only=True)
class EventSeen:
    """Telemetry tells an event."""

    kind: ClassVar[str] = "event_seen"
    event: str = entry("the event", choices=tuple(EVENTS))
    least: int = entry("at least so often", 1, low=0, high=1_000_000)
    most: int | None = entry("at most so often; none: any number", None, low=0, high=1_000_000)


@dataclass(frozen=True, kw_only=True)
class FramesRejected:
    """The service counts frames that it rejected for a reason."""

    kind: ClassVar[str] = "frames_rejected"
    reason: str = entry("reason of the catalogue, or any", "any")
    least: int = entry("at least so many", 1, low=0, high=1_000_000)
    most: int | None = entry("at most so many; none: any number", None, low=0, high=1_000_000)


@dataclass(frozen=True, kw_only=True)
class CommandsAnswered:
    """Each command of the scenario gets the reply that it expects."""

    kind: ClassVar[str] = "commands_answered"
    seconds: float = entry("most time for a reply, seconds", 5.0, low=0.001, high=3600)


Criterion = (
    AnsweredWithin
    | LostAtMost
    | MiouAtLeast
    | CentroidErrorAtMost
    | EntropyRises
    | LandingCirclesClear
    | RecoveredWithin
    | SafeState
    | NoWrongMap
    | FlagRaised
    | EventSeen
    | FramesRejected
    | CommandsAnswered
)
NEED_TRUTH = (MiouAtLeast, CentroidErrorAtMost, LandingCirclesClear)
