"""What a frame looks like, as numbers: what the input monitor decides from.

They are taken of the frame as the camera gave it, and of the part of it that the networks are given. Ratios are
logarithms, so that what is ten times too large is as far off as what is ten times too small.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.inference.body_search import BodySearch, measure_noise

# Widths of the Gaussians between which the image's energy is measured, pixels of the networks' input.
_SCALES = (1.0, 2.0, 4.0, 8.0)
# At most about so many rows of a sensor frame are looked at: the figures of a frame need no more.
_MOST_ROWS = 256
_LEAST = 1e-4
# Of the contrast, above the darkest tenth: so bright at least is what light falls on.
LIT_SHARE = 0.15

FRAME_FEATURES = (
    "noise over contrast",
    "contrast",
    "sky over peak",
    "equal to the left",
    "equal to the one below",
    "at full scale",
    *(f"energy up to {scale:g} px" for scale in _SCALES),
    "energy beyond",
    "energy of rows over columns",
    "energy of rows over columns, smoothed",
    "energy of one diagonal over the other",
    "lit share",
    "lit parts",
    "share of the largest part",
    "solidity",
    "share of its box",
    "share of the border",
    "outline over area",
    "steepness of the limb",
    "level of the lit part",
    "relief of the lit part",
    "relief of the lit part, smoothed",
    "relief of the sky",
    "relief over noise",
    "spread of the lit part",
    "10th percentile of the lit part",
    "90th percentile of the lit part",
    "sharpest row",
    "sharpest column",
    "straightest edge along rows",
    "straightest edge along columns",
)


def describe_frame(
    grey: NDArray[np.float32], search: BodySearch, view: NDArray[np.float32], seen: NDArray[np.bool_]
) -> list[float]:
    """Figures of a frame as the camera gave it, and as the networks take it.

    Args:
        grey: (H, W) float32 in [0, 1], the sensor frame.
        search: its bright parts.
        view: (h, w) float32 in [0, 1], the networks' input, averaged over its channels.
        seen: (h, w) bool, False outside of the sensor frame.

    Returns:
        One finite number per name in FRAME_FEATURES.
    """
    contrast = max(search.peak - search.background, _LEAST)
    step = max(grey.shape[0] // _MOST_ROWS, 1)
    rows = grey[::step]
    below = grey[np.minimum(np.arange(len(rows)) * step + 1, len(grey) - 1)]
    noise = measure_noise(rows)
    bright = rows > search.background + 0.1 * contrast
    count = max(int(bright.sum()), 1)
    low, high = find_levels(view)
    span = max(high - low, _LEAST)
    smooth = cv2.GaussianBlur(view, (0, 0), 1.0)
    lit = (smooth > low + LIT_SHARE * span) & seen
    figures = [
        _log(noise / contrast),
        _log(contrast),
        search.background / max(search.peak, _LEAST),
        float((bright[:, 1:] & (rows[:, 1:] == rows[:, :-1])).sum()) / count,
        float((bright & (rows == below)).sum()) / count,
        float((rows >= 1.0).sum()) / count,
        *_energies(view),
        *_directions(view, smooth),
        *_lit_shape(lit),
        *_lit_relief(view, smooth, lit, low, span),
    ]
    figures.append(figures[FRAME_FEATURES.index("relief of the lit part")] - _log(noise / span))
    return [*figures, *_lit_levels(view, lit, low, span), *_edges(view, lit)]


def find_levels(view: NDArray[np.float32]) -> tuple[float, float]:
    """Levels of the darkest tenth of an image and of its brightest pixels, without the outermost of them."""
    return float(np.percentile(view, 10)), float(np.percentile(view, 99.5))


def _log(value: float) -> float:
    """Natural logarithm, of no less than 1e-4."""
    return math.log(max(float(value), _LEAST))


def _mean(values: NDArray[Any], where: NDArray[np.bool_]) -> float:
    return float(values[where].mean()) if where.any() else 0.0


def _energies(view: NDArray[np.float32]) -> list[float]:
    """Logarithms of the deviation between one scale and the next, over that of the whole."""
    whole = max(float(view.std()), _LEAST)
    finer: NDArray[Any] = view
    energies = []
    for scale in _SCALES:
        coarser = cv2.GaussianBlur(view, (0, 0), scale)
        energies.append(_log(float((finer - coarser).std()) / whole))
        finer = coarser
    return [*energies, _log(float(finer.std()) / whole)]


def _directions(view: NDArray[np.float32], smooth: NDArray[Any]) -> list[float]:
    """How much steeper an image is in one direction than in another: logarithms of ratios, without sign."""
    ratios = []
    for image in (view, smooth):
        across, down = np.diff(image, axis=1)[1:], np.diff(image, axis=0)[:, 1:]
        ratios.append(abs(_log(float(across.std()) + _LEAST) - _log(float(down.std()) + _LEAST)))
    one, other = across + down, across - down
    return [*ratios, abs(_log(float(one.std()) + _LEAST) - _log(float(other.std()) + _LEAST))]


def _lit_shape(lit: NDArray[np.bool_]) -> list[float]:
    """Share, parts, share of the largest, and of the largest: solidity, share of its box, of the border, roundness."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(lit.astype(np.uint8), connectivity=8)
    if count < 2:
        return [0.0, _log(0.0), 0.0, 0.0, 0.0, 0.0, 0.0]
    largest = 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())
    _, _, width, height, area = (int(value) for value in statistics[largest])
    part = (labels == largest).astype(np.uint8)
    outlines, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=len)
    hull = max(cv2.contourArea(cv2.convexHull(outline)), 1.0)
    border = np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]])
    return [
        float(lit.mean()),
        _log(count - 1),
        area / max(int(lit.sum()), 1),
        min(max(cv2.contourArea(outline), 1.0) / hull, 1.0),
        area / (width * height),
        float(border.mean()),
        math.log(len(outline) / math.sqrt(area)),
    ]


def _lit_levels(view: NDArray[np.float32], lit: NDArray[np.bool_], low: float, span: float) -> list[float]:
    """Standard deviation, and 10th and 90th percentile, of the lit part's levels, in units of the view's contrast."""
    levels = (view[lit] - low) / span
    if levels.size == 0:
        return [0.0, 0.0, 0.0]
    return [float(levels.std()), *(float(value) for value in np.percentile(levels, (10, 90)))]


def _edges(view: NDArray[np.float32], lit: NDArray[np.bool_]) -> list[float]:
    """The sharpest step from one row to the next over the median one, and the longest straight edge over the side.

    The same for columns. A cut frame has a step, a drawn thing or a spoiled geometry long straight edges.
    """
    figures = []
    for image in (view, view.T):
        steps = np.abs(np.diff(image, axis=0)).mean(axis=1)
        figures.append(_log(float(steps.max()) / max(float(np.median(steps)), _LEAST)))
    side = math.sqrt(max(int(lit.sum()), 1))
    for mask in (lit, lit.T):
        changes = (mask[1:] != mask[:-1]).sum(axis=1)
        figures.append(_log(float(changes.max()) / side))
    return figures


def _lit_relief(
    view: NDArray[np.float32], smooth: NDArray[Any], lit: NDArray[np.bool_], low: float, span: float
) -> list[float]:
    """Steepness of the limb, level and relief of the lit part away from its limb, relief of the dark part."""
    mask = lit.astype(np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    limb = (cv2.dilate(mask, kernel) != cv2.erode(mask, kernel, borderValue=(1,))).astype(bool)
    inside = cv2.erode(mask, kernel, iterations=2, borderValue=(1,)).astype(bool)
    outside = ~cv2.dilate(mask, kernel, iterations=3).astype(bool)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=0.125)
    steepness = cv2.magnitude(across, down)
    fine = np.abs(view - smooth)
    level = (_mean(view, inside) - low) / span
    return [
        _log(_mean(steepness, limb) / span),
        level,
        _log(_mean(fine, inside) / span),
        _log(_mean(steepness, inside) / span),
        _log(float(view[outside].std()) / span if outside.any() else 1.0),
    ]
