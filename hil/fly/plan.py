"""What a draw begins with: the way, the body's spin, the sun, and what is known of it, all from seed and draw.

The flights of one draw that are compared begin with the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hil.fly.filter import STATES, Estimate, Noise
from hil.fly.scenario import FlightScenario, Flyby
from hil.fly.scenery import Scenery
from hil.fly.states import Gravity, Matrix, Pointing, Spin, Vector
from hil.sources.poses import look_along

GRAVITATION = 6.67430e-20  # km^3/kg/s^2 (CODATA 2018)
_WAY, _KNOWN, ATTITUDE = 1, 2, 3
# The density of unmodelled accelerations over what makes the velocity's own uncertainty in one flight.
_UNMODELLED = 0.01


@dataclass(frozen=True)
class Plan:
    """The true way at time 0, and what surrounds it.

    Attributes:
        position_km: (3,), N; velocity_km_s: (3,), N.
        sun: (3,), unit vector in N.
        spin: of the body; mu: its gravitation, km^3/s^2.
        up: (3,), N, square to the way: what the camera's roll is counted from; roll_rad: its roll.
        seed: of the draw.
    """

    position_km: Vector
    velocity_km_s: Vector
    sun: Vector
    spin: Spin
    mu: float
    up: Vector
    roll_rad: float
    seed: tuple[int, int]

    def look(self, position_km: Vector, velocity_km_s: Vector) -> Pointing:
        """The attitude that looks at the body from a place, and its rate."""
        axes = look_along(-position_km, self.up, self.roll_rad)
        return Pointing(axes, np.cross(position_km, velocity_km_s) / float(position_km @ position_km))


def random_rotation(generator: np.random.Generator) -> Matrix:
    """A rotation uniform over all of them: QR of a matrix of normal numbers, with the signs made unique."""
    q, r = np.linalg.qr(generator.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    if np.linalg.det(q) < 0.0:
        q[:, 0] = -q[:, 0]
    found: Matrix = q
    return found


def mass_parameter(scenario: FlightScenario, scenery: Scenery) -> float:
    """Gravitation of the body, km^3/s^2, from its volume and density."""
    return GRAVITATION * scenario.density * 1e12 * 4.0 / 3.0 * math.pi * scenery.radius_km**3


def plan_flyby(scenario: FlightScenario, way: Flyby, scenery: Scenery, draw: int) -> Plan:
    """The flyby of a draw: its plane, roll and the body's spin at random.

    Args:
        scenario: of the flight.
        way: its trajectory.
        scenery: the body.
        draw: number of the draw.
    """
    generator = np.random.default_rng([scenario.seed, draw, _WAY])
    ahead, side, up = random_rotation(generator)
    closest, farthest = way.closest_d0 * scenery.d0_km, way.farthest_d0 * scenery.d0_km
    first = -math.acos(closest / farthest)
    last = first + math.radians(way.last_phase_deg - way.first_phase_deg)
    begin, end = closest * math.tan(first), closest * math.tan(last)
    towards_sun = first - math.radians(way.first_phase_deg)
    spin = Spin(random_rotation(generator), 2.0 * math.pi / scenario.spin_period_s)
    return Plan(
        position_km=closest * side + begin * ahead,
        velocity_km_s=(end - begin) / scenario.duration_s * ahead,
        sun=math.cos(towards_sun) * side + math.sin(towards_sun) * ahead,
        spin=spin,
        mu=mass_parameter(scenario, scenery),
        up=up,
        roll_rad=float(generator.uniform(0.0, 2.0 * math.pi)),
        seed=(scenario.seed, draw),
    )


def first_estimate(scenario: FlightScenario, plan: Plan, noise: Noise) -> Estimate:
    """What is known at time 0: the truth with the draw's errors, and their covariance."""
    known = scenario.knowledge
    distance, speed = float(np.linalg.norm(plan.position_km)), float(np.linalg.norm(plan.velocity_km_s))
    along = plan.position_km / distance
    lateral = (distance * math.radians(known.direction_deg)) ** 2
    covariance = np.zeros((STATES, STATES))
    covariance[:3, :3] = lateral * np.eye(3) + ((distance * known.range) ** 2 - lateral) * np.outer(along, along)
    covariance[3:6, 3:6] = (known.velocity * speed) ** 2 * np.eye(3)
    covariance[6, 6] = covariance[7, 7] = noise.offset_at(plan.position_km, plan.sun) ** 2
    covariance[8, 8] = noise.scale**2 + known.size**2
    generator = np.random.default_rng([*plan.seed, _KNOWN])
    error = np.linalg.cholesky(covariance[:6, :6]) @ generator.standard_normal(6)
    state = np.concatenate([plan.position_km, plan.velocity_km_s, np.zeros(3)])
    state[:6] += error
    return Estimate(0.0, state, covariance)


def known_diameter(scenario: FlightScenario, plan: Plan, scenery: Scenery) -> float:
    """The body's diameter as it is known at the start, km."""
    generator = np.random.default_rng([*plan.seed, _KNOWN, 1])
    return 2.0 * scenery.radius_km * (1.0 + scenario.knowledge.size * float(generator.standard_normal()))


def unmodelled_acceleration(scenario: FlightScenario, plan: Plan) -> float:
    """Spectral density of accelerations that the filter's dynamics leave out, km^2/s^3."""
    sigma = scenario.knowledge.velocity * float(np.linalg.norm(plan.velocity_km_s))
    return (_UNMODELLED * sigma) ** 2 / scenario.duration_s


def make_gravity(scenario: FlightScenario, plan: Plan, shape: str | None) -> Gravity:
    """The body's gravity in the simulation; shape: the OBJ file of a polyhedron."""
    return Gravity(plan.mu, shape if scenario.gravity == "polyhedron" else None)
