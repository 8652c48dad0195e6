"""The way past a body and the body's rotation, as a scenario states them; hil.sources.poses computes with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hil.scenarios.fields import RuleError, entry

_UNITS = ("km", "d0")
_UNIT = "of lengths: kilometres, or D0, the range at which the body's largest extent fills the frame"


@dataclass(frozen=True, kw_only=True)
class Hyperbola:
    """A hyperbola by its elements, in an inertial frame in the body's centre; time 0 is at periapsis."""

    kind: ClassVar[str] = "hyperbola"
    periapsis: float = entry("range at closest approach, km or D0", low=1e-6, high=1e9)
    excess_speed: float = entry("speed far away, km/s or D0/s", low=1e-9, high=1e6)
    eccentricity: float = entry("the larger, the straighter; more than 1", 40.0, low=1.0001, high=1e6)
    inclination_deg: float = entry("of the orbit's plane to the frame's x-y plane, degrees", 0.0, low=0, high=180)
    node_deg: float = entry("longitude of the ascending node, degrees", 0.0, low=-360, high=360)
    argument_deg: float = entry("argument of periapsis, degrees", 0.0, low=-360, high=360)
    from_s: float = entry("time of the first frame, seconds from periapsis", low=-1e9, high=1e9)
    to_s: float = entry("time of the last one", low=-1e9, high=1e9)
    unit: str = entry(_UNIT, "km", choices=_UNITS)

    def __post_init__(self) -> None:
        if self.to_s <= self.from_s:
            raise RuleError("to_s", f"more than from_s, {self.from_s:g}", self.to_s)


@dataclass(frozen=True, kw_only=True)
class TrajectoryTable:
    """A CSV file with columns time_s, x, y, z of the camera in an inertial frame in the body's centre and, if it does
    not look there, qw, qx, qy, qz: the rotation of the frame's axes into its own (x right, y down, z forward)."""

    kind: ClassVar[str] = "table"
    path: str = entry("of the file; a relative one is beside the scenario file", low=1)
    unit: str = entry(_UNIT, "km", choices=_UNITS)


Trajectory = Hyperbola | TrajectoryTable


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """How the body turns: the elements of the IAU's cartographic reports (Archinal et al. 2018, section 2)."""

    pole_ra_deg: float = entry("right ascension of the pole in the inertial frame, degrees", 0.0, low=-360, high=360)
    pole_dec_deg: float = entry("declination of the pole, degrees", 90.0, low=-90, high=90)
    meridian_deg: float = entry("angle W of the prime meridian at time 0, degrees", 0.0, low=-360, high=360)
    period_s: float = entry("of the rotation, seconds; negative: retrograde; 0: it does not turn", 0.0)


def check_sun(sun: tuple[float, ...]) -> None:
    """Raise RuleError unless a direction towards the sun is one."""
    if not any(sun):
        raise RuleError("sun", "a direction, not all 0", list(sun))
