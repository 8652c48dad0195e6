"""Relative navigation: an extended Kalman filter of position and velocity relative to the body.

The state is x = (r, v, b, s): position and velocity of the spacecraft in N, km and km/s; b (2,), where the measured
centre lies from the centre of mass, in the body's diameters, along the sun's direction in the image and across; s, the
logarithm of the body's apparent diameter over what is known. b and s are first-order Gauss-Markov processes: errors of
maps go together from frame to frame, as the shape and the light do, and a filter that took them for white noise would
trust itself too much (Bar-Shalom, Li and Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001,
section 8.2; Tapley, Schutz and Born, Statistical Orbit Determination, 2004, section 4.9). The update is iterated (Bell
and Cathey, The iterated Kalman filter update as a Gauss-Newton method, 1993), the covariance in Joseph's form.
A measurement is taken where its innovation is within the gate, and one that comes late is taken in at its own time: the
filter goes back to the state of then and forward again.

Basilisk's small-body filters measure whole positions, not directions, and filterpy is not kept up any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hil.fly.states import Matrix, Vector

STATES = 9
_R, _V, _B, _S = slice(0, 3), slice(3, 6), slice(6, 8), 8
_LONGEST_STEP_S = 10.0
# Of two degrees of freedom, 99.99 %. After so many in a row beyond it the filter is wrong, not the measurements: the
# covariance of the position grows by this factor.
GATE, _MOST_REJECTED, _DOUBT = 18.4, 3, 4.0
# Of an update: what a first direction says of the position depends on a range that is known to a twentieth only.
_ITERATIONS = 2
# Measurements later than this are not taken in any more.
LONGEST_DELAY_S = 60.0


@dataclass(frozen=True)
class Noise:
    """What a kind of measurement is trusted.

    Attributes:
        center: standard deviation of a centre without a covariance of its own, body diameters.
        offset: of the Gauss-Markov offset of the centre at a phase angle of 0, body diameters, along each axis.
        offset_unlit: what it grows by with the sine of the phase angle, up to 90 degrees: the more of the body is dark.
        offset_s: its correlation time.
        size: of the logarithm of the apparent diameter.
        scale: of its Gauss-Markov error; scale_s: its correlation time.
    """

    center: float
    offset: float
    offset_unlit: float
    offset_s: float
    size: float
    scale: float
    scale_s: float

    def offset_at(self, position_km: Vector, sun: Vector) -> float:
        """The offset's standard deviation as seen from a place; sun: unit vector."""
        cosine = float(position_km @ sun) / float(np.linalg.norm(position_km))
        return self.offset + self.offset_unlit * float(np.sqrt(1.0 - min(max(cosine, 0.0), 1.0) ** 2))


@dataclass(frozen=True)
class Measurement:
    """Centre and size of the body in a frame.

    Attributes:
        time_s: of the exposure.
        axes: (3, 3), the camera's axes in N as the star tracker has them.
        sun: (3,), unit vector to the sun in N.
        center: (2,), pixels from the frame's middle, x right and y down.
        covariance: (2, 2), square pixels.
        diameter_px: apparent; None where it is not known.
    """

    time_s: float
    axes: Matrix
    sun: Vector
    center: Vector
    covariance: Matrix
    diameter_px: float | None = None


@dataclass(frozen=True)
class Innovation:
    """What a measurement was against what was expected: squared over its covariance, and whether it was taken."""

    squared: float
    taken: bool


@dataclass
class Estimate:
    """State (9,) and covariance (9, 9) at a time."""

    time_s: float
    state: Vector
    covariance: Matrix

    def copy(self) -> Estimate:
        return Estimate(self.time_s, self.state.copy(), self.covariance.copy())

    @property
    def position_km(self) -> Vector:
        return self.state[_R]

    @property
    def velocity_km_s(self) -> Vector:
        return self.state[_V]

    def nees(self, position_km: Vector, velocity_km_s: Vector) -> float:
        """Normalized squared error of position and velocity: chi-square of six degrees of freedom if consistent."""
        error = self.state[:6] - np.concatenate([position_km, velocity_km_s])
        return float(error @ np.linalg.solve(self.covariance[:6, :6], error))


@dataclass
class _Past:
    """The estimate before a measurement at its time, and the measurement; None where the filter begins."""

    estimate: Estimate
    measurement: Measurement | None

    @property
    def time_s(self) -> float:
        return self.estimate.time_s


@dataclass
class RelativeFilter:
    """The filter.

    Attributes:
        estimate: at the time that it was last brought to.
        mu: of the body, km^3/s^2.
        sun: (3,), unit vector to the sun in N.
        diameter_km: of the body as it is known.
        focal_px: of the camera.
        noise: of the measurements.
        acceleration: spectral density of what the model leaves out, km^2/s^3.
    """

    estimate: Estimate
    mu: float
    sun: Vector
    diameter_km: float
    focal_px: float
    noise: Noise
    acceleration: float
    _past: list[_Past] = field(default_factory=list)
    _rejected: int = 0

    def __post_init__(self) -> None:
        self._past.append(_Past(self.estimate.copy(), None))

    def advance(self, time_s: float) -> None:
        """Go on to a time without measurements: the filter coasts."""
        while self.estimate.time_s < time_s - 1e-9:
            self._step(min(time_s - self.estimate.time_s, _LONGEST_STEP_S))

    def measure(self, measurement: Measurement) -> Innovation:
        """Take in a measurement, at its time; the estimate stays at the later of the two times.

        Raises:
            ValueError: it is older than the filter remembers.
        """
        now = self.estimate.time_s
        if measurement.time_s >= now - 1e-9:
            self.advance(measurement.time_s)
            return self._take(measurement)
        before = [past for past in self._past if past.time_s <= measurement.time_s]
        if now - measurement.time_s > LONGEST_DELAY_S or not before:
            expected = f"one of the last {LONGEST_DELAY_S:g} s and after the first that is remembered"
            raise ValueError(f"measurement: expected {expected}, got one of {measurement.time_s:g} s")
        again = [before[-1].measurement, measurement, *(past.measurement for past in self._past[len(before) :])]
        self.estimate = before[-1].estimate.copy()
        if before[-1].measurement is None:
            del self._past[len(before) :]
        else:
            del self._past[len(before) - 1 :]
        found = Innovation(0.0, False)
        for entry in again:
            if entry is None:
                continue
            self.advance(entry.time_s)
            result = self._take(entry)
            found = result if entry is measurement else found
        self.advance(now)
        return found

    def _step(self, step_s: float) -> None:
        """One step of the dynamics: RK4 of point-mass gravity, and the transition matrix to second order."""
        state = self.estimate.state
        r, v = state[_R], state[_V]

        def pull(place: Vector) -> Vector:
            return -self.mu * place / float(np.linalg.norm(place)) ** 3

        k1, l1 = v, pull(r)
        k2, l2 = v + 0.5 * step_s * l1, pull(r + 0.5 * step_s * k1)
        k3, l3 = v + 0.5 * step_s * l2, pull(r + 0.5 * step_s * k2)
        k4, l4 = v + step_s * l3, pull(r + step_s * k3)
        distance = float(np.linalg.norm(r))
        gradient = self.mu * (3.0 * np.outer(r, r) / distance**5 - np.eye(3) / distance**3)
        transition = np.eye(STATES)
        transition[_R, _R] += 0.5 * step_s**2 * gradient
        transition[_R, _V] = step_s * np.eye(3)
        transition[_V, _R] = step_s * gradient
        transition[_V, _V] += 0.5 * step_s**2 * gradient
        process = np.zeros((STATES, STATES))
        q = self.acceleration
        process[_R, _R] = q * step_s**3 / 3.0 * np.eye(3)
        process[_R, _V] = process[_V, _R] = q * step_s**2 / 2.0 * np.eye(3)
        process[_V, _V] = q * step_s * np.eye(3)
        offset = self.noise.offset_at(r, self.sun)
        for index, sigma, time_s in (
            (6, offset, self.noise.offset_s),
            (7, offset, self.noise.offset_s),
            (_S, self.noise.scale, self.noise.scale_s),
        ):
            kept = float(np.exp(-step_s / time_s))
            transition[index, index] = kept
            process[index, index] = sigma**2 * (1.0 - kept**2)
        moved = transition @ state
        moved[_R] = r + step_s / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        moved[_V] = v + step_s / 6.0 * (l1 + 2.0 * l2 + 2.0 * l3 + l4)
        self.estimate.state = moved
        self.estimate.covariance = transition @ self.estimate.covariance @ transition.T + process
        self.estimate.time_s += step_s

    def _take(self, measurement: Measurement) -> Innovation:
        self._past.append(_Past(self.estimate.copy(), measurement))
        # One that is older is what the oldest late measurement goes back to.
        old = sum(past.time_s < measurement.time_s - LONGEST_DELAY_S for past in self._past)
        del self._past[: max(old - 1, 0)]
        value, noise = measurement.center, measurement.covariance
        if measurement.diameter_px is not None:
            value = np.append(value, np.log(measurement.diameter_px))
            noise = np.block([[noise, np.zeros((2, 1))], [np.zeros((1, 2)), np.array([[self.noise.size**2]])]])
        before, covariance = self.estimate.state, self.estimate.covariance
        expected, design = self._expect(before, measurement)
        spread = design @ covariance @ design.T + noise
        difference = value - expected
        squared = float(difference[:2] @ np.linalg.solve(spread[:2, :2], difference[:2]))
        if squared > GATE:
            self._rejected += 1
            if self._rejected >= _MOST_REJECTED:
                covariance[_R, _R] *= _DOUBT
                self._rejected = 0
            return Innovation(squared, False)
        self._rejected = 0
        gain = np.linalg.solve(spread, design @ covariance).T
        state = before + gain @ difference
        for _ in range(_ITERATIONS):
            expected, design = self._expect(state, measurement)
            spread = design @ covariance @ design.T + noise
            gain = np.linalg.solve(spread, design @ covariance).T
            state = before + gain @ (value - expected - design @ (before - state))
        self.estimate.state = state
        kept = np.eye(STATES) - gain @ design
        covariance = kept @ covariance @ kept.T + gain @ noise @ gain.T
        self.estimate.covariance = 0.5 * (covariance + covariance.T)
        return Innovation(squared, True)

    def _expect(self, state: Vector, measurement: Measurement) -> tuple[Vector, Matrix]:
        """What a state says of a measurement, and its derivatives: (2,), (2, 9); with a diameter (3,), (3, 9)."""
        r, offset, scale = state[_R], state[_B], float(state[_S])
        distance = float(np.linalg.norm(r))
        x, y, z = measurement.axes @ -r
        depth = max(float(z), 0.05 * distance)  # behind the camera there is no measurement that could pass the gate
        diameter = self.focal_px * self.diameter_km / distance
        along, across = image_axes(measurement.axes, measurement.sun)
        turned = np.stack([along, across], axis=1)
        expected = np.append(
            self.focal_px / depth * np.array([x, y]) + diameter * turned @ offset, np.log(diameter) + scale
        )
        design = np.zeros((3, STATES))
        projection = self.focal_px / depth * np.array([[1.0, 0.0, -x / depth], [0.0, 1.0, -y / depth]])
        growth = -r / distance**2
        design[:2, _R] = -projection @ measurement.axes + np.outer(diameter * turned @ offset, growth)
        design[:2, _B] = diameter * turned
        design[2, _R] = growth
        design[2, _S] = 1.0
        count = 2 if measurement.diameter_px is None else 3
        return expected[:count], design[:count]


def image_axes(axes: Matrix, sun: Vector) -> tuple[Vector, Vector]:
    """Unit vectors in the image, (2,) each: towards the sun, and across; the image's own where it is behind."""
    x, y = axes[0] @ sun, axes[1] @ sun
    length = float(np.hypot(x, y))
    along = np.array([x, y]) / length if length > 1e-6 else np.array([1.0, 0.0])
    return along, np.array([-along[1], along[0]])
