"""Ways past a body: hyperbolas and tables, attitudes, and the body's rotation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from hil.scenarios.way_tables import Hyperbola, Rotation, TrajectoryTable
from hil.sources.poses import (
    TrajectoryError,
    find_body_axes,
    find_poses,
    fly_hyperbola,
    look_at_centre,
    read_track,
    to_matrix,
    to_quaternion,
)

STILL = Rotation()
ELEMENTS = {
    "periapsis": 2.0,
    "excess_speed": 0.01,
    "eccentricity": 1.5,
    "inclination_deg": 30.0,
    "node_deg": 40.0,
    "argument_deg": 50.0,
    "from_s": -800.0,
    "to_s": 800.0,
}


def test_a_hyperbola_keeps_to_the_two_body_problem() -> None:
    """Closest at periapsis, the same energy and angular momentum everywhere, in the plane of its elements."""
    elements = Hyperbola(**ELEMENTS)
    times = np.linspace(-800.0, 800.0, 4001)
    places = fly_hyperbola(elements, times)
    ranges = np.linalg.norm(places, axis=1)
    assert times[ranges.argmin()] == pytest.approx(0.0, abs=0.3)
    assert ranges.min() == pytest.approx(2.0, rel=1e-6)
    velocity = np.gradient(places, times, axis=0)[1:-1]
    mu = 0.01**2 * 2.0 / 0.5
    energy = 0.5 * np.sum(velocity**2, axis=1) - mu / ranges[1:-1]
    assert energy == pytest.approx(0.5 * 0.01**2, rel=1e-3)
    momentum = np.cross(places[1:-1], velocity)
    assert np.linalg.norm(momentum, axis=1) == pytest.approx(math.sqrt(mu * 2.0 * 2.5), rel=1e-4)
    tilt, node = math.radians(30.0), math.radians(40.0)
    normal = np.array([math.sin(tilt) * math.sin(node), -math.sin(tilt) * math.cos(node), math.cos(tilt)])
    assert momentum[1000] / np.linalg.norm(momentum[1000]) == pytest.approx(normal, abs=1e-5)
    # Periapsis is so many degrees from the node, which lies in the x-y plane.
    ascending = np.array([math.cos(node), math.sin(node), 0.0])
    assert places[2000] @ ascending / 2.0 == pytest.approx(math.cos(math.radians(50.0)), abs=1e-6)


def test_poses_are_equally_spaced_and_in_kilometres() -> None:
    track = read_track(Hyperbola(**{**ELEMENTS, "unit": "d0"}), Path())
    poses = find_poses(track, STILL, (0.0, 0.0, 5.0), 5, 3.0)
    assert [pose.time_s for pose in poses] == [-800.0, -400.0, 0.0, 400.0, 800.0]
    assert poses[2].range_km == pytest.approx(6.0)
    assert poses[0].sun == pytest.approx([0.0, 0.0, 1.0])
    for pose in poses:
        assert pose.axes @ pose.camera_km == pytest.approx([0.0, 0.0, -pose.range_km], abs=1e-9)
        cosine = -float(pose.sun_in_camera[2])
        assert pose.phase_deg == pytest.approx(math.degrees(math.acos(cosine)))
    (alone,) = find_poses(track, STILL, (1.0, 0.0, 0.0), 1, 3.0)
    assert alone.time_s == 0.0


def write(folder: Path, text: str) -> TrajectoryTable:
    (folder / "way.csv").write_text(text)
    return TrajectoryTable(path="way.csv")


def test_a_table_is_followed_through_its_rows(tmp_path: Path) -> None:
    rows = [(t, 10.0 + 0.02 * t * t, 3.0 * t, -1.0) for t in (0.0, 1.0, 2.5, 4.0)]
    text = "time_s, x, y, z\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    track = read_track(write(tmp_path, text), tmp_path)
    poses = find_poses(track, STILL, (1.0, 0.0, 0.0), 9, None)
    for pose in poses:
        t = pose.time_s
        assert pose.camera_km == pytest.approx([10.0 + 0.02 * t * t, 3.0 * t, -1.0], abs=0.01)
    assert poses[2].camera_km == pytest.approx(rows[1][1:])


def test_a_table_may_have_attitudes(tmp_path: Path) -> None:
    """A quarter turn about z between two rows; half of it in the middle, however the signs are written."""
    half = math.sqrt(0.5)
    text = f"time_s,x,y,z,qw,qx,qy,qz\n0,0,0,-9,2,0,0,0\n\n10,0,0,-9,{-half},0,0,{-half}\n"
    poses = find_poses(read_track(write(tmp_path, text), tmp_path), STILL, (1.0, 0.0, 0.0), 3, None)
    assert poses[0].axes == pytest.approx(np.eye(3))
    eighth = math.radians(45.0)
    assert poses[1].axes[0] == pytest.approx([math.cos(eighth), math.sin(eighth), 0.0])
    assert poses[2].axes[0] == pytest.approx([0.0, 1.0, 0.0], abs=1e-12)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: expected time_s,x,y,z or time_s,x,y,z,qw,qx,qy,qz, got ''"),
        ("t,x,y,z\n0,1,2,3\n", "line 1: expected time_s,x,y,z or"),
        ("time_s,x,y,z\n0,1,2,3\n1,1,2\n", "line 3: expected 4 columns, got 3"),
        ("time_s,x,y,z\n0,1,2,3\n1,1,two,3\n", "line 3: y: expected a number, got 'two'"),
        ("time_s,x,y,z\n0,1,2,nan\n1,1,2,3\n", "line 2: z: expected a number, got 'nan'"),
        ("time_s,x,y,z\n1,1,2,3\n1,1,2,3\n", "line 3: expected a time after 1 s, got 1 s"),
        ("time_s,x,y,z\n1,1,2,3\n", "expected two lines of numbers or more, got 1"),
        ("time_s,x,y,z,qw,qx,qy,qz\n0,1,2,3,0,0,0,0\n1,1,2,3,1,0,0,0\n", "line 2: expected a quaternion, got one of"),
        ("\x00\xff", "way.csv: "),
    ],
)
def test_a_table_that_is_none_is_told_by_its_line(tmp_path: Path, text: str, problem: str) -> None:
    table = write(tmp_path, "")
    (tmp_path / "way.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(TrajectoryError) as told:
        read_track(table, tmp_path)
    assert problem in str(told.value)
    assert str(told.value).startswith(str(tmp_path / "way.csv"))
    assert "\n" not in str(told.value)


def test_a_table_that_is_not_there_and_a_camera_in_the_centre_are_told(tmp_path: Path) -> None:
    with pytest.raises(TrajectoryError, match=r"none\.csv: No such file or directory"):
        read_track(TrajectoryTable(path="none.csv"), tmp_path)
    track = read_track(write(tmp_path, "time_s,x,y,z\n0,-1,0,0\n2,1,0,0\n"), tmp_path)
    with pytest.raises(TrajectoryError, match="frame 1: expected a camera away from the body's centre"):
        find_poses(track, STILL, (1.0, 0.0, 0.0), 3, None)


def test_the_body_turns_by_its_pole_and_meridian() -> None:
    rotation = Rotation(pole_ra_deg=30.0, pole_dec_deg=60.0, meridian_deg=20.0, period_s=360.0)
    for time_s in (0.0, 70.0, -1e6 * 360.0):
        x, y, z = find_body_axes(rotation, time_s)
        assert z == pytest.approx([0.5 * math.cos(math.radians(30)), 0.25, math.sqrt(0.75)])
        assert np.cross(x, y) == pytest.approx(z)
        # W is counted in the equator from the node, whose right ascension is that of the pole and 90 degrees.
        node = np.array([-0.5, math.sqrt(0.75), 0.0])
        angle = math.degrees(math.atan2(float(x @ np.cross(z, node)), float(x @ node)))
        assert angle % 360.0 == pytest.approx((20.0 + time_s) % 360.0)
    assert find_body_axes(STILL, 5.0) == pytest.approx(find_body_axes(STILL, 0.0))


def test_a_pose_seen_from_the_body_is_the_same_pose() -> None:
    """Turning the body by a quarter turns camera and sun the other way, and changes no angle between them."""
    track = read_track(Hyperbola(**ELEMENTS), Path())
    turned = Rotation(meridian_deg=90.0)
    plain, other = (find_poses(track, rotation, (1.0, 2.0, 3.0), 3, None)[1].view() for rotation in (STILL, turned))
    quarter = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert other.camera_km == pytest.approx(quarter @ plain.camera_km)
    assert other.sun == pytest.approx(quarter @ plain.sun)
    assert other.axes @ other.sun == pytest.approx(plain.axes @ plain.sun)


def test_the_centre_is_looked_at_from_everywhere() -> None:
    for place in ([3.0, 1.0, 0.2], [0.0, 0.0, 5.0], [0.0, 0.0, -5.0]):
        axes = look_at_centre(np.array(place))
        assert axes @ axes.T == pytest.approx(np.eye(3))
        assert np.linalg.det(axes) == pytest.approx(1.0)
        assert (axes @ -np.array(place))[2] > 0.0
    assert look_at_centre(np.array([1.0, 0.0, 0.0]))[1] == pytest.approx([0.0, 0.0, -1.0])  # y is down


def test_quaternions_and_matrices_are_the_same_rotation() -> None:
    """At random, and half turns about each axis, where the scalar part is none."""
    for quaternion in [*np.random.default_rng(1).standard_normal((200, 4)), *np.eye(4), *-np.eye(4)]:
        unit = quaternion / np.linalg.norm(quaternion)
        found = to_quaternion(to_matrix(unit))
        assert abs(float(found @ unit)) == pytest.approx(1.0)
        assert found[0] >= 0.0
