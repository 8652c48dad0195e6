"""Short flights past a drawn sphere: simulation, camera, service, filter and pointing together."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hil.fly.plan import plan_flyby
from hil.fly.scenario import FlightScenario, Flyby, find_flight, read_flight
from hil.fly.scenery import open_scenery

ROOT = Path(__file__).parents[3]
needs_basilisk = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import Basilisk"], capture_output=True, check=False).returncode != 0,
    reason="Basilisk is not installed: pip install 'rubblemap[simulate]'",
)


@pytest.fixture
def short() -> FlightScenario:
    return replace(read_flight(find_flight("drawn")), duration_s=120.0, every_s=20.0)


def test_a_draw_begins_the_same_whoever_flies_it(short: FlightScenario) -> None:
    """Phase angle and range at the beginning are the scenario's; another draw goes another way."""
    way = short.trajectory
    assert isinstance(way, Flyby)
    with open_scenery(short, 0, None) as scenery:
        first, again, other = (plan_flyby(short, way, scenery, draw) for draw in (0, 0, 1))
        distance = float(np.linalg.norm(first.position_km))
        assert distance == pytest.approx(way.farthest_d0 * scenery.d0_km)
        phase = np.degrees(np.arccos(first.position_km @ first.sun / distance))
        assert phase == pytest.approx(way.first_phase_deg)
        end = first.position_km + short.duration_s * first.velocity_km_s
        assert np.degrees(np.arccos(end @ first.sun / np.linalg.norm(end))) == pytest.approx(way.last_phase_deg)
    assert np.array_equal(first.position_km, again.position_km)
    assert not np.allclose(first.position_km, other.position_km)


@needs_basilisk
def test_the_simulation_flies_points_and_turns() -> None:
    from hil.fly.simulation import Simulation
    from hil.fly.states import Gravity, Pointing, Spin
    from hil.sources.poses import look_along

    start, mu = np.array([1.0, 0.0, 0.0]), 1e-6
    up = np.array([0.0, 0.0, 1.0])
    wanted = look_along(-start, up)
    tilted = look_along(-start + np.array([0.0, 0.1, 0.0]), up)
    flown = Simulation(start, np.array([0.0, 1e-3, 0.0]), Pointing(tilted), Gravity(mu), Spin(np.eye(3), 1e-2))
    flown.point(Pointing(wanted))
    flown.advance(60.0)
    pose = flown.pose()
    # A circular orbit of a point mass, and wheels that have turned the camera, and are faster or slower for it.
    assert pose.position_km == pytest.approx([np.cos(0.06), np.sin(0.06), 0.0], abs=1e-6)
    assert np.degrees(np.arccos(min(pose.axes[2] @ wanted[2], 1.0))) < 0.05
    assert pose.body_axes[0] == pytest.approx([np.cos(0.6), np.sin(0.6), 0.0])
    assert np.abs(pose.wheel_rpm - 100.0).max() < 50.0
    flown.push(np.array([0.0, 0.0, 1e-6]))
    flown.advance(70.0)
    assert flown.pose().position_km[2] == pytest.approx(5e-5, rel=0.02)


@needs_basilisk
@pytest.mark.slow  # it starts a service
def test_maps_point_the_camera(short: FlightScenario, tmp_path: Path) -> None:
    """Over the wire and back: every frame is answered, and the camera looks nearer to the body than without maps."""
    from hil.fly.campaign import Job, run_job

    outcome = run_job(Job(short, tmp_path, 0, ("weighted", "none"), None, "local", film=True))
    weighted, none = outcome.record.flights
    assert [entry.answer for entry in weighted.exposures] == ["measured"] * short.exposures
    assert [entry.answer for entry in none.exposures] == [""] * short.exposures
    # The same beginning, and what came of it.
    assert weighted.exposures[0].pointing_deg == pytest.approx(none.exposures[0].pointing_deg)
    last, without = weighted.exposures[-1], none.exposures[-1]
    assert last.error_km < 0.5 * without.error_km
    assert not any(entry.out_of_field for entry in weighted.exposures)
    assert np.median([entry.pointing_deg for entry in weighted.exposures[2:]]) < 0.6
    assert outcome.film[:3] == b"GIF"
    assert outcome.record.bundle
