"""The loop: the simulation goes on to an exposure, the frame becomes a measurement, the estimate points the camera."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from flight.icd.products import Product
from hil.fly.filter import Measurement, RelativeFilter
from hil.fly.measurement import Sighting, noise_of, sight_by_brightness, sight_in_map
from hil.fly.plan import (
    ATTITUDE,
    Plan,
    first_estimate,
    known_diameter,
    make_gravity,
    unmodelled_acceleration,
)
from hil.fly.record import Exposure, FlightRecord, Picture
from hil.fly.scenario import FlightScenario
from hil.fly.scenery import Scenery
from hil.fly.simulation import CONTROL_STEP_S, Simulation
from hil.fly.states import Pose
from hil.fly.wire import Wire
from hil.sources.renderer import CameraView

Tell = Callable[[str], None]


class Flight:
    """One flight with one kind of measurement.

    Args:
        scenario: of the flight.
        plan: of the draw.
        scenery: the body.
        record: that is filled.
        wire: to the service; None where the measurement needs none.
        shape: OBJ file of the body's polyhedron, or None.
        keep_pictures: of every exposure.
    """

    def __init__(
        self,
        scenario: FlightScenario,
        plan: Plan,
        scenery: Scenery,
        record: FlightRecord,
        wire: Wire | None,
        shape: str | None = None,
        keep_pictures: bool = False,
    ) -> None:
        self._scenario, self._plan, self._scenery, self._record, self._wire = scenario, plan, scenery, record, wire
        self._keep = keep_pictures
        noise = noise_of(record.kind, scenery.elongation)
        self._filter = RelativeFilter(
            estimate=first_estimate(scenario, plan, noise),
            mu=plan.mu,
            sun=plan.sun,
            diameter_km=known_diameter(scenario, plan, scenery),
            focal_px=scenery.focal_px,
            noise=noise,
            acceleration=unmodelled_acceleration(scenario, plan),
        )
        estimate = self._filter.estimate
        start = plan.look(estimate.position_km, estimate.velocity_km_s)
        gravity = make_gravity(scenario, plan, shape)
        self._simulation = Simulation(plan.position_km, plan.velocity_km_s, start, gravity, plan.spin)
        self._attitudes: dict[int, NDArray[np.float64]] = {}

    def fly(self, tell: Tell = lambda line: None) -> None:
        """Fly it, and fill the record."""
        scenario, began = self._scenario, time.monotonic()
        for index in range(scenario.exposures):
            self._go_on(index * scenario.every_s, began)
            self._expose(index)
            if index % 10 == 0:
                seen = self._record.exposures[-1]
                tell(f"{self._record.kind}: {index + 1}/{scenario.exposures}, pointing {seen.pointing_deg:.2f} deg")
        if scenario.speed:
            self._take_products(2.0)

    def _go_on(self, until_s: float, began: float) -> None:
        """Fly to a time; the camera follows the estimate, and products that come on the way are taken in."""
        now = self._filter.estimate.time_s
        while now < until_s - 1e-9:
            now = min(now + CONTROL_STEP_S, until_s)
            if self._scenario.speed:
                wait_s = max(began + now / self._scenario.speed - time.monotonic(), 0.0)
                self._take_products(wait_s)
                time.sleep(max(began + now / self._scenario.speed - time.monotonic(), 0.0))
            self._filter.advance(now)
            self._simulation.advance(now)
            estimate = self._filter.estimate
            self._simulation.point(self._plan.look(estimate.position_km, estimate.velocity_km_s))

    def _expose(self, index: int) -> None:
        began = time.perf_counter()
        scenario, pose = self._scenario, self._simulation.pose()
        self._record.exposures.append(self._look_at(index, pose))
        if self._record.kind == "none":
            return
        view = CameraView(
            pose.body_axes @ pose.position_km, pose.axes @ pose.body_axes.T, pose.body_axes @ self._plan.sun
        )
        seed = int(np.random.SeedSequence([*self._plan.seed, index]).generate_state(1)[0])
        drawn = self._scenery.image(view, seed)
        pixels, bit_depth = scenario.camera.expose(drawn, 8, index, seed)
        generator = np.random.default_rng([*self._plan.seed, ATTITUDE, index])
        self._attitudes[index] = _tilt(pose.axes, scenario.knowledge.attitude_arcsec, generator)
        if self._keep:
            grey = np.clip(pixels / (1 << (bit_depth - 8)), 0, 255).astype(np.uint8)
            self._record.pictures.append(Picture(grey, self._to_pixels(pose.axes @ -pose.position_km)))
        dropped, _ = scenario.camera.plan_link(index, seed)
        if dropped:
            self._record.exposures[index].answer = "dropped"
        elif self._record.kind == "brightness":
            self._measure(index, sight_by_brightness(pixels, bit_depth))
        elif self._wire is not None:
            self._ask(index, pixels, bit_depth)
        self._record.exposures[index].wall_s = time.perf_counter() - began

    def _ask(self, index: int, pixels: NDArray[np.uint8] | NDArray[np.uint16], bit_depth: int) -> None:
        """Send a frame, and without a clock to follow wait for its product."""
        assert self._wire is not None
        seen = self._record.exposures[index]
        exposure_s = self._scenario.camera.exposure_s
        if not self._wire.send(pixels, bit_depth, index, seen.time_s, exposure_s):
            seen.answer = "not taken"
            return
        seen.answer = "no product"
        if self._scenario.speed:
            return
        deadline = time.monotonic() + self._scenario.answer_s
        while seen.answer == "no product" and time.monotonic() < deadline:
            self._take_products(0.5)

    def _take_products(self, wait_s: float) -> None:
        """Take in what comes within a time; without a clock to follow, the first one."""
        if self._wire is None:
            return
        deadline = time.monotonic() + wait_s
        while True:
            came = self._wire.receive(max(deadline - time.monotonic(), 0.0))
            if came is None:
                return
            index, product = came
            self._take_product(index, product)
            if not self._scenario.speed:
                return

    def _take_product(self, index: int, product: Product) -> None:
        if index not in self._attitudes:
            return
        self._measure(index, sight_in_map(product, self._record.kind))
        if self._keep and "class_map" in product.planes:
            picture = self._record.pictures[index]
            picture.class_map = np.array(product.planes["class_map"], dtype=np.uint8)
            picture.map_to_sensor = tuple(product.header["map_to_sensor"])

    def _measure(self, index: int, sighting: Sighting | str) -> None:
        """Give the filter a sighting at the time of its exposure; a refusal leaves it coasting."""
        seen = self._record.exposures[index]
        if isinstance(sighting, str):
            seen.answer = sighting
            return
        middle = 0.5 * (self._scenery.size - 1)
        center = np.array([sighting.x - middle, sighting.y - middle])
        measurement = Measurement(
            seen.time_s, self._attitudes[index], self._plan.sun, center, sighting.covariance, sighting.diameter_px
        )
        seen.late_s = self._filter.estimate.time_s - seen.time_s
        try:
            innovation = self._filter.measure(measurement)
        except ValueError:
            seen.answer = "too late"
            return
        seen.innovation = innovation.squared
        seen.answer = "measured" if innovation.taken else "beyond the gate"
        if self._keep:
            self._record.pictures[index].measured = (sighting.x, sighting.y)

    def _look_at(self, index: int, pose: Pose) -> Exposure:
        """What is true of an exposure, and what the estimate is worth."""
        estimate = self._filter.estimate
        distance = float(np.linalg.norm(pose.position_km))
        towards = pose.axes @ (-pose.position_km / distance)
        x, y = self._to_pixels(towards)
        inside = towards[2] > 0.0 and -0.5 <= x < self._scenery.size - 0.5 and -0.5 <= y < self._scenery.size - 0.5
        return Exposure(
            index=index,
            time_s=pose.time_s,
            phase_deg=_angle_deg(pose.position_km / distance, self._plan.sun),
            range_d0=distance / self._scenery.d0_km,
            pointing_deg=_angle_deg(towards, np.array([0.0, 0.0, 1.0])),
            out_of_field=not inside,
            error_km=float(np.linalg.norm(estimate.position_km - pose.position_km)),
            sigma_km=float(np.sqrt(np.trace(estimate.covariance[:3, :3]))),
            nees=estimate.nees(pose.position_km, pose.velocity_km_s),
        )

    def _to_pixels(self, towards: NDArray[np.float64]) -> tuple[float, float]:
        """Where a direction of the camera's axes is in the frame."""
        middle, depth = 0.5 * (self._scenery.size - 1), max(float(towards[2]), 1e-9 * float(np.linalg.norm(towards)))
        x, y = middle + self._scenery.focal_px * towards[:2] / depth
        return float(x), float(y)


def _angle_deg(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Angle between unit vectors, degrees."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(first, second)), first @ second)))


def _tilt(axes: NDArray[np.float64], arcsec: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Axes as a star tracker has them: turned about each by a random small angle."""
    x, y, z = np.radians(arcsec / 3600.0) * generator.standard_normal(3)
    turn = np.array([[1.0, z, -y], [-z, 1.0, x], [y, -x, 1.0]])
    q, r = np.linalg.qr(turn.T)
    tilted: NDArray[np.float64] = (q * np.sign(np.diag(r))).T @ axes
    return tilted
