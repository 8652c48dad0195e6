"""Outlines of regions of pixels, and the region about a line: what is painted or drawn as a line becomes polygons."""

from __future__ import annotations

import math

import cv2
import numpy as np
from scipy.spatial import cKDTree

Points = tuple[tuple[float, float], ...]

# A line is drawn so many times larger, on a canvas of at most so many pixels a side, and its outline made simpler by
# at most so much (pixels of the canvas).
_ENLARGE, _LARGEST_CANVAS, _SIMPLER = 4.0, 4096, 1.2
# Digits after the binary point in OpenCV's coordinates.
_SHIFT = 4


def trace(region: np.ndarray, tolerance: float = 0.0) -> list[Points]:
    """The outlines of a region's parts, along the edges of its pixels.

    A part holds together over edges of pixels, not over corners. Its holes are joined to its outline by lines of no
    width, which are gone along both ways, so that one polygon tells of both and has the region's area.

    Args:
        region: (H, W) bool.
        tolerance: how far the outline may leave the pixels' edges to have fewer points, pixels; 0: not at all.

    Returns:
        A polygon for each part, x and y in pixels; the first pixel covers 0..1.
    """
    _, parts = cv2.connectedComponents(region.astype(np.uint8), connectivity=4)
    outer: dict[int, np.ndarray] = {}
    holes: dict[int, list[np.ndarray]] = {}
    for ring, (row, column) in _rings(region):
        part = int(parts[row, column])
        corners = _corners(ring)
        # As seen, outlines go clockwise and holes the other way.
        is_outer = _signed_area(corners) > 0
        if tolerance:
            simple = cv2.approxPolyDP(corners.astype(np.float32), tolerance, True)[:, 0].astype(np.float64)
            corners = simple if len(simple) >= 3 else corners
        if is_outer:
            outer[part] = corners
        else:
            holes.setdefault(part, []).append(corners)
    polygons = [_join(polygon, holes.get(part, [])) for part, polygon in sorted(outer.items())]
    return [tuple((float(x), float(y)) for x, y in polygon.tolist()) for polygon in polygons]


def _rings(region: np.ndarray) -> list[tuple[np.ndarray, tuple[int, int]]]:
    """The closed ways around a region along its pixels' edges, the region at the right, and a pixel beside each."""
    framed = np.pad(region, 1)
    inside = framed[1:-1, 1:-1]
    leaving: dict[tuple[int, int], list[tuple[tuple[int, int], tuple[int, int]]]] = {}
    # Of each side of a pixel: where the pixel beyond it lies, and its two ends, x and y from the pixel's first corner.
    for beyond, start, end in (
        (framed[:-2, 1:-1], (0, 0), (1, 0)),
        (framed[1:-1, 2:], (1, 0), (1, 1)),
        (framed[2:, 1:-1], (1, 1), (0, 1)),
        (framed[1:-1, :-2], (0, 1), (0, 0)),
    ):
        for row, column in np.argwhere(inside & ~beyond).tolist():
            corner = (column + start[0], row + start[1])
            leaving.setdefault(corner, []).append(((column + end[0], row + end[1]), (row, column)))
    rings = []
    while leaving:
        first = next(iter(leaving))
        at, pixel = first, leaving[first][-1][1]
        ring: list[tuple[int, int]] = []
        beside = pixel
        while at != first or not ring:
            ways = leaving[at]
            # Where two pixels touch by a corner, the way goes on around the same pixel.
            way = next((way for way in ways if way[1] == pixel), ways[0])
            ways.remove(way)
            if not ways:
                del leaving[at]
            ring.append(at)
            at, pixel = way
        rings.append((np.array(ring, dtype=np.float64), beside))
    return rings


def _corners(ring: np.ndarray) -> np.ndarray:
    """The points of a ring at which it turns."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    return ring[(before != after).any(axis=1)]


def _signed_area(points: np.ndarray) -> float:
    x, y = points.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2.0


def _join(outer: np.ndarray, holes: list[np.ndarray]) -> np.ndarray:
    """An outline with its holes, each by a line of no width from its point that is nearest to one of the outline."""
    if not holes:
        return outer
    tree = cKDTree(outer)
    at: dict[int, list[np.ndarray]] = {}
    for hole in holes:
        distances, nearest = tree.query(hole)
        there = int(distances.argmin())
        here = int(nearest[there])
        at.setdefault(here, []).append(np.concatenate([hole[there:], hole[: there + 1], outer[here : here + 1]]))
    pieces, begin = [], 0
    for here in sorted(at):
        pieces += [outer[begin : here + 1], *at[here]]
        begin = here + 1
    return np.concatenate([*pieces, outer[begin:]])


def stroke(points: Points, width: float) -> Points:
    """The outline of a line of some width, with round ends.

    points: the line, two or more. width: pixels. Raises ValueError for a width that is not positive.
    """
    if not (width > 0.0 and math.isfinite(width)):
        raise ValueError(f"expected a width above 0, got {width:g}")
    line = np.asarray(points, dtype=np.float64)
    origin = np.floor(line.min(axis=0) - width)
    size = np.ceil(line.max(axis=0) + width) - origin
    scale = min(_ENLARGE, _LARGEST_CANVAS / float(size.max()))
    columns, rows = np.ceil(size * scale).astype(int).tolist()
    canvas = np.zeros((rows, columns), dtype=np.uint8)
    # OpenCV's whole numbers are the middles of pixels.
    places = np.rint(((line - origin) * scale - 0.5) * (1 << _SHIFT)).astype(np.int32)
    cv2.polylines(canvas, [places], False, (1,), 1, cv2.LINE_8, _SHIFT)
    distances = cv2.distanceTransform(1 - canvas, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    largest = max(trace(distances <= width * scale / 2.0, _SIMPLER), key=len)
    return tuple((round(x / scale + origin[0], 2), round(y / scale + origin[1], 2)) for x, y in largest)
