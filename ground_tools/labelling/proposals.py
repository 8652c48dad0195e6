"""Proposals that a person corrects: the body's outline by threshold, the terminator by brightness or by Canny edges."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ground_tools.labelling.annotations import Annotation
from ground_tools.labelling.rasterisation import body_in_image, crop_image, crop_of, sky_level
from ground_tools.labelling.shapes import BODY, TERMINATOR, Shape, as_proposal, is_proposal
from ground_tools.labels.terminator import SMOOTHING, acceptance_mask, disk, edge_region, remove_specks

METHODS = ("band", "canny", "none")
# A pixel shows the body when it is brighter than the sky by this many levels, and by this many times the sky's spread.
_LEAST_CONTRAST, _SPREADS = 9.0, 5.0
# The limb: where brightness falls below this share of the brightest pixel near.
_LIMB_SHARE = 0.3
# A border of the image of which so much is as bright as the rest shows no sky: the body fills the image.
_BRIGHT_BORDER = 0.9
# The terminator is found on a grid of this size, where the synthetic sets' distances in pixels hold.
_GRID = 128
# The band: brightness, smoothed by so many pixels of the grid, over that of the full day (of the body's pixels, the
# share below it), between these two.
_BAND_BLUR, _DAY_SHARE, _BAND = 2.5, 0.75, (0.04, 0.28)
# Level of the full day before Canny.
_WHITE = 250.0
# Polygons keep this near to the pixels' own edges: pixels of the image, or of the grid where that is more.
_SIMPLER, _SIMPLER_ON_GRID = 0.6, 0.3
# Regions are enlarged so many times before their outlines are followed along the edges of pixels.
_ENLARGE = 4


def propose(
    image: np.ndarray, annotation: Annotation, margin: float, terminator: str = "band", replace_all: bool = False
) -> Annotation:
    """The labels with proposals for the body and the terminator.

    A label of which a person has drawn, changed or accepted a shape is left alone, unless replace_all is given. image:
    (H, W) uint8. terminator: one of METHODS.
    """
    result = annotation
    if replace_all or _free(annotation, BODY):
        result = _with(result, BODY, body_outline(image))
    if terminator != "none" and (replace_all or _free(annotation, TERMINATOR)):
        result = _with(result, TERMINATOR, terminator_outlines(image, result, margin, terminator))
    return result


def _free(annotation: Annotation, label: str) -> bool:
    done = annotation.labelled and label == TERMINATOR  # an image without a terminator may be right
    return not done and all(is_proposal(shape) for shape in annotation.shapes if shape.label == label)


def _with(annotation: Annotation, label: str, shapes: list[Shape]) -> Annotation:
    others = tuple(shape for shape in annotation.shapes if shape.label != label)
    proposed = tuple(as_proposal(shape) for shape in shapes)
    return replace(annotation, shapes=proposed + others if label == BODY else others + proposed)


def body_outline(image: np.ndarray) -> list[Shape]:
    """The outline of the largest bright part, holes filled; the whole image where its border shows no sky.

    image: (H, W) uint8. Returns one polygon, or none for an image without contrast.
    """
    height, width = image.shape
    smooth = cv2.GaussianBlur(image, (0, 0), 0.7)
    otsu, _ = cv2.threshold(smooth, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    border = np.concatenate([smooth[0], smooth[-1], smooth[:, 0], smooth[:, -1]])
    if np.percentile(image, 99) - np.percentile(image, 1) < 2 * _LEAST_CONTRAST:
        return []
    if (border > 0.5 * otsu).mean() > _BRIGHT_BORDER:
        return [Shape(BODY, ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height)))]
    sky = smooth[smooth < 0.5 * otsu] if (smooth < 0.5 * otsu).any() else smooth[smooth <= otsu]
    level = float(np.median(sky))
    spread = 1.4826 * float(np.median(np.abs(sky.astype(np.float64) - level)))
    threshold = min(level + max(_LEAST_CONTRAST, _SPREADS * spread), float(otsu))
    bright = (smooth > threshold).astype(np.uint8)
    # Dark pixels between bright ones of the dim side belong to it; specks of compression do not.
    reach = max(1, round(0.008 * max(height, width)))
    framed = cv2.copyMakeBorder(bright, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    joined = cv2.morphologyEx(cv2.morphologyEx(framed, cv2.MORPH_CLOSE, disk(reach)), cv2.MORPH_OPEN, disk(reach))
    largest = _largest_part(np.ascontiguousarray(joined[reach:-reach, reach:-reach]))
    # Beside the bright limb the sky is lifted by the optics and by compression: in a narrow rim, the limb is where
    # brightness has fallen to a share of what is near.
    near = round(0.005 * max(height, width)) + 1
    rim = (largest > 0) & (cv2.erode(largest, disk(near)) == 0)
    highest = cv2.dilate(smooth, disk(2 * near)).astype(np.float32)
    dim = rim & (smooth < level + _LIMB_SHARE * (highest - level))
    largest = _largest_part(((largest > 0) & ~dim).astype(np.uint8))
    if not largest.any():
        return []
    tolerance = max(_SIMPLER, _SIMPLER_ON_GRID * max(cv2.boundingRect(largest)[2:]) / _GRID)
    return [Shape(BODY, points) for points in outlines(largest > 0, 0.0, 0.0, 1.0, tolerance)]


def _largest_part(region: np.ndarray) -> np.ndarray:
    """The largest connected part of a region, (H, W) uint8 of 0 and 1."""
    _, parts, boxes, _ = cv2.connectedComponentsWithStats(region, connectivity=4)
    if len(boxes) < 2:
        return np.zeros_like(region)
    largest: np.ndarray = (parts == 1 + int(boxes[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
    return largest


def terminator_outlines(image: np.ndarray, annotation: Annotation, margin: float, method: str = "band") -> list[Shape]:
    """The terminator region within the labelled body, as polygons.

    band: where the smoothed brightness lies between night and day. canny: the synthetic sets' edges; it needs an
    outline that takes in the night side. image: (H, W) uint8. Returns no shapes where there is no body or no night.
    """
    if not any(shape.label == BODY for shape in annotation.shapes):
        return []
    crop = crop_of(annotation, margin)
    body = body_in_image(annotation)
    level = sky_level(image, body)
    grey = crop_image(image, crop, _GRID, level)
    inside = crop_image((body * 255).astype(np.uint8), crop, _GRID, 0) >= 128
    lit = np.clip(grey.astype(np.float32) - level, 0.0, None)
    if method == "canny":
        bright = float(np.percentile(lit[inside], 95)) if inside.any() else 0.0
        night = inside & (cv2.GaussianBlur(lit, (0, 0), 1.0) < 0.04 * bright)
        # Canny's thresholds are those of the synthetic sets, where the full day is nearly white.
        stretched = np.clip(lit * (_WHITE / max(bright, 1.0)), 0, 255).astype(np.uint8)
        region = edge_region(cv2.GaussianBlur(stretched, (0, 0), SMOOTHING), night, acceptance_mask(inside), inside)
    else:
        region = _band(lit, inside)
    x, y, side = crop
    pixel = side / _GRID
    tolerance = max(_SIMPLER, _SIMPLER_ON_GRID) * pixel
    return [Shape(TERMINATOR, points) for points in outlines(region, float(x), float(y), pixel, tolerance)]


def _band(lit: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Where the smoothed brightness of the body lies between night and day, in parts long enough. (S, S) bool."""
    weights = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), _BAND_BLUR)
    smooth = cv2.GaussianBlur(lit * inside, (0, 0), _BAND_BLUR) / np.maximum(weights, 1e-3)
    if not inside.any():
        return inside
    day = float(np.percentile(smooth[inside], 100 * _DAY_SHARE))
    band = inside & (smooth > _BAND[0] * day) & (smooth < _BAND[1] * day)
    opened = cv2.morphologyEx(band.astype(np.uint8), cv2.MORPH_OPEN, disk(1))
    return remove_specks(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, disk(1)) > 0, inside)


def outlines(
    region: np.ndarray, x: float, y: float, pixel: float, tolerance: float
) -> list[tuple[tuple[float, float], ...]]:
    """The outer outlines of a region's parts, along the edges of its pixels, made simpler.

    region: (H, W) bool. x, y: where its first pixel begins in the image. pixel: size of its pixels there. tolerance:
    how far a simpler polygon may leave the edges, pixels of the image. Returns polygons of the image's coordinates.
    """
    fine = np.repeat(np.repeat(region.astype(np.uint8), _ENLARGE, axis=0), _ENLARGE, axis=1)
    contours, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    polygons = []
    for contour in contours:
        simple = cv2.approxPolyDP(contour, tolerance / pixel * _ENLARGE, True)[:, 0].astype(np.float64)
        if len(simple) < 3:
            continue
        # OpenCV's integers are the middles of the fine pixels.
        placed = (simple + 0.5) / _ENLARGE * pixel + (x, y)
        polygons.append(tuple((round(float(px), 2), round(float(py), 2)) for px, py in placed))
    return polygons
