"""The body as a polyhedron of few facets, for its gravity."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hil.fly.scenery import Scenery

_RINGS, _SECTORS = 12, 24


def write_polyhedron(scenery: Scenery, path: Path) -> None:
    """Write an OBJ file in metres: the surface as it is met first along rays from far away to the centre of mass.

    Args:
        scenery: the body.
        path: of the file.
    """
    latitude = np.pi * (np.arange(1, _RINGS) / _RINGS - 0.5)
    longitude = 2.0 * np.pi * np.arange(_SECTORS) / _SECTORS
    rows, columns = np.meshgrid(latitude, longitude, indexing="ij")
    ring = np.stack([np.cos(rows) * np.cos(columns), np.cos(rows) * np.sin(columns), np.sin(rows)], axis=-1)
    outward = np.concatenate([[[0.0, 0.0, -1.0]], ring.reshape(-1, 3), [[0.0, 0.0, 1.0]]])
    far = 2.0 * scenery.extent_km
    distance = scenery.ranges(far * outward, -outward)
    radius = np.where(np.isfinite(distance), far - distance, scenery.radius_km)
    vertices = 1e3 * radius[:, None] * outward
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in _facets()]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def _facets() -> list[tuple[int, int, int]]:
    """Triangles between the rings, outward."""
    top = 1 + (_RINGS - 1) * _SECTORS
    found = []
    for sector in range(_SECTORS):
        following = (sector + 1) % _SECTORS
        found.append((0, 1 + following, 1 + sector))
        for ring in range(_RINGS - 2):
            low, high = 1 + ring * _SECTORS, 1 + (ring + 1) * _SECTORS
            found.append((low + sector, low + following, high + following))
            found.append((low + sector, high + following, high + sector))
        last = top - _SECTORS
        found.append((last + sector, last + following, top))
    return found
