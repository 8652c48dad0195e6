"""What a frame looks like, as numbers: what the input monitor decides from.

They are taken of the frame as the camera gave it, and of the part of it that the networks are given. Ratios are
logarithms, so that what is ten times too large is as far off as what is ten times too small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
# Pixels of an outline that an ellipse is fitted to.
_LEAST_OUTLINE = 12
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
    "lit in repeated rows",
    "lit beside repeated rows",
    "outliers along rows",
    "rows over every other row",
    "relief of the lit part up to 2 px",
    "relief of the lit part up to 4 px",
    "relief up to 2 px over that of the sky",
    "relief up to 4 px over that of the sky",
    "unevenness of the limb",
    "holes of the largest part",
    "outline off an ellipse",
)


@dataclass(frozen=True)
class _Limb:
    """The lit part of a view, and its limb.

    Attributes:
        lit: (h, w) uint8, 1 where light falls.
        where: (h, w) bool, within a pixel of the limb.
        smooth: (h, w) float32, the view, smoothed.
        steepness: (h, w) float32, magnitude of the gradient of `smooth`, per pixel.
    """

    lit: NDArray[np.uint8]
    where: NDArray[np.bool_]
    smooth: NDArray[Any]
    steepness: NDArray[Any]


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
    blurred = [cv2.GaussianBlur(view, (0, 0), scale) for scale in _SCALES]
    smooth = blurred[0]
    lit = (smooth > low + LIT_SHARE * span) & seen
    limb = _find_limb(smooth, lit)
    figures = [
        _log(noise / contrast),
        _log(contrast),
        search.background / max(search.peak, _LEAST),
        float((bright[:, 1:] & (rows[:, 1:] == rows[:, :-1])).sum()) / count,
        float((bright & (rows == below)).sum()) / count,
        float((rows >= 1.0).sum()) / count,
        *_energies(view, blurred),
        *_directions(view, smooth),
        *_lit_shape(lit),
        *_lit_relief(view, limb, low, span),
    ]
    figures.append(figures[FRAME_FEATURES.index("relief of the lit part")] - _log(noise / span))
    return [
        *figures,
        *_lit_levels(view, lit, low, span),
        *_edges(view, lit),
        *_repeated_rows(grey, search.background + LIT_SHARE * contrast),
        *_neighbours(grey, step, noise, contrast),
        *_lit_texture(blurred, limb, span),
        *_outline_form(limb.lit),
    ]


def find_levels(view: NDArray[np.float32]) -> tuple[float, float]:
    """Levels of the darkest tenth of an image and of its brightest pixels, without the outermost of them."""
    return float(np.percentile(view, 10)), float(np.percentile(view, 99.5))


def _log(value: float) -> float:
    """Natural logarithm, of no less than 1e-4."""
    return math.log(max(float(value), _LEAST))


def _mean(values: NDArray[Any], where: NDArray[np.bool_]) -> float:
    return float(values[where].mean()) if where.any() else 0.0


def _median(values: NDArray[Any], where: NDArray[np.bool_]) -> float:
    return float(np.median(values[where])) if where.any() else 0.0


def _energies(view: NDArray[np.float32], blurred: list[NDArray[Any]]) -> list[float]:
    """Logarithms of the deviation between one scale and the next, over that of the whole. blurred: by _SCALES."""
    whole = max(float(view.std()), _LEAST)
    finer: NDArray[Any] = view
    energies = []
    for coarser in blurred:
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


def _repeated_rows(grey: NDArray[np.float32], level: float) -> list[float]:
    """Of rows that are exactly the one before, as where a frame breaks off: their lit share, and that beside them.

    The share of the lit pixels that lie in repeated rows, and the widest lit row next to a block of such rows over the
    widest one of all. The noise of a camera lets no two lit rows be the same; the sky of a picture may be blank, but
    next to it a body is narrow.
    """
    # A look at some columns spares the comparison of nearly every row.
    some = np.flatnonzero((grey[1:, ::16] == grey[:-1, ::16]).all(axis=1)) + 1
    repeated = np.zeros(len(grey), dtype=np.bool_)
    repeated[some] = (grey[some] == grey[some - 1]).all(axis=1)
    if not repeated.any():
        return [0.0, 0.0]
    repeated[:-1] |= repeated[1:]
    lit = np.count_nonzero(grey > level, axis=1)
    beside = np.zeros(len(grey), dtype=np.bool_)
    beside[1:] |= repeated[:-1]
    beside[:-1] |= repeated[1:]
    beside &= ~repeated
    widest = max(int(lit.max()), 1)
    return [
        float(lit[repeated].sum()) / max(int(lit.sum()), 1),
        float(lit[beside].max()) / widest if beside.any() else 0.0,
    ]


def _neighbours(grey: NDArray[np.float32], step: int, noise: float, contrast: float) -> list[float]:
    """Share of pixels that stand out from both neighbours in their row; steps to the next row over those to the third.

    Wrong bits make the former large, lines of two moments the latter.
    """
    first = np.arange(0, max(len(grey) - 2, 1), step)
    last = len(grey) - 1
    rows, second, third = grey[first], grey[np.minimum(first + 1, last)], grey[np.minimum(first + 2, last)]
    outlying = np.abs(rows[:, 1:-1] - 0.5 * (rows[:, :-2] + rows[:, 2:])) > 6.0 * noise + 0.05 * contrast
    adjacent, alternate = float(np.abs(rows - second).mean()), float(np.abs(rows - third).mean())
    return [_log(float(outlying.mean())), _log(adjacent + _LEAST) - _log(alternate + _LEAST)]


def _lit_texture(blurred: list[NDArray[Any]], limb: _Limb, span: float) -> list[float]:
    """Relief of the lit part at two scales, away from the dark, and over the sky's; how the limb's steepness varies.

    A ghost of the optics is smooth but for the noise, which the sky has, too, and equally steep all around.
    """
    kernel = np.ones((3, 3), np.uint8)
    inside = cv2.erode(limb.lit, kernel, iterations=4, borderValue=(1,)).astype(bool)
    sky = ~cv2.dilate(limb.lit, kernel, iterations=6).astype(bool)
    smooth, middle, coarse = blurred[:3]
    reliefs = [np.abs(smooth - middle), np.abs(middle - coarse)]
    steepness = limb.steepness[limb.where]
    return [
        *(_log(_mean(relief, inside) / span) for relief in reliefs),
        *(_log(_median(relief, inside)) - _log(_median(relief, sky)) for relief in reliefs),
        float(steepness.std() / max(float(steepness.mean()), _LEAST)) if steepness.size else 0.0,
    ]


def _outline_form(lit: NDArray[np.uint8]) -> list[float]:
    """Of the lit part with the longest outline: the share of its holes, and how far its outline is off an ellipse.

    The latter is the logarithm of the mean distance, in radii of the ellipse that fits best; what lies on the border
    of the view is left out.
    """
    outlines, _ = cv2.findContours(lit, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return [0.0, 0.0]
    outline = max(outlines, key=len)
    filled = np.zeros_like(lit)
    cv2.drawContours(filled, [outline], -1, (1,), cv2.FILLED)
    holes = float(((filled == 1) & (lit == 0)).sum()) / max(int(filled.sum()), 1)
    points = outline[:, 0].astype(np.float64)
    last = np.array([lit.shape[1] - 1, lit.shape[0] - 1])
    points = points[((points > 0) & (points < last)).all(axis=1)]
    if len(points) < _LEAST_OUTLINE:
        return [holes, 0.0]
    (x, y), (width, height), degrees = cv2.fitEllipseDirect(points.astype(np.float32))
    angle = math.radians(degrees)
    turned = (points - (x, y)) @ np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    radii = np.hypot(turned[:, 0] / max(0.5 * width, _LEAST), turned[:, 1] / max(0.5 * height, _LEAST))
    off = float(np.abs(radii - 1.0).mean())
    return [holes, _log(off) if math.isfinite(off) else 0.0]


def _find_limb(smooth: NDArray[Any], lit: NDArray[np.bool_]) -> _Limb:
    mask = lit.astype(np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    where = (cv2.dilate(mask, kernel) != cv2.erode(mask, kernel, borderValue=(1,))).astype(bool)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=0.125)
    return _Limb(mask, where, smooth, cv2.magnitude(across, down))


def _lit_relief(view: NDArray[np.float32], limb: _Limb, low: float, span: float) -> list[float]:
    """Steepness of the limb, level and relief of the lit part away from its limb, relief of the dark part."""
    kernel = np.ones((3, 3), np.uint8)
    inside = cv2.erode(limb.lit, kernel, iterations=2, borderValue=(1,)).astype(bool)
    outside = ~cv2.dilate(limb.lit, kernel, iterations=3).astype(bool)
    fine = np.abs(view - limb.smooth)
    level = (_mean(view, inside) - low) / span
    return [
        _log(_mean(limb.steepness, limb.where) / span),
        level,
        _log(_mean(fine, inside) / span),
        _log(_mean(limb.steepness, inside) / span),
        _log(float(view[outside].std()) / span if outside.any() else 1.0),
    ]
