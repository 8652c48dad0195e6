"""Where a flight's frames come from: a renderer's process (hil/sources/renderer.py), or a drawn sphere."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hil.fly.scenario import CatalogueBody, DrawnSphere, FlightScenario
from hil.scenarios.source_tables import DrawnSource
from hil.sources.drawn import DrawnBody
from hil.sources.renderer import FIELD_OF_VIEW_DEG, CameraView, Renderer, draw_command, reference_range

# Answers of `objects`: sky, ground, and numbers of single hazards from here on.
FIRST_OBJECT = 2


class SceneryError(RuntimeError):
    """The body does not have what a flight needs; the message says what."""


class Scenery(ABC):
    """A body that can be looked at.

    Attributes:
        name: of the body.
        extent_km: largest extent.
        radius_km: of the sphere of equal volume.
        size: side of the images, pixels.
    """

    name: str
    extent_km: float
    radius_km: float
    size: int

    @property
    def d0_km(self) -> float:
        """The range at which the largest extent fills the frame."""
        return reference_range(self.extent_km)

    @property
    def elongation(self) -> float:
        """The largest extent over the diameter of the sphere of equal volume."""
        return self.extent_km / (2.0 * self.radius_km)

    @property
    def focal_px(self) -> float:
        """Focal length, pixels."""
        return self.size / (2.0 * math.tan(math.radians(FIELD_OF_VIEW_DEG) / 2.0))

    @abstractmethod
    def image(self, view: CameraView, seed: int) -> NDArray[np.uint8]:
        """The frame before the camera model, (size, size)."""

    @abstractmethod
    def objects(self, view: CameraView) -> NDArray[np.int32]:
        """What each pixel shows: 0 sky, 1 ground, single hazards from FIRST_OBJECT on, (size, size)."""

    @abstractmethod
    def ranges(self, origins_km: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance to the surface along rays, km, infinite where they miss. (N, 3) each, body-fixed; returns (N,)."""


class SphereScenery(Scenery):
    """A drawn sphere.

    Args:
        body: its table.
        size: side of the images, pixels.
        seed: of its craters and boulders.
    """

    def __init__(self, body: DrawnSphere, size: int, seed: int) -> None:
        self.name, self.size = "drawn sphere", size
        self.extent_km, self.radius_km = body.diameter_km, 0.5 * body.diameter_km
        source = DrawnSource(sensor_px=size, craters=body.craters, boulders=body.boulders, seed=seed % 1_000_000)
        self._drawn = DrawnBody(source)

    def image(self, view: CameraView, seed: int) -> NDArray[np.uint8]:
        towards = view.axes @ -view.camera_km
        middle = 0.5 * (self.size - 1)
        if towards[2] <= 0.0:
            center = (-10.0 * self.size, middle)  # behind the camera
        else:
            center = tuple(middle + self.focal_px * towards[:2] / towards[2])
        radius = self.focal_px * self.radius_km / float(np.linalg.norm(view.camera_km))
        spin = math.atan2(view.camera_km[1], view.camera_km[0])
        return self._drawn.frame((float(center[0]), float(center[1])), radius, view.axes @ view.sun, spin, seed)

    def objects(self, view: CameraView) -> NDArray[np.int32]:
        raise NotImplementedError("hazards of a drawn sphere are not known; FlightScenario rejects descents to one")

    def ranges(self, origins_km: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
        towards = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        along = np.sum(origins_km * towards, axis=1)
        under = along**2 - np.sum(origins_km**2, axis=1) + self.radius_km**2
        distance = -along - np.sqrt(np.maximum(under, 0.0))
        return np.where((under >= 0.0) & (distance > 0.0), distance, np.inf)


class RenderedScenery(Scenery):
    """A body drawn by a renderer's process.

    Args:
        renderer: to be closed by whoever started it.
    """

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self.name, self.size = renderer.name, renderer.size
        self.extent_km, self.radius_km = renderer.extent_km, renderer.radius_km

    def image(self, view: CameraView, seed: int) -> NDArray[np.uint8]:
        return self._renderer.image(view, seed)

    def objects(self, view: CameraView) -> NDArray[np.int32]:
        return self._renderer.objects(view)

    def ranges(self, origins_km: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._renderer.ranges(origins_km, directions)


@contextmanager
def open_scenery(scenario: FlightScenario, draw: int, shapes: Path | None) -> Iterator[Scenery]:
    """Open the body of a draw.

    Args:
        scenario: of the flight.
        draw: number of the draw; each has the next body of the scenario.
        shapes: folder of shape models; None: the bodies' stand-ins.

    Raises:
        RendererError: the renderer did not start.
    """
    body = scenario.body
    if isinstance(body, DrawnSphere):
        yield SphereScenery(body, scenario.sensor_px, scenario.seed)
        return
    with Renderer(_make_command(body, scenario, draw, shapes)) as renderer:
        yield RenderedScenery(renderer)


def _make_command(body: CatalogueBody, scenario: FlightScenario, draw: int, shapes: Path | None) -> list[str]:
    name = body.names[draw % len(body.names)]
    return draw_command(name, scenario.sensor_px, body.rays, body.faces, shapes=shapes)
