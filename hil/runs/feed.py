"""The camera of a run: each frame as it is sent, and the same again when it is asked for later."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hil.faults.camera import active_at, clock_error_s, spoil
from hil.runs.record import FrameRecord
from hil.scenarios.scenario import Scenario
from hil.sources.frames import Frame, FrameStream


@dataclass(frozen=True)
class Shot:
    """A frame as the camera gives it. late_s: by which it is sent late; clock_s: by which its time is off."""

    frame: Frame
    dropped: bool
    late_s: float
    clock_s: float


class Feed:
    """The frames of a scenario, through its camera model and its camera's faults.

    Args:
        scenario: whose frames they are.
        stream: where they come from, as many as the scenario has.
    """

    def __init__(self, scenario: Scenario, stream: FrameStream) -> None:
        self._scenario, self._stream = scenario, stream
        self._latest: tuple[int, Shot] | None = None

    def make_record(self, index: int, first_epoch: int) -> FrameRecord:
        """What is noted of a frame before it is sent."""
        restarts, number = self._scenario.camera.epoch_of(index)
        return FrameRecord(index, index / self._scenario.rate_hz, first_epoch + restarts, number)

    def shoot(self, index: int) -> Shot:
        """A frame; the same for the same index."""
        if self._latest is not None and self._latest[0] == index:
            return self._latest[1]
        scenario = self._scenario
        source = self._stream.frame(index)
        pixels, bit_depth = scenario.camera.expose(source.pixels, source.bit_depth, index, scenario.seed)
        faults = active_at(scenario.faults, index / scenario.rate_hz)
        pixels = spoil(pixels, bit_depth, faults, index, scenario.seed)
        dropped, late_s = scenario.camera.plan_link(index, scenario.seed)
        geometry = dict(source.geometry)
        if scenario.camera.changes_pixels:
            geometry["exposure_s"] = scenario.camera.exposure_s
        frame = replace(source, pixels=pixels, bit_depth=bit_depth, geometry=geometry)
        self._latest = (index, Shot(frame, dropped, late_s, clock_error_s(faults)))
        return self._latest[1]
