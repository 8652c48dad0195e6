"""A descent: the camera looks at the site, maps choose it again on the way, and the truth says where it ended.

Guidance follows a reference straight above the site, whose height falls exponentially; feedback of position and
velocity keeps the spacecraft on it (Wie, Space Vehicle Dynamics and Control, 2008, chapter 2). Navigation is not tried
here: position relative to the ground is known to a share of the height, as landmarks and an altimeter give it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from flight.client import Refusal, landing_circles
from flight.icd.limits import TOPIC_HAZARD
from hil.fly.plan import mass_parameter, random_rotation
from hil.fly.record import Touchdown
from hil.fly.scenario import Descent, FlightScenario
from hil.fly.scenery import Scenery
from hil.fly.simulation import CONTROL_STEP_S, Simulation
from hil.fly.sites import Look, Site, choose_by_variance, choose_circle, choose_ground, measure_miss
from hil.fly.states import Gravity, Pointing, Pose, Spin, Vector
from hil.fly.wire import Wire
from hil.runs.target import Target
from hil.sources.poses import look_along
from hil.sources.renderer import CameraView

_PLACE, _SENSOR = 11, 12
# Position relative to the ground, and the altimeter's range, over the height.
_POSITION_ERROR, _ALTIMETER_ERROR = 0.002, 0.002
_FREQUENCY_RAD_S, _DAMPING = 0.12, 0.9
_MOST_CIRCLES = 16
# After the last frame the lander goes on to the site of then.
_BLIND_S = 40.0


def descend(
    scenario: FlightScenario, scenery: Scenery, draw: int, kind: str, target: Target | None, shape: str | None
) -> Touchdown:
    """Fly one descent.

    Args:
        scenario: of the flight.
        scenery: the body.
        draw: its number.
        kind: "maps" or "variance".
        target: the service; needed for maps.
        shape: OBJ file of the body's polyhedron, or None.
    """
    way = scenario.trajectory
    assert isinstance(way, Descent)
    done = Touchdown(scenery.name, draw, kind, lander_m=1e3 * way.lander_radius * scenery.extent_km)
    with _open_wire(kind, target) as wire:
        lander = _Lander(scenario, way, scenery, draw, wire, shape, done)
        lander.fly()
    return done


@contextmanager
def _open_wire(kind: str, target: Target | None) -> Iterator[Wire | None]:
    if kind != "maps":
        yield None
        return
    assert target is not None
    with Wire(target, TOPIC_HAZARD) as wire:
        yield wire


class _Lander:
    """One descent under way."""

    def __init__(
        self,
        scenario: FlightScenario,
        way: Descent,
        scenery: Scenery,
        draw: int,
        wire: Wire | None,
        shape: str | None,
        done: Touchdown,
    ) -> None:
        self._scenario, self._way, self._scenery, self._draw = scenario, way, scenery, draw
        self._wire, self._done = wire, done
        generator = np.random.default_rng([scenario.seed, draw, _PLACE])
        self._height = way.from_d0 * scenery.d0_km
        self._ground = choose_ground(scenery, way, self._height, generator)
        self._site = self._ground.place
        pole = random_rotation(generator)
        self._spin = Spin(pole, 2.0 * math.pi / scenario.spin_period_s)
        self._sun = pole.T @ self._ground.sun
        self._mu = mass_parameter(scenario, scenery)
        start = self._ground.place + self._height * self._ground.up
        inertial = pole.T @ start
        gravity = Gravity(self._mu, shape if scenario.gravity == "polyhedron" else None)
        self._simulation = Simulation(
            inertial, self._carried(inertial), self._look_down(pole, inertial), gravity, self._spin
        )

    def fly(self) -> None:
        """Fly it, and fill the touchdown."""
        for index in range(self._scenario.exposures):
            self._go_on(index * self._scenario.every_s)
            self._expose(index)
        self._go_on(self._scenario.duration_s + _BLIND_S)
        self._touch_down()

    def _carried(self, inertial: Vector) -> Vector:
        """Velocity in N of what turns with the body."""
        return np.asarray(np.cross(self._spin.pole[2] * self._spin.rate_rad_s, inertial))

    def _look_down(self, body_axes: NDArray[np.float64], inertial: Vector) -> Pointing:
        towards = body_axes.T @ self._site - inertial
        up = body_axes.T @ np.cross(self._ground.up, self._ground.sun)
        return Pointing(look_along(towards, up), self._spin.pole[2] * self._spin.rate_rad_s)

    def _go_on(self, until_s: float) -> None:
        """Fly on above the site."""
        rate = math.log(self._way.from_d0 / self._way.to_d0) / self._scenario.duration_s
        now = self._simulation.pose().time_s
        while now < until_s - 1e-9:
            pose = self._simulation.pose()
            height = self._height * math.exp(-rate * now)
            wanted = pose.body_axes.T @ (self._site + height * self._ground.up)
            velocity = self._carried(wanted) - rate * height * (pose.body_axes.T @ self._ground.up)
            pull = -self._mu * pose.position_km / float(np.linalg.norm(pose.position_km)) ** 3
            self._simulation.push(
                _FREQUENCY_RAD_S**2 * (wanted - pose.position_km)
                + 2.0 * _DAMPING * _FREQUENCY_RAD_S * (velocity - pose.velocity_km_s)
                + rate**2 * height * (pose.body_axes.T @ self._ground.up)
                - pull
            )
            self._simulation.point(self._look_down(pose.body_axes, pose.position_km))
            now = min(now + CONTROL_STEP_S, until_s)
            self._simulation.advance(now)

    def _expose(self, index: int) -> None:
        pose = self._simulation.pose()
        look = self._take_frame(index, pose)
        if look is None:
            return
        if self._wire is None:
            found = choose_by_variance(look, self._way, self._done.lander_m / 1e3, self._site)
        else:
            found = self._choose_by_map(index, look)
        if found is None:
            return
        self._done.chosen += 1
        moved = float(np.linalg.norm(found.place - self._site)) > self._done.lander_m / 1e3
        self._done.retargeted += int(moved and self._done.chosen > 1)
        self._site = found.place
        self._done.promised_m = 1e3 * found.radius_km if self._wire is not None else None

    def _take_frame(self, index: int, pose: Pose) -> Look | None:
        """The frame of a pose, and what the lander knows of where it was taken; None if the ground is not ahead."""
        scenario = self._scenario
        camera, axes = pose.body_axes @ pose.position_km, pose.axes @ pose.body_axes.T
        (distance,) = self._scenery.ranges(camera[None], axes[2:3])
        if not math.isfinite(distance):
            return None
        seed = int(np.random.SeedSequence([scenario.seed, self._draw, index]).generate_state(1)[0])
        drawn = self._scenery.image(CameraView(camera, axes, pose.body_axes @ self._sun), seed)
        pixels, bit_depth = scenario.camera.expose(drawn, 8, index, seed)
        generator = np.random.default_rng([scenario.seed, self._draw, _SENSOR, index])
        error = _POSITION_ERROR * distance * generator.standard_normal(3)
        known = camera + error
        measured = distance * (1.0 + _ALTIMETER_ERROR * float(generator.standard_normal()))
        return Look(
            pixels,
            bit_depth,
            known,
            axes,
            known + measured * axes[2],
            self._ground.up,
            self._scenery.focal_px,
            distance,
        )

    def _choose_by_map(self, index: int, look: Look) -> Site | None:
        assert self._wire is not None
        time_s = self._simulation.pose().time_s
        if not self._wire.send(look.pixels, look.bit_depth, index, time_s, self._scenario.camera.exposure_s):
            return None
        deadline = time.monotonic() + self._scenario.answer_s
        while time.monotonic() < deadline:
            came = self._wire.receive(0.5)
            if came is not None and came[0] == index:
                least = self._done.lander_m / 1e3 * look.focal_px / look.height_km
                found = landing_circles(came[1], least, _MOST_CIRCLES)
                if isinstance(found, Refusal):
                    return None
                return choose_circle(look, self._way, found.circles, self._done.lander_m / 1e3, self._site)
        return None

    def _touch_down(self) -> None:
        """Straight down from where the spacecraft is; the truth around, seen from above."""
        if not self._done.chosen:
            return
        pose = self._simulation.pose()
        camera = pose.body_axes @ pose.position_km
        (distance,) = self._scenery.ranges(camera[None], -self._ground.up[None])
        if not math.isfinite(distance):
            self._done.chosen = 0
            return
        touched = camera - distance * self._ground.up
        self._done.target_error_m = 1e3 * float(np.linalg.norm(np.cross(touched - self._site, self._ground.up)))
        self._done.miss_m = 1e3 * measure_miss(self._scenery, touched, self._ground.up, self._done.lander_m / 1e3)
