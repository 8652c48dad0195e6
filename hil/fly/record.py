"""What flights have seen, as plain data: figures, pages and files are made of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.files import write_whole


@dataclass
class Exposure:
    """One exposure, as plain data.

    Attributes:
        index: from 0; time_s: flight time.
        phase_deg: sun - body - camera.
        range_d0: to the centre of mass.
        pointing_deg: between the boresight and the direction to the centre of mass.
        out_of_field: the centre of mass is outside of the frame.
        error_km: of the estimated position; sigma_km: root of the trace of its covariance. Of the estimate that points.
        nees: normalized squared error of position and velocity, six degrees of freedom.
        answer: "measured", or why the frame gave no measurement; "" where none was looked for.
        innovation: squared over its covariance, two degrees of freedom.
        late_s: flight time from the exposure to its measurement.
        wall_s: time that drawing, camera and answer took, seconds of the clock.
    """

    index: int
    time_s: float
    phase_deg: float
    range_d0: float
    pointing_deg: float
    out_of_field: bool
    error_km: float
    sigma_km: float
    nees: float
    answer: str = ""
    innovation: float | None = None
    late_s: float | None = None
    wall_s: float = 0.0


@dataclass
class Picture:
    """What the film shows of an exposure. pixels: (H, W) uint8. Points are x, y in sensor pixels; None: not there."""

    pixels: NDArray[np.uint8]
    true: tuple[float, float]
    measured: tuple[float, float] | None = None
    class_map: NDArray[np.uint8] | None = None
    map_to_sensor: tuple[float, ...] = ()


@dataclass
class FlightRecord:
    """One flight. body: its name; kind: of its measurements."""

    body: str
    draw: int
    kind: str
    exposures: list[Exposure] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


@dataclass
class Touchdown:
    """The end of one descent.

    Attributes:
        body: its name.
        draw: its number.
        kind: "maps" or "variance": what sites were chosen by.
        chosen: how often a site was found; retargeted: how often it was another one than before.
        miss_m: from the touchdown to the edge of the nearest hazard, metres; negative inside of one; None: no site.
        lander_m: radius of the lander.
        promised_m: radius of the circle of the last map, clear of hazards by its word.
        target_error_m: from the target to the touchdown, across the vertical.
    """

    body: str
    draw: int
    kind: str
    chosen: int = 0
    retargeted: int = 0
    miss_m: float | None = None
    lander_m: float = 0.0
    promised_m: float | None = None
    target_error_m: float | None = None

    @property
    def on_hazard(self) -> bool:
        """Whether a hazard lies within the lander's radius."""
        return self.miss_m is not None and self.miss_m < self.lander_m


@dataclass
class DrawRecord:
    """Everything of one draw.

    Attributes:
        draw: its number; body: its name; extent_km: of the body.
        flights: one for each kind of measurement.
        touchdowns: of descents.
        faults: kind, begin, end and note of each, flight time.
        bundle: name and version of what served; "" where none did.
    """

    draw: int
    body: str
    extent_km: float
    flights: list[FlightRecord] = field(default_factory=list)
    touchdowns: list[Touchdown] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    bundle: str = ""


def write_draw(path: Path, record: DrawRecord) -> None:
    """Write a draw as JSON, without its pictures."""
    plain = asdict(record)
    for flight in plain["flights"]:
        del flight["pictures"]
    write_whole(path, json.dumps(plain, indent=1).encode("utf-8"))


def read_draw(path: Path) -> DrawRecord:
    """Read a draw.

    Raises:
        ValueError: the file is not one; the message names it.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        flights = [
            FlightRecord(**{**flight, "exposures": [Exposure(**entry) for entry in flight["exposures"]]})
            for flight in plain["flights"]
        ]
        touchdowns = [Touchdown(**entry) for entry in plain["touchdowns"]]
        return DrawRecord(**{**plain, "flights": flights, "touchdowns": touchdowns})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: expected a draw of `hil fly`, got {type(error).__name__}: {error}") from error
