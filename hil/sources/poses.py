"""Where camera, sun and body are along a way: positions, attitudes and the body's rotation at equally spaced times.

N is an inertial frame in the body's centre of mass, P is body-fixed, C is the camera's: x right, y down, z forward.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hil.scenarios.way_tables import Hyperbola, Rotation, Trajectory
from hil.sources.renderer import CameraView

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_COLUMNS = ("time_s", "x", "y", "z")
_ATTITUDE = ("qw", "qx", "qy", "qz")
_MOST_ROWS = 1_000_000
_MOST_ITERATIONS = 100


class TrajectoryError(ValueError):
    """A trajectory that cannot be read or flown; the message names file, line and column, or the frame."""


@dataclass(frozen=True)
class Pose:
    """A moment. All in N.

    Attributes:
        time_s: of the trajectory.
        camera_km: (3,).
        axes: (3, 3), rows are the camera's axes.
        body_axes: (3, 3), rows are the body-fixed axes.
        sun: (3,), unit vector towards the sun.
    """

    time_s: float
    camera_km: Vector
    axes: Matrix
    body_axes: Matrix
    sun: Vector

    def view(self) -> CameraView:
        """The same, body-fixed."""
        to_body = self.body_axes
        return CameraView(to_body @ self.camera_km, self.axes @ to_body.T, to_body @ self.sun)

    @property
    def range_km(self) -> float:
        """From the body's centre of mass."""
        return float(np.linalg.norm(self.camera_km))

    @property
    def sun_in_camera(self) -> Vector:
        """(3,), unit vector towards the sun, in C."""
        seen: Vector = self.axes @ self.sun
        return seen

    @property
    def phase_deg(self) -> float:
        """Sun - body - camera, degrees."""
        cosine = float(self.camera_km @ self.sun) / self.range_km
        return math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))


@dataclass(frozen=True)
class Track:
    """A trajectory, read.

    Attributes:
        times_s: (N,), of its rows, or the first and the last time.
        places: (N, 3), in `unit`; None of a hyperbola.
        attitudes: (N, 4), scalar first; None: the camera looks at the body's centre.
        elements: of a hyperbola.
        unit: "km" or "d0".
    """

    times_s: Vector
    places: Matrix | None
    attitudes: Matrix | None
    elements: Hyperbola | None
    unit: str

    def sample(self, count: int) -> tuple[Vector, Matrix, Matrix | None]:
        """Times, places and attitudes, (count,), (count, 3), (count, 3, 3) or None, equally spaced in time."""
        first, last = float(self.times_s[0]), float(self.times_s[-1])
        times = np.linspace(first, last, count) if count > 1 else np.array([0.5 * (first + last)])
        if self.elements is not None:
            return times, fly_hyperbola(self.elements, times), None
        assert self.places is not None
        attitudes = None if self.attitudes is None else _interpolate_attitudes(self.times_s, self.attitudes, times)
        return times, _interpolate_places(self.times_s, self.places, times), attitudes


def read_track(trajectory: Trajectory, beside: Path) -> Track:
    """Read a trajectory.

    Args:
        trajectory: its table in the scenario.
        beside: folder that a relative path begins in.

    Raises:
        TrajectoryError: the file is none, or a line of it is.
        OSError: it cannot be read.
    """
    if isinstance(trajectory, Hyperbola):
        return Track(np.array([trajectory.from_s, trajectory.to_s]), None, None, trajectory, trajectory.unit)
    path = beside / trajectory.path
    rows, has_attitude = _read_rows(path)
    table = np.array(rows, dtype=np.float64)
    attitudes = None
    if has_attitude:
        lengths = np.linalg.norm(table[:, 4:], axis=1)
        if (lengths < 1e-9).any():
            line = 2 + int(np.argmax(lengths < 1e-9))
            raise TrajectoryError(f"{path}: line {line}: expected a quaternion, got one of length 0")
        attitudes = table[:, 4:] / lengths[:, None]
    return Track(table[:, 0], table[:, 1:4], attitudes, None, trajectory.unit)


def _read_rows(path: Path) -> tuple[list[list[float]], bool]:
    """The numbers of a CSV file, and whether it has attitudes."""
    rows: list[list[float]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            head = tuple(name.strip() for name in next(lines, []))
            if head not in (_COLUMNS, _COLUMNS + _ATTITUDE):
                wanted = ",".join(_COLUMNS)
                raise TrajectoryError(
                    f"{path}: line 1: expected {wanted} or {wanted},{','.join(_ATTITUDE)}, got {','.join(head)[:80]!r}"
                )
            for line in lines:
                if line:
                    rows.append(_read_row(f"{path}: line {lines.line_num}", head, line))
                if len(rows) > 1 and rows[-1][0] <= rows[-2][0]:
                    place = f"{path}: line {lines.line_num}"
                    raise TrajectoryError(f"{place}: expected a time after {rows[-2][0]:g} s, got {rows[-1][0]:g} s")
                if len(rows) > _MOST_ROWS:
                    raise TrajectoryError(f"{path}: expected at most {_MOST_ROWS} lines, got more")
    except (UnicodeDecodeError, csv.Error) as error:
        raise TrajectoryError(f"{path}: expected a CSV file, got none ({error})") from error
    except OSError as error:
        raise TrajectoryError(f"{path}: {error.strerror}") from error
    if len(rows) < 2:
        raise TrajectoryError(f"{path}: expected two lines of numbers or more, got {len(rows)}")
    return rows, len(head) > len(_COLUMNS)


def _read_row(place: str, head: tuple[str, ...], line: list[str]) -> list[float]:
    if len(line) != len(head):
        raise TrajectoryError(f"{place}: expected {len(head)} columns, got {len(line)}")
    row = []
    for name, text in zip(head, line, strict=True):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise TrajectoryError(f"{place}: {name}: expected a number, got {text[:40]!r}")
        row.append(value)
    return row


def fly_hyperbola(elements: Hyperbola, times_s: Vector) -> Matrix:
    """Places on a hyperbola, (N, 3), in the unit of its elements.

    Kepler's equation M = e sinh F - F by Newton's method, M = v t / a, a = rp / (e - 1) (Vallado, Fundamentals of
    Astrodynamics and Applications, section 2.2). times_s: (N,), from periapsis.
    """
    e = elements.eccentricity
    a = elements.periapsis / (e - 1.0)
    mean = elements.excess_speed / a * times_s
    anomaly = np.arcsinh(mean / e)
    for _ in range(_MOST_ITERATIONS):
        step = (e * np.sinh(anomaly) - anomaly - mean) / (e * np.cosh(anomaly) - 1.0)
        anomaly = anomaly - step
        if np.abs(step).max() < 1e-13:
            break
    flat = np.stack([a * (e - np.cosh(anomaly)), a * math.sqrt(e * e - 1.0) * np.sinh(anomaly), 0.0 * anomaly], axis=1)
    node, tilt, argument = (
        math.radians(value) for value in (elements.node_deg, elements.inclination_deg, elements.argument_deg)
    )
    turned: Matrix = flat @ (_about_z(node) @ _about_x(tilt) @ _about_z(argument)).T
    return turned


def find_poses(track: Track, rotation: Rotation, sun: tuple[float, ...], count: int, d0_km: float | None) -> list[Pose]:
    """Poses at equally spaced times.

    Args:
        track: the way.
        rotation: of the body.
        sun: direction towards it, in N.
        count: number of poses.
        d0_km: length of D0; None where it is not known, and the way is in km.

    Raises:
        TrajectoryError: the camera is in the body's centre.
    """
    times, places, attitudes = track.sample(count)
    if track.unit == "d0":
        assert d0_km is not None
        places = places * d0_km
    towards_sun = np.array(sun, dtype=np.float64)
    towards_sun = towards_sun / np.linalg.norm(towards_sun)
    poses = []
    for number, (time_s, place) in enumerate(zip(times, places, strict=True)):
        if not np.linalg.norm(place) > 0.0:
            raise TrajectoryError(f"trajectory: frame {number}: expected a camera away from the body's centre")
        axes = look_at_centre(place) if attitudes is None else attitudes[number]
        poses.append(Pose(float(time_s), place, axes, find_body_axes(rotation, float(time_s)), towards_sun))
    return poses


def find_body_axes(rotation: Rotation, time_s: float) -> Matrix:
    """Rows are the body-fixed axes in N, (3, 3), by the pole and the prime meridian's angle W from the node."""
    ascension, declination = math.radians(rotation.pole_ra_deg), math.radians(rotation.pole_dec_deg)
    turns = time_s / rotation.period_s if rotation.period_s else 0.0
    meridian = math.radians(rotation.meridian_deg) + 2.0 * math.pi * math.fmod(turns, 1.0)
    pole = np.array(
        [
            math.cos(declination) * math.cos(ascension),
            math.cos(declination) * math.sin(ascension),
            math.sin(declination),
        ]
    )
    node = np.array([-math.sin(ascension), math.cos(ascension), 0.0])
    beside = np.cross(pole, node)
    x = math.cos(meridian) * node + math.sin(meridian) * beside
    return np.stack([x, np.cross(pole, x), pole])


def look_along(direction: Vector, up: Vector, roll_rad: float = 0.0) -> Matrix:
    """Rows are the axes of a camera that looks along a direction, `up` being up in its image before the roll."""
    z = direction / np.linalg.norm(direction)
    x = np.cross(z, up)
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    cosine, sine = math.cos(roll_rad), math.sin(roll_rad)
    return np.stack([cosine * x + sine * y, cosine * y - sine * x, z])


def look_at_centre(place: Vector) -> Matrix:
    """Axes of a camera that looks at the body's centre; N's z axis is up in its image, or x where z cannot be."""
    sideways = np.hypot(place[0], place[1]) / np.linalg.norm(place)
    return look_along(-place, np.array([0.0, 0.0, 1.0]) if sideways > 1e-6 else np.array([1.0, 0.0, 0.0]))


def to_quaternion(columns: Matrix) -> Vector:
    """Quaternion of a rotation matrix, (4,), scalar first and not negative (Shepperd 1978)."""
    m = columns
    squares = np.array(
        [
            1.0 + m[0, 0] + m[1, 1] + m[2, 2],
            1.0 + m[0, 0] - m[1, 1] - m[2, 2],
            1.0 - m[0, 0] + m[1, 1] - m[2, 2],
            1.0 - m[0, 0] - m[1, 1] + m[2, 2],
        ]
    )
    rows = {
        0: (squares[0], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]),
        1: (m[2, 1] - m[1, 2], squares[1], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]),
        2: (m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], squares[2], m[1, 2] + m[2, 1]),
        3: (m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], squares[3]),
    }
    quaternion = np.array(rows[int(squares.argmax())])
    quaternion /= np.linalg.norm(quaternion)
    return -quaternion if quaternion[0] < 0.0 else quaternion


def to_matrix(quaternion: Vector) -> Matrix:
    """Rotation matrix of a unit quaternion, scalar first, (3, 3)."""
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _interpolate_places(at: Vector, places: Matrix, times: Vector) -> Matrix:
    """Cubic Hermite interpolation, with the derivatives of the parabola through three rows."""
    slopes = np.gradient(places, at, axis=0, edge_order=2 if len(at) > 2 else 1)
    index = np.clip(np.searchsorted(at, times, side="right") - 1, 0, len(at) - 2)
    step = (at[index + 1] - at[index])[:, None]
    u = ((times - at[index]) / step[:, 0])[:, None]
    from_place, to_place = places[index], places[index + 1]
    mixed: Matrix = (
        (1.0 + 2.0 * u) * (1.0 - u) ** 2 * from_place
        + u * (1.0 - u) ** 2 * step * slopes[index]
        + u**2 * (3.0 - 2.0 * u) * to_place
        + u**2 * (u - 1.0) * step * slopes[index + 1]
    )
    return mixed


def _interpolate_attitudes(at: Vector, attitudes: Matrix, times: Vector) -> Matrix:
    """Axes at times, (N, 3, 3): spherical interpolation between rows, the shorter way."""
    index = np.clip(np.searchsorted(at, times, side="right") - 1, 0, len(at) - 2)
    found = []
    for number, first in enumerate(index):
        before, after = attitudes[first], attitudes[first + 1]
        u = (times[number] - at[first]) / (at[first + 1] - at[first])
        cosine = float(before @ after)
        after, cosine = (-after, -cosine) if cosine < 0.0 else (after, cosine)
        angle = math.acos(min(cosine, 1.0))
        if angle < 1e-9:
            mixed = before
        else:
            mixed = (math.sin((1.0 - u) * angle) * before + math.sin(u * angle) * after) / math.sin(angle)
        found.append(to_matrix(mixed / np.linalg.norm(mixed)).T)
    return np.array(found)


def _about_x(angle: float) -> Matrix:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _about_z(angle: float) -> Matrix:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
