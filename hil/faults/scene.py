"""What a fault is carried out on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hil.runs.link import Link
from hil.runs.target import LocalTarget, Target
from hil.sources.frames import Frame

_POLL_S = 0.01


class FaultFailed(RuntimeError):
    """A fault could not be carried out, or the service did what it must not."""


class Clock:
    """Scenario time.

    Args:
        speed: scenario seconds per second; 0: the time is that of the frame that was sent last.
    """

    def __init__(self, speed: float) -> None:
        self._speed, self._began, self._frame_s = speed, time.monotonic(), 0.0

    def start(self) -> None:
        """Time 0 is now."""
        self._began = time.monotonic()

    def now(self) -> float:
        """Scenario seconds."""
        return (time.monotonic() - self._began) * self._speed if self._speed else self._frame_s

    def pass_frame(self, time_s: float) -> None:
        """A frame of a time is sent; tells a clock that goes step by step."""
        self._frame_s = time_s

    def wait_until(self, time_s: float, ending: threading.Event) -> bool:
        """Wait for a time; False if the run ends before."""
        while self.now() < time_s:
            left = (time_s - self.now()) / self._speed if self._speed else _POLL_S
            if ending.wait(min(max(left, 0.001), 0.1) if self._speed else _POLL_S):
                return False
        return not ending.is_set()


@dataclass
class Scene:
    """A run, as faults see it.

    Attributes:
        target: the service.
        link: that it is behind; None without one.
        seed: of the run.
        clock: scenario time.
        ending: set when the run ends.
        picture: makes a frame, for cameras that are not the run's own.
        bundles: folders of bundles that came into service on the way.
    """

    target: Target
    link: Link | None
    seed: int
    clock: Clock
    picture: Callable[[], Frame]
    ending: threading.Event = field(default_factory=threading.Event)
    bundles: list[object] = field(default_factory=list)

    @property
    def local(self) -> LocalTarget:
        """The service, which was started here; a scenario with such faults runs at no other."""
        assert isinstance(self.target, LocalTarget)
        return self.target
