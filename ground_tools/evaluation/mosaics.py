"""Mosaics of images with what the networks made of them: the best, the middle and the worst, or along a flyby."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from flight.bundle import Bundle
from ground_tools.evaluation.selection import Selection
from ground_tools.evaluation.statistics import ImageStatistics
from ground_tools.labels.classes import UNCERTAIN_COLOR

EACH = 4
_PAPER = (30, 32, 40)
_INK = (225, 225, 230)
_GAP, _LINE, _MARGIN = 4, 20, 92
# Room for the legend.
_LEAST_WIDTH = 760


def best_middle_worst(values: np.ndarray, views: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Places of the best, middle and worst images by their mIoU, up to EACH of each, no view twice.

    values: (N,) float64. views: (N,) numbers of what the images show; of one view, the first image counts.
    """
    first_of_view = np.sort(np.unique(views, return_index=True)[1])
    order = first_of_view[np.argsort(-values[first_of_view], kind="stable")]
    each = min(EACH, len(order) // 3)
    if each == 0:
        return [("all", order)]
    first = (len(order) - each) // 2
    return [("best", order[:each]), ("middle", order[first : first + each]), ("worst", order[-each:])]


def along_time(times: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Places of images evenly spread over a flyby, in order of time."""
    order = np.argsort(times)
    return [("flyby", order[np.linspace(0, len(order) - 1, min(3 * EACH, len(order))).round().astype(int)])]


def mosaic(
    bundle: Bundle,
    selection: Selection,
    groups: list[tuple[str, np.ndarray]],
    statistics: ImageStatistics,
    values: np.ndarray,
    title: str,
) -> np.ndarray:
    """Columns of image, true mask, predicted mask, the same with uncertain pixels marked, entropy.

    groups: names and places in `selection`. statistics: of all of it.
    values: (N,) mIoU of all of it. Images that may not be shown are left out. Returns (H, W, 3) uint8, red green blue.
    """
    truths = selection.samples.masks
    shown = np.concatenate([places for _, places in groups])
    frames = dict(
        zip(shown.tolist(), replace(selection, samples=selection.samples.chosen(shown)).frames(), strict=True)
    )
    table = np.array([*(definition.color for definition in bundle.classes), UNCERTAIN_COLOR], dtype=np.uint8)
    rows = ["image"] * selection.publish_images + ["truth", "predicted", "uncertain", "entropy"]
    height, width = truths.shape[1:]
    picture = np.full(
        (
            2 * _LINE + len(rows) * (height + _GAP) + 3 * _LINE,
            max(_MARGIN + len(shown) * (width + _GAP) + (len(groups) - 1) * 3 * _GAP + _GAP, _LEAST_WIDTH),
            3,
        ),
        _PAPER,
        dtype=np.uint8,
    )
    _write(picture, title, (_GAP, 15))
    for line, name in enumerate(rows):
        _write(picture, name, (_GAP, 2 * _LINE + line * (height + _GAP) + height // 2))
    left = _MARGIN
    for group, places in groups:
        _write(picture, group, (left, _LINE + 14))
        for place in places:
            cells = {
                "image": cv2.cvtColor(frames[int(place)], cv2.COLOR_GRAY2RGB),
                "truth": table[truths[place]],
                "predicted": table[statistics.class_map[place]],
                "uncertain": table[statistics.marked[place]],
                "entropy": _heat(statistics.entropy_map[place]),
            }
            for line, name in enumerate(rows):
                top = 2 * _LINE + line * (height + _GAP)
                picture[top : top + height, left : left + width] = cells[name]
            _write(
                picture, _caption(selection, place, values), (left, 2 * _LINE + len(rows) * (height + _GAP) + 11), 0.36
            )
            left += width + _GAP
        left += 3 * _GAP
    _legend(picture, bundle)
    return picture


def _caption(selection: Selection, place: int, values: np.ndarray) -> str:
    time = selection.samples.times_s[place]
    if np.isfinite(time):
        return f"{100 * values[place]:.0f} %  {selection.samples.ranges_d0[place]:.2f} D0"
    return f"{100 * values[place]:.0f} %  {selection.samples.bodies[place]}"[:20]


def _heat(shades: np.ndarray) -> np.ndarray:
    """Entropy from black (0) over red to pale yellow (255, ln K)."""
    return np.ascontiguousarray(cv2.applyColorMap(shades, cv2.COLORMAP_INFERNO)[:, :, ::-1])


def _legend(picture: np.ndarray, bundle: Bundle) -> None:
    entries = [*((definition.name, definition.color) for definition in bundle.classes), ("uncertain", UNCERTAIN_COLOR)]
    x, y = _MARGIN, picture.shape[0] - 7 - _LINE
    for name, color in entries:
        cv2.rectangle(picture, (x, y - 10), (x + 12, y + 2), color, cv2.FILLED)
        cv2.rectangle(picture, (x, y - 10), (x + 12, y + 2), _INK, 1)
        _write(picture, name, (x + 18, y), 0.4)
        x += 36 + 8 * len(name)
    x, y = _MARGIN, y + _LINE
    _write(picture, "entropy: 0", (x, y), 0.4)
    picture[y - 10 : y + 2, x + 78 : x + 178] = _heat(np.tile(np.linspace(0.0, 255.0, 100).astype(np.uint8), (12, 1)))
    _write(picture, f"{math.log(len(bundle.classes)):.2f} nats; below the columns: mIoU", (x + 184, y), 0.4)


def _write(picture: np.ndarray, text: str, place: tuple[int, int], scale: float = 0.45) -> None:
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
