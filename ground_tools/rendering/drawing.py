"""A body drawn on demand: views and distances that another program asks for over pipes.

A request is a line of JSON, {"ask": "image" | "truth" | "objects" | "ranges", ...}; an answer is a line of JSON with
dtype and shape, and that array's bytes, or {"error": TEXT}. The first line, before any request, describes the body.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO, Protocol

import numpy as np

from ground_tools.bodies.enhanced_body import EnhancedBody
from ground_tools.bodies.meshes import mean_radius
from ground_tools.labels.classes import BOULDER_IDENTIFIERS, CRATER_IDENTIFIERS
from ground_tools.labels.encoding import encode_for_display
from ground_tools.rendering.geometry import FIELD_OF_VIEW_DEG, View
from ground_tools.rendering.ray_renderer import RayRenderer
from ground_tools.rendering.rays import BodyRays
from ground_tools.rendering.truth import find_truth

# Linear level that an automatic exposure brings the brightest fiftieth of what is lit to, and what counts as lit.
_LEVEL, _BRIGHTEST, _LIT = 0.6, 98.0, 0.02
_SKY, _GROUND = 0, 1
# Objects are numbered from here on: craters, then rocks.
_FIRST_OBJECT = 2


class Renders(Protocol):
    """What makes the grey image of a view: RayRenderer, or GreyRenderer with Blender."""

    def render(self, view: View, seed: int) -> np.ndarray:
        """(size, size) float32, linear, first row at the top."""


class BodyDrawing:
    """One body and a camera's size.

    Args:
        body: to draw.
        size: side of images, pixels.
        rays: of an image's pixel.
        renderer: of the grey images; None: rays.
    """

    def __init__(self, body: EnhancedBody, size: int, rays: int, renderer: Renders | None = None) -> None:
        self._body, self._size = body, size
        self._rays = BodyRays(body, size)
        self._renderer = renderer or RayRenderer(body, size, rays, self._rays.scene)

    def describe(self) -> dict[str, Any]:
        """Name, extent and radius of the sphere of equal volume, km; field of view, degrees, and size, pixels."""
        return {
            "name": self._body.name,
            "extent_km": self._body.extent,
            "radius_km": mean_radius(self._body.clean),
            "field_of_view_deg": FIELD_OF_VIEW_DEG,
            "size": self._size,
        }

    def image(self, view: View, seed: int) -> np.ndarray:
        """The grey image as an automatic exposure gives it, display-encoded, (size, size) uint8."""
        radiance = self._renderer.render(view, seed)
        lit = radiance[radiance > _LIT]
        level = float(np.percentile(lit, _BRIGHTEST)) if lit.size else 1.0
        return encode_for_display(radiance * (_LEVEL / level))

    def truth(self, view: View) -> np.ndarray:
        """The class of each pixel, (size, size) uint8, as in rendered sets."""
        return find_truth(self._rays, view, *self._rays.identifiers(view))[0]

    def objects(self, view: View) -> np.ndarray:
        """What each pixel shows, (size, size) int32: 0 sky, 1 ground, each crater and each rock a number from 2 on."""
        found, ground = self._rays.identifiers(view)
        crater = (ground >= CRATER_IDENTIFIERS) & (ground < BOULDER_IDENTIFIERS[0]) & (found > 0)
        rock = found >= BOULDER_IDENTIFIERS[0]
        numbers = np.where(found > 0, _GROUND, _SKY)
        numbers = np.where(crater, ground - CRATER_IDENTIFIERS + _FIRST_OBJECT, numbers)
        return np.where(rock, found - CRATER_IDENTIFIERS + _FIRST_OBJECT, numbers).astype(np.int32)

    def ranges(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Distance to the surface along rays, (N,) float64 km, infinite where they miss. Both (N, 3), body-fixed."""
        unit = self._body.extent
        towards = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        hits = self._rays.scene.run((origins / unit).astype(np.float32), towards.astype(np.float32), output=True)
        return np.where(hits["primID"] >= 0, hits["tfar"].astype(np.float64) * unit, np.inf)


def answer_requests(drawing: BodyDrawing, requests: BinaryIO, answers: BinaryIO) -> None:
    """Describe the body, then answer requests until there are no more; a malformed one gets an error."""
    _write_line(answers, drawing.describe())
    for line in requests:
        try:
            array = np.ascontiguousarray(_answer(drawing, json.loads(line)))
        except (KeyError, TypeError, ValueError) as error:
            _write_line(
                answers, {"error": f"request: expected one that can be drawn, got {type(error).__name__}: {error}"}
            )
            continue
        _write_line(answers, {"dtype": array.dtype.str, "shape": list(array.shape)}, array.tobytes())


def _answer(drawing: BodyDrawing, request: dict[str, Any]) -> np.ndarray:
    ask = request["ask"]
    if ask == "ranges":
        return drawing.ranges(_vectors(request["origins_km"], (-1, 3)), _vectors(request["directions"], (-1, 3)))
    view = View(
        _vectors(request["camera_km"], (3,)), _vectors(request["sun"], (3,)), axes=_vectors(request["axes"], (3, 3))
    )
    if ask == "image":
        return drawing.image(view, int(request["seed"]))
    if ask == "truth":
        return drawing.truth(view)
    if ask == "objects":
        return drawing.objects(view)
    raise ValueError(f"ask: expected image, truth, objects or ranges, got {ask!r}")


def _vectors(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(value, dtype=np.float64).reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError("expected finite numbers")
    return array


def _write_line(answers: BinaryIO, record: dict[str, Any], data: bytes = b"") -> None:
    answers.write(json.dumps(record).encode("ascii") + b"\n" + data)
    answers.flush()
