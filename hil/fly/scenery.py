"""Where a flight's frames come from: a renderer in a process of its own, or a drawn sphere.

The renderer is a program, `ground-tools draw` if no other is named, that answers over pipes
(ground_tools/rendering/drawing.py has the messages): hil imports nothing of the ground tools.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.schema import format_text
from hil.fly.scenario import CatalogueBody, DrawnSphere, FlightScenario
from hil.scenarios.source_tables import DrawnSource
from hil.sources.drawn import DrawnBody

FIELD_OF_VIEW_DEG = 10.0
# Answers of `objects`: sky, ground, and numbers of single hazards from here on.
FIRST_OBJECT = 2
_STOP_S = 5.0
_MOST_BYTES = 1 << 28


class SceneryError(RuntimeError):
    """The renderer cannot be started, or does not answer; the message says what it said."""


@dataclass(frozen=True)
class CameraView:
    """Where camera and sun are, body-fixed.

    Attributes:
        camera_km: (3,), from the centre of mass.
        axes: (3, 3), rows are the camera's axes: x right, y down, z along the boresight.
        sun: (3,), unit vector.
    """

    camera_km: NDArray[np.float64]
    axes: NDArray[np.float64]
    sun: NDArray[np.float64]


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
        return self.extent_km / (2.0 * math.tan(math.radians(FIELD_OF_VIEW_DEG) / 2.0))

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
        command: of the renderer.

    Raises:
        SceneryError: it did not start.
    """

    def __init__(self, command: list[str]) -> None:
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise SceneryError(f"renderer {command[0]}: {error.strerror}") from error
        described = self._read_line()
        self.name, self.size = str(described["name"]), int(described["size"])
        self.extent_km, self.radius_km = float(described["extent_km"]), float(described["radius_km"])
        if described["field_of_view_deg"] != FIELD_OF_VIEW_DEG:
            got = described["field_of_view_deg"]
            raise SceneryError(f"renderer: field of view: expected {FIELD_OF_VIEW_DEG:g} degrees, got {got}")

    def image(self, view: CameraView, seed: int) -> NDArray[np.uint8]:
        return self._ask("image", view, seed=seed).astype(np.uint8, copy=False)

    def objects(self, view: CameraView) -> NDArray[np.int32]:
        return self._ask("objects", view).astype(np.int32, copy=False)

    def ranges(self, origins_km: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
        request = {"ask": "ranges", "origins_km": origins_km.tolist(), "directions": directions.tolist()}
        return self._exchange(request).astype(np.float64, copy=False)

    def close(self) -> None:
        """End the renderer."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, what: str, view: CameraView, **more: Any) -> NDArray[Any]:
        place = {"camera_km": view.camera_km.tolist(), "axes": view.axes.tolist(), "sun": view.sun.tolist()}
        return self._exchange({"ask": what, **place, **more})

    def _exchange(self, request: dict[str, Any]) -> NDArray[Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise SceneryError(f"renderer: {self._last_words()}") from error
        answer = self._read_line()
        if "error" in answer:
            raise SceneryError(f"renderer: {answer['error']}")
        kind, shape = np.dtype(answer["dtype"]), tuple(answer["shape"])
        length = kind.itemsize * math.prod(shape)
        if length > _MOST_BYTES:
            raise SceneryError(f"renderer: expected at most {_MOST_BYTES} bytes, got {length}")
        data = self._process.stdout.read(length)
        if len(data) < length:
            raise SceneryError(f"renderer: {self._last_words()}")
        return np.frombuffer(data, dtype=kind).reshape(shape)

    def _read_line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            raise SceneryError(f"renderer: {self._last_words()}") from None
        return answer

    def _last_words(self) -> str:
        self._process.kill()
        _, said = self._process.communicate()
        lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
        return format_text(lines[-1]) if lines else "it ended without a word"


@contextmanager
def open_scenery(scenario: FlightScenario, draw: int, shapes: Path | None) -> Iterator[Scenery]:
    """Open the body of a draw.

    Args:
        scenario: of the flight.
        draw: number of the draw; each has the next body of the scenario.
        shapes: folder of shape models; None: the bodies' stand-ins.

    Raises:
        SceneryError: the renderer did not start.
    """
    body = scenario.body
    if isinstance(body, DrawnSphere):
        yield SphereScenery(body, scenario.sensor_px, scenario.seed)
        return
    rendered = RenderedScenery(_make_command(body, scenario, draw, shapes))
    try:
        yield rendered
    finally:
        rendered.close()


def _make_command(body: CatalogueBody, scenario: FlightScenario, draw: int, shapes: Path | None) -> list[str]:
    command = [sys.executable, "-m", "ground_tools.cli", "draw", "--body", body.names[draw % len(body.names)]]
    command += ["--size", str(scenario.sensor_px), "--rays", str(body.rays), "--faces", str(body.faces)]
    return [*command, "--shapes", str(shapes)] if shapes is not None else command
