"""Where the camera and the sun stand: the reference paper's random geometry, and a flyby."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

FIELD_OF_VIEW_DEG = 10.0
SHELL = (0.4, 1.3)  # of D0


@dataclass(frozen=True)
class View:
    """One image's geometry, in the body-fixed frame, origin at the centre of mass.

    camera: (3,) float64, kilometres; its image y axis is as near to the body's -z axis as can be (z is up in the
    image). sun: (3,) float64, unit vector towards the sun. aim: (3,) float64, kilometres, what the camera looks at.
    field_of_view_deg: of an image side, the width of one that is not square; degrees.
    axes: (3, 3) float64, the camera's axes as rows, where its attitude is not that; `aim` is not looked at then.
    """

    camera: np.ndarray
    sun: np.ndarray
    aim: np.ndarray = field(default_factory=lambda: np.zeros(3))
    field_of_view_deg: float = FIELD_OF_VIEW_DEG
    axes: np.ndarray | None = None

    @property
    def range_km(self) -> float:
        return float(np.linalg.norm(self.camera))

    @property
    def phase_angle_deg(self) -> float:
        """Sun - aim - camera, degrees."""
        towards = self.camera - self.aim
        cosine = float(towards @ self.sun) / float(np.linalg.norm(towards))
        return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def camera_axes(view: View) -> np.ndarray:
    """The camera's axes in the body-fixed frame, as rows: x (right), y (down), z (boresight); (3, 3) float64.

    A direction d of the body-fixed frame is camera_axes(view) @ d in the camera's. From above a pole, where z gives no
    direction in the image, the body's x axis points up instead.
    """
    if view.axes is not None:
        return view.axes
    z = view.aim - view.camera
    z /= np.linalg.norm(z)
    up = np.array([0.0, 0.0, 1.0]) if np.hypot(z[0], z[1]) > 1e-9 else np.array([1.0, 0.0, 0.0])
    x = np.cross(z, up)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def pixel_directions(view: View, size: int | tuple[int, int], places: np.ndarray | float = 0.5) -> np.ndarray:
    """Directions through the pixels of an image, body-fixed, one long along the boresight.

    size: image side, or height and width, which the field of view is across; pixels. places: within each pixel, right
    and down, 0..1: (H * W, 2), or the same for all. Returns (H * W, 3) float64, row by row from the upper left pixel.
    """
    x, y, z = camera_axes(view)
    height, width = (size, size) if isinstance(size, int) else size
    row, column = np.divmod(np.arange(height * width), width)
    half = np.tan(np.radians(view.field_of_view_deg) / 2.0) * np.array([1.0, height / width])
    sides = np.array([width, height])
    right, down = (((np.stack([column, row], axis=1) + places) / sides * 2.0 - 1.0) * half).T[..., None]
    directions: np.ndarray = z + right * x + down * y
    return directions


def reference_range(extent: float, field_of_view_deg: float = FIELD_OF_VIEW_DEG) -> float:
    """D0 = Gamma / (2 tan(FOV / 2)): the range at which the largest extent fills the image, kilometres."""
    return extent / (2.0 * np.tan(np.radians(field_of_view_deg) / 2.0))


def random_view(extent: float, generator: np.random.Generator) -> View:
    """A view as in D-1: camera uniform in the volume of the shell [0.4, 1.3] D0 and any direction.

    The sun is within 90 degrees of the camera as seen from the body: phase angle uniform in [0, 90] degrees,
    in a random plane through the boresight.
    """
    low, high = (fraction * reference_range(extent) for fraction in SHELL)
    distance = (low**3 + generator.random() * (high**3 - low**3)) ** (1.0 / 3.0)
    direction = generator.standard_normal(3)
    direction /= np.linalg.norm(direction)
    phase = generator.uniform(0.0, np.pi / 2.0)
    sideways = np.cross(direction, generator.standard_normal(3))
    sideways /= np.linalg.norm(sideways)
    return View(distance * direction, np.cos(phase) * direction + np.sin(phase) * sideways)


def hyperbolic_flyby(
    extent: float, frames: int, closest: float, farthest: float, duration_s: float
) -> tuple[list[View], np.ndarray]:
    """Views along a flyby past the body, and their times in seconds from closest approach.

    closest, farthest: ranges in units of D0 before the pass is tilted out of its plane, which changes them by
    up to 3 %. Small bodies hardly bend a fast pass: the trajectory is the
    hyperbola of eccentricity 40, whose branches are straight to within 1.5 degrees. Frames are equally spaced
    in time. The sun is fixed; the phase angle goes through the range that the pass gives it.
    """
    d0 = reference_range(extent)
    eccentricity = 40.0
    periapsis = closest * d0
    semi_major = periapsis / (eccentricity - 1.0)
    # r = a (e cosh F - 1): the anomaly F where the range is the farthest one, then Kepler's equation
    # M = e sinh F - F, linear in time.
    end = np.arccosh((farthest * d0 / semi_major + 1.0) / eccentricity)
    mean_anomalies = np.linspace(-1.0, 1.0, frames) * (eccentricity * np.sinh(end) - end)
    anomalies = np.arcsinh(mean_anomalies / eccentricity)
    for _ in range(30):
        anomalies -= (eccentricity * np.sinh(anomalies) - anomalies - mean_anomalies) / (
            eccentricity * np.cosh(anomalies) - 1.0
        )
    x = semi_major * (eccentricity - np.cosh(anomalies))
    y = semi_major * np.sqrt(eccentricity**2 - 1.0) * np.sinh(anomalies)
    sun = np.array([0.95, -0.10, 0.30])
    sun /= np.linalg.norm(sun)
    tilt = np.radians(15.0)
    views = [
        View(np.array([px, py * np.cos(tilt), py * np.sin(tilt) * 0.6 + 0.12 * px]), sun)
        for px, py in zip(x, y, strict=True)
    ]
    return views, np.linspace(-0.5, 0.5, frames) * duration_s
