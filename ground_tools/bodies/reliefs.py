"""Reliefs of craters: maps of height about a rim, made from a profile or read from height maps of real craters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import cv2
import numpy as np
from msgspec import Meta

from flight.client.image_formats import ImageError, decode
from flight.client.images import read_bytes
from ground_tools.foundation.expectations import format_toml_value
from ground_tools.foundation.names import INNER_PATH, is_inner_path
from ground_tools.foundation.structures import FieldError, TomlTable

ANALYTIC = "analytic"

# A relief covers this many rim radii on each side of the crater's centre; beyond it the surface is untouched.
REACH = 2.2
_SAMPLES = 221
# How far a height map is used, in rim radii: farther out it shows the crater's own neighbours.
_MAP_REACH = 1.33
# Craters of a labelled map: the smallest radius (pixels) and roundness (area over that of the circle about it).
_SMALLEST_RADIUS, _LEAST_ROUNDNESS = 45.0, 0.6
# A crater is a hollow: so much of its depth lies below the surroundings, the rest is the rim's height.
_LEAST_HOLLOW = 0.6


class Centre(NamedTuple):
    """A place in an image, pixels."""

    row: float
    column: float


class CraterMap(TomlTable, frozen=True):
    """A height map of real craters: of one at `centre`, or of many that `labels` shows. Its name is its table's."""

    name: str
    file: Annotated[
        str, Meta(description="image in the folder of crater maps, one channel, any depth: brighter is higher")
    ]
    centre: Annotated[Centre | None, Meta(description="centre of its one crater, pixels; or else `labels`")] = None
    rim_radius: Annotated[
        Annotated[float, Meta(gt=0)] | None, Meta(description="radius of that crater's rim, pixels")
    ] = None
    labels: Annotated[
        str | None,
        Meta(description="a second image of the same size, one grey level for each of many craters, 0 elsewhere"),
    ] = None

    def __post_init__(self) -> None:
        for name in ("file", "labels"):
            path = getattr(self, name)
            if path is not None and not is_inner_path(path):
                raise FieldError(name, INNER_PATH, format_toml_value(path))
        given = [name for name in ("centre", "rim_radius", "labels") if getattr(self, name) is not None]
        if given not in (["centre", "rim_radius"], ["labels"]):
            raise FieldError("", "either centre and rim_radius, or labels", " and ".join(given) or "neither")

    @property
    def files(self) -> tuple[str, ...]:
        return (self.file,) if self.labels is None else (self.file, self.labels)


@dataclass(frozen=True)
class Relief:
    """Heights about one crater, over the square [-REACH, REACH] x [-REACH, REACH] of rim radii.

    heights: (N, N) float32, over the undisturbed surface, in units of the depth from rim crest to floor.
    inside: (N, N) float32, 1 within the rim, 0 outside.
    """

    name: str
    heights: np.ndarray
    inside: np.ndarray


def profile(rho: np.ndarray) -> np.ndarray:
    """Height of a simple crater over the undisturbed surface at `rho` rim radii from its centre, in depths.

    Inside the rim a bowl with a flattened floor; outside an ejecta blanket that falls with the inverse cube of
    the distance (McGetchin et al. 1973) and is faded out at REACH. The rim crest stands a fifth of the depth
    above the surroundings (Pike 1977: rim height ~ 0.04 D, depth ~ 0.2 D for fresh simple craters).
    """
    bowl = -0.8 + np.clip((rho - 0.15) / 0.85, 0.0, None) ** 2
    fade = np.clip((REACH - rho) / (REACH - 1.0), 0.0, 1.0)
    ejecta = 0.2 * np.maximum(rho, 1.0) ** -3.0 * fade
    return np.where(rho < 1.0, bowl, ejecta)


def _grid() -> tuple[np.ndarray, np.ndarray]:
    axis = np.linspace(-REACH, REACH, _SAMPLES)
    x, y = np.meshgrid(axis, axis)
    return x, y


def analytic_relief(generator: np.random.Generator) -> Relief:
    """A crater by `profile`, its rim waved by some per cent in its own way."""
    x, y = _grid()
    angle = np.arctan2(y, x)
    waviness = 1.0 + sum(0.03 * np.cos((k + 2) * angle + generator.uniform(0.0, 2.0 * np.pi)) for k in range(3))
    rho = np.hypot(x, y) / waviness
    return Relief(ANALYTIC, profile(rho).astype(np.float32), (rho <= 1.0).astype(np.float32))


def read_reliefs(crater_map: CraterMap, folder: Path) -> list[Relief]:
    """The craters of a height map.

    Raises FileNotFoundError for a missing file and ValueError for an unreadable or unsuitable one.
    """
    heights = _read(folder / crater_map.file).astype(np.float64)
    if heights.ndim != 2:
        raise ValueError(f"crater map {folder / crater_map.file}: expected one channel, got {heights.shape[2]}")
    if crater_map.labels is None:
        assert crater_map.centre is not None
        assert crater_map.rim_radius is not None
        relief = _cut(crater_map.name, heights, *crater_map.centre, crater_map.rim_radius, None)
        if relief is None:
            raise ValueError(f"crater map {folder / crater_map.file}: expected a hollow with a rim where centre is")
        return [relief]
    labels = _read(folder / crater_map.labels)
    labels = labels.max(axis=2) if labels.ndim == 3 else labels
    if labels.shape != heights.shape:
        raise ValueError(
            f"crater map {folder / crater_map.labels}: expected the size of {crater_map.file}, "
            f"{heights.shape[1]} x {heights.shape[0]}, got {labels.shape[1]} x {labels.shape[0]}"
        )
    reliefs = []
    for value in np.unique(labels[labels > 0]):
        rows, columns = np.nonzero(labels == value)
        row, column = float(rows.mean()), float(columns.mean())
        radius = float(np.sqrt(len(rows) / np.pi))
        farthest = float(np.hypot(rows - row, columns - column).max())
        room = min(row, column, heights.shape[0] - row, heights.shape[1] - column)
        if radius < _SMALLEST_RADIUS or (radius / farthest) ** 2 < _LEAST_ROUNDNESS or room < _MAP_REACH * radius:
            continue
        distances = np.hypot(np.arange(labels.shape[0])[:, None] - row, np.arange(labels.shape[1]) - column)
        if np.isin(labels[distances < _MAP_REACH * radius], (0, value)).all():
            relief = _cut(f"{crater_map.name}:{value}", heights, row, column, radius, labels == value)
            if relief is not None:
                reliefs.append(relief)
    if not reliefs:
        raise ValueError(f"crater map {folder / crater_map.labels}: no label marks a large, round, free crater")
    return reliefs


def _cut(
    name: str, heights: np.ndarray, row: float, column: float, radius: float, inside: np.ndarray | None
) -> Relief | None:
    """Cut one crater out of a height map, level its surroundings and scale it to depth 1; None if it is no hollow."""
    x, y = _grid()
    rho = np.hypot(x, y)
    across, down = (column + x * radius).astype(np.float32), (row + y * radius).astype(np.float32)
    patch: np.ndarray = cv2.remap(
        heights.astype(np.float32), across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float64)
    # The undisturbed surface: the plane through the ring where the map ends.
    ring = (rho > 0.93 * _MAP_REACH) & (rho < _MAP_REACH)
    plane = np.stack([np.ones(ring.sum()), x[ring], y[ring]], axis=1)
    level = np.linalg.lstsq(plane, patch[ring], rcond=None)[0]
    patch = patch - (level[0] + level[1] * x + level[2] * y)
    floor = float(np.percentile(patch[rho < 1.0], 2))
    depth = float(np.percentile(patch[rho < 1.15], 98)) - floor
    # Of a flat map, rounding is all that is left.
    if depth < 1e-6 * (1.0 + np.abs(heights).max()) or -floor < _LEAST_HOLLOW * depth:
        return None
    fade = np.clip((_MAP_REACH - rho) / (_MAP_REACH - 1.05), 0.0, 1.0)
    within: np.ndarray
    if inside is None:
        within = (rho <= 1.0).astype(np.float32)
    else:
        within = cv2.remap(inside.astype(np.float32), across, down, cv2.INTER_LINEAR)
    smooth = fade * fade * (3.0 - 2.0 * fade)
    return Relief(name, (patch / depth * smooth).astype(np.float32), within)


def _read(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"crater map {path}: no such file")
    try:
        # As it is, with its channels: heights and labels are no light.
        return decode(read_bytes(path), str(path))
    except ImageError as error:
        raise ValueError(f"crater map {error}") from error
