"""A flight scenario: which body, which way past it or down to it, which camera, what is known at the start."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hil.camera_model import CameraModel
from hil.scenarios.fault_tables import CAMERA_FAULTS, LINK_FAULTS, Fault
from hil.scenarios.fields import RuleError, entry
from hil.scenarios.files import find_file, list_names, read_file
from hil.scenarios.scenario import Target

FOLDER = Path(__file__).parent / "scenarios"


@dataclass(frozen=True, kw_only=True)
class CatalogueBody:
    """Bodies of the catalogue of `ground-tools`, drawn by rays; each draw has the next one."""

    kind: ClassVar[str] = "catalogue"
    names: tuple[str, ...] = entry("of the bodies", low=1, high=100)
    rays: int = entry("through each pixel", 4, low=1, high=64)
    faces: int = entry("least facets of the ground", 50_000, low=1000, high=1_000_000)


@dataclass(frozen=True, kw_only=True)
class DrawnSphere:
    """A drawn sphere with craters and boulders; needs no renderer."""

    kind: ClassVar[str] = "drawn"
    diameter_km: float = entry("of the sphere, kilometres", 0.5, low=0.001, high=1000)
    craters: int = entry("number of craters", 12, low=0, high=500)
    boulders: int = entry("number of boulders", 120, low=0, high=2000)


Body = CatalogueBody | DrawnSphere


@dataclass(frozen=True, kw_only=True)
class Flyby:
    """Past the body, from the sun's side on: the phase angle rises from the first exposure to the last one."""

    kind: ClassVar[str] = "flyby"
    farthest_d0: float = entry(
        "range at the first exposure, D0 (at 1 D0 the body fills the frame)", 4.0, low=1, high=50
    )
    closest_d0: float = entry("at closest approach, D0", 1.6, low=0.5, high=50)
    first_phase_deg: float = entry("phase angle at the first exposure", 3.0, low=0, high=90)
    last_phase_deg: float = entry("and at the last one", 90.0, low=10, high=170)

    def __post_init__(self) -> None:
        if self.closest_d0 >= self.farthest_d0:
            raise RuleError("closest_d0", f"less than farthest_d0, {self.farthest_d0:g}", self.closest_d0)
        swept = self.last_phase_deg - self.first_phase_deg - math.degrees(math.acos(self.closest_d0 / self.farthest_d0))
        if not 0.0 < swept < 80.0:
            low, high = self.last_phase_deg - swept, min(self.last_phase_deg - swept + 80.0, 170.0)
            raise RuleError("last_phase_deg", f"between {low:.0f} and {high:.0f} with such ranges", self.last_phase_deg)


@dataclass(frozen=True, kw_only=True)
class Descent:
    """Down to the ground; the site is chosen, and changed, by the maps on the way."""

    kind: ClassVar[str] = "descent"
    from_d0: float = entry("height above the ground at the first exposure, D0", 0.8, low=0.1, high=2)
    to_d0: float = entry("and at the last one", 0.12, low=0.02, high=1)
    lander_radius: float = entry("of the lander, over the body's largest extent", 0.006, low=0.0005, high=0.1)
    sun_deg: float = entry("of the sun from the vertical", 40.0, low=0, high=80)
    divert: float = entry("how far a site may be from the point below, over the height", 0.06, low=0.001, high=0.5)

    def __post_init__(self) -> None:
        if self.to_d0 >= self.from_d0:
            raise RuleError("to_d0", f"less than from_d0, {self.from_d0:g}", self.to_d0)


Trajectory = Flyby | Descent


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """What is known at the start, as standard deviations; each draw has errors of its own."""

    direction_deg: float = entry("of the direction to the body, degrees", 1.0, low=0.001, high=10)
    range: float = entry("of the range, as a share of it", 0.05, low=0.001, high=0.5)
    velocity: float = entry("of the velocity along each axis, as a share of the speed", 0.01, low=0.0001, high=0.5)
    size: float = entry("of the body's diameter, as a share of it", 0.05, low=0.001, high=0.5)
    attitude_arcsec: float = entry("of the star tracker about each axis, arcseconds", 20.0, low=0, high=3600)


@dataclass(frozen=True, kw_only=True)
class FlightScenario:
    """A flight scenario's file."""

    title: str = entry("what it is about, in a line", low=1, high=100)
    duration_s: float = entry("of the flight, seconds", low=10, high=1e6)
    every_s: float = entry("time between exposures, seconds", 10.0, low=0.25, high=3600)
    speed: float = entry("seconds of the flight per second; 0: as fast as frames are answered", 0.0, low=0, high=100)
    answer_s: float = entry("with speed 0: longest wait for a product, seconds of the clock", 20.0, low=0.1, high=600)
    seed: int = entry("of everything random", 1, low=0, high=2**31)
    sensor_px: int = entry("side of the square sensor, pixels; its field of view is 10 degrees", 256, low=64, high=1024)
    spin_period_s: float = entry("of the body, seconds", 14_400.0, low=100, high=1e7)
    density: float = entry("of the body, g/cm^3; gives its gravity", 1.9, low=0.01, high=20)
    gravity: str = entry("of a point, or of a polyhedron", "point", choices=("point", "polyhedron"))
    body: Body = entry("what is flown to", DrawnSphere())
    trajectory: Trajectory = entry("which way", Flyby())
    knowledge: Knowledge = entry("at the start", Knowledge())
    camera: CameraModel = entry("what the camera makes of the drawn frames (docs/hil.md)", CameraModel())
    target: Target = entry("the service (docs/hil.md)", Target())
    faults: tuple[Fault, ...] = entry("faults of the service and its link, at times of the flight (docs/hil.md)", ())

    def __post_init__(self) -> None:
        if self.duration_s < 2.0 * self.every_s:
            raise RuleError("duration_s", f"at least two exposures, {2.0 * self.every_s:g}", self.duration_s)
        for number, fault in enumerate(self.faults):
            if isinstance(fault, CAMERA_FAULTS):
                raise RuleError(f"faults[{number}].kind", "a fault of the service or its link", fault.kind)
            if isinstance(fault, LINK_FAULTS) and not self.target.link:
                raise RuleError("target.link", f"true, as faults[{number}] is {fault.kind}", False)
        if self.faults and not self.speed:
            raise RuleError("speed", "more than 0 with faults, which take their time", self.speed)
        if isinstance(self.trajectory, Descent) and isinstance(self.body, DrawnSphere):
            raise RuleError("body.kind", "catalogue for a descent, whose hazards must be known", self.body.kind)

    @property
    def exposures(self) -> int:
        """Number of frames that the camera takes."""
        return int(self.duration_s / self.every_s + 1e-9) + 1


def list_flights() -> list[str]:
    """Names of the flights that are shipped."""
    return list_names(FOLDER)


def find_flight(name_or_path: str) -> Path:
    """The file of a flight scenario: a path, or the name of one that is shipped, or its beginning.

    Raises:
        ScenarioError: there is none.
    """
    return find_file(name_or_path, FOLDER, "a flight scenario")


def read_flight(path: Path) -> FlightScenario:
    """Read a flight scenario. Raises ScenarioError."""
    return read_file(FlightScenario, path)
