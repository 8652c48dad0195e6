"""A renderer's process that draws views of a body: `ground-tools draw`, or another program with its messages.

They go over pipes (ground_tools/rendering/drawing.py has them): hil imports nothing of the ground tools.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from flight.schema import format_text

FIELD_OF_VIEW_DEG = 10.0
_STOP_S = 5.0
_MOST_BYTES = 1 << 28


class RendererError(RuntimeError):
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


def reference_range(extent_km: float) -> float:
    """D0, the range at which a body's largest extent fills the frame, km."""
    return extent_km / (2.0 * math.tan(math.radians(FIELD_OF_VIEW_DEG) / 2.0))


class Renderer:
    """A renderer's process, and the body that it draws.

    Args:
        command: of the renderer.

    Attributes:
        name: of the body.
        size: side of the images, pixels.
        extent_km: largest extent of the body.
        radius_km: of the sphere of equal volume.

    Raises:
        RendererError: it did not start.
    """

    def __init__(self, command: list[str]) -> None:
        # A file, and no pipe: what nobody reads would stop it once the pipe is full.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said)
        except OSError as error:
            self._said.close()
            raise RendererError(f"renderer {command[0]}: {error.strerror}") from error
        try:
            described = self._read_line()
            self.name, self.size = str(described["name"]), int(described["size"])
            self.extent_km, self.radius_km = float(described["extent_km"]), float(described["radius_km"])
            if described["field_of_view_deg"] != FIELD_OF_VIEW_DEG:
                got = described["field_of_view_deg"]
                raise RendererError(f"renderer: field of view: expected {FIELD_OF_VIEW_DEG:g} degrees, got {got}")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the renderer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(_STOP_S)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._said.close()

    def image(self, view: CameraView, seed: int) -> NDArray[np.uint8]:
        """The frame before the camera model, (size, size)."""
        return self._ask("image", view, seed=seed).astype(np.uint8, copy=False)

    def truth(self, view: CameraView) -> NDArray[np.uint8]:
        """The classes of the frame's pixels, (size, size), by index of hil.sources.frames.TRUTH_CLASSES."""
        return self._ask("truth", view).astype(np.uint8, copy=False)

    def objects(self, view: CameraView) -> NDArray[np.int32]:
        """What each pixel shows: 0 sky, 1 ground, single hazards by numbers from 2 on, (size, size)."""
        return self._ask("objects", view).astype(np.int32, copy=False)

    def ranges(self, origins_km: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance to the surface along rays, km, infinite where they miss. (N, 3) each, body-fixed; returns (N,)."""
        request = {"ask": "ranges", "origins_km": origins_km.tolist(), "directions": directions.tolist()}
        return self._exchange(request).astype(np.float64, copy=False)

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
            raise RendererError(f"renderer: {self._last_words()}") from error
        answer = self._read_line()
        if "error" in answer:
            raise RendererError(f"renderer: {answer['error']}")
        kind, shape = np.dtype(answer["dtype"]), tuple(answer["shape"])
        length = kind.itemsize * math.prod(shape)
        if length > _MOST_BYTES:
            raise RendererError(f"renderer: expected at most {_MOST_BYTES} bytes, got {length}")
        data = self._process.stdout.read(length)
        if len(data) < length:
            raise RendererError(f"renderer: {self._last_words()}")
        return np.frombuffer(data, dtype=kind).reshape(shape)

    def _read_line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            raise RendererError(f"renderer: {self._last_words()}") from None
        return answer

    def _last_words(self) -> str:
        try:
            self._process.wait(_STOP_S)  # it may not have said all that it has to say
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.seek(0)
        lines = [line for line in self._said.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return format_text(lines[-1]) if lines else "it ended without a word"


def draw_command(
    body: str,
    size: int,
    rays: int,
    faces: int,
    renderer: str = "rays",
    **files: Path | None,
) -> list[str]:
    """The command line of `ground-tools draw`.

    Args:
        body: name in the catalogue.
        size: side of the images, pixels.
        rays: through each pixel; light paths with Cycles.
        faces: least facets of the ground.
        renderer: rays or cycles.
        files: shapes, crater_maps, bodies_file; None: as the command has it by default.
    """
    command = [sys.executable, "-m", "ground_tools.cli", "draw", "--body", body, "--size", str(size)]
    command += ["--rays", str(rays), "--faces", str(faces)]
    if renderer != "rays":
        command += ["--renderer", renderer]
    for name, path in files.items():
        if path is not None:
            command += [f"--{name.replace('_', '-')}", str(path)]
    return command
