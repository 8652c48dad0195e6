"""States of the spacecraft and the body, as plain data.

Frames: N is inertial with its origin in the body's centre of mass; P is body-fixed, z along the spin axis; C is the
camera's, x right, y down, z along the boresight, and the spacecraft's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Spin:
    """Rotation of the body. pole: (3, 3), rows are the body's axes in N at time 0; rate_rad_s: about the last."""

    pole: Matrix
    rate_rad_s: float

    def axes(self, time_s: float) -> Matrix:
        """Rows are the body-fixed axes in N, (3, 3)."""
        angle = self.rate_rad_s * time_s
        cosine, sine = np.cos(angle), np.sin(angle)
        turned: Matrix = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]]) @ self.pole
        return turned


@dataclass(frozen=True)
class Gravity:
    """Gravity of the body. mu: km^3/s^2. shape: an OBJ file in metres for a polyhedron's; None: of a point."""

    mu: float
    shape: str | None = None


@dataclass(frozen=True)
class Pose:
    """True state of the spacecraft and the body.

    Attributes:
        time_s: from the start.
        position_km: (3,), N.
        velocity_km_s: (3,), N.
        axes: (3, 3), rows are the camera's axes in N.
        rate_rad_s: (3,), angular velocity of the spacecraft in C.
        body_axes: (3, 3), rows are the body-fixed axes in N.
        wheel_rpm: (3,), speeds of the reaction wheels.
    """

    time_s: float
    position_km: Vector
    velocity_km_s: Vector
    axes: Matrix
    rate_rad_s: Vector
    body_axes: Matrix
    wheel_rpm: Vector


@dataclass(frozen=True)
class Pointing:
    """What the camera is to do. axes: (3, 3), rows its axes in N; rate_rad_s: (3,), their angular velocity in N."""

    axes: Matrix
    rate_rad_s: Vector = field(default_factory=lambda: np.zeros(3))
