"""From shapes to a sample: the square crop, and identifiers and mask on its grid."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ground_tools.labelling.annotations import Annotation, Crop
from ground_tools.labelling.shapes import BODY, BOULDER, CRATER, TERMINATOR, Shape, across, bounds, outline
from ground_tools.labels.classes import BOULDER_IDENTIFIERS, CRATER_IDENTIFIERS, SURFACE_IDENTIFIER
from ground_tools.labels.stacking import stack_masks

# Grid on which sizes are told, and rules about sizes hold: what a network sees.
NETWORK_SIZE = 128
# Each pixel of a sample is looked at in so many by so many places; half of them decide.
_PLACES = 8
# Digits after the binary point in OpenCV's coordinates.
_SHIFT = 8
# A body whose outline comes this near to the border of the image (pixels) is cut by it.
_TOUCHES = 1.5
# What rounding of coordinates may take from a size (pixels of the 128 x 128 grid).
_ROUNDING = 0.05


@dataclass(frozen=True)
class Sample:
    """One image-mask pair. image, mask: (S, S) uint8. identifiers, ground: (S, S) uint16, as in rendered sets."""

    image: np.ndarray
    mask: np.ndarray
    identifiers: np.ndarray
    ground: np.ndarray


def crop_of(annotation: Annotation, margin: float) -> Crop:
    """The square that becomes the sample: first column, first row, side, in pixels of the image.

    The one that the file sets, or the square about the body's outline, `margin` times its largest extent. At a border
    that cuts the body the crop ends with the image; between two such borders it is the largest square that fits. On
    other sides it may leave the image. Raises ValueError when no crop is set and there is no outline.
    """
    if annotation.crop is not None:
        return annotation.crop
    bodies = [shape for shape in annotation.shapes if shape.label == BODY]
    if not bodies:
        raise ValueError(f"{annotation.file}: expected an outline of the body, or a crop, got none")
    x0, y0, x1, y1 = bounds(bodies)
    size = (annotation.width, annotation.height)
    low = np.clip([x0, y0], 0.0, size)
    high = np.clip([x1, y1], 0.0, size)
    cut_low, cut_high = low <= _TOUCHES, high >= np.subtract(size, _TOUCHES)
    side = float(max(high - low)) * margin
    for axis in range(2):
        if cut_low[axis] and cut_high[axis]:
            side = min(side, size[axis])
    whole = max(round(side), 8)
    first = []
    for axis in range(2):
        start = round(float(low[axis] + high[axis] - whole) / 2.0)
        if cut_low[axis]:
            start = max(start, 0)
        if cut_high[axis]:
            start = min(start, size[axis] - whole)
        first.append(start)
    return first[0], first[1], whole


def crops_of(annotation: Annotation, margin: float) -> tuple[Crop, ...]:
    """The squares of an image that become samples: its close-ups, or the one of `crop_of`; raises as that does."""
    return annotation.close_ups or (crop_of(annotation, margin),)


def crop_with(shape: Shape, crops: tuple[Crop, ...]) -> Crop:
    """The crop that shows most of the box about a shape; of equals, the first."""
    low_x, low_y, high_x, high_y = bounds([shape])

    def shown(crop: Crop) -> float:
        x, y, side = crop
        width, height = min(high_x, x + side) - max(low_x, x), min(high_y, y + side) - max(low_y, y)
        return max(width, 0.0) * max(height, 0.0)

    return max(crops, key=shown)


def sky_level(image: np.ndarray, body: np.ndarray) -> int:
    """The level of the background: the median of what is off the body; 0 where there is nothing of it.

    image: (H, W) uint8. body: (H, W) bool. Returns 0..255.
    """
    sky = image[~body]
    return int(np.median(sky)) if len(sky) else 0


def crop_image(image: np.ndarray, crop: Crop, size: int, level: int) -> np.ndarray:
    """The crop of an image on a grid of size x size; outside of the image there is `level`. Returns (S, S) uint8."""
    x, y, side = crop
    square = np.full((side, side), level, dtype=np.uint8)
    height, width = image.shape
    top, bottom, left, right = max(y, 0), min(y + side, height), max(x, 0), min(x + side, width)
    if top < bottom and left < right:
        square[top - y : bottom - y, left - x : right - x] = image[top:bottom, left:right]
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return cv2.resize(square, (size, size), interpolation=interpolation)


def rasterise(points: np.ndarray, crop: Crop, size: int) -> np.ndarray:
    """The pixels of a crop's grid of which a polygon covers half or more.

    points: (N, 2) float64, pixels of the image. Returns (S, S) bool. Each pixel is looked at in 8 x 8 places.
    """
    region = np.zeros((size, size), dtype=bool)
    x, y, side = crop
    on_grid = (points - (x, y)) * (size / side)
    low = np.clip(np.floor(on_grid.min(axis=0)), 0, size).astype(int)
    high = np.clip(np.ceil(on_grid.max(axis=0)), 0, size).astype(int)
    width, height = (high - low).tolist()
    if width <= 0 or height <= 0:
        return region
    fine = _within((on_grid - low) * _PLACES, height * _PLACES, width * _PLACES)
    shares = fine.reshape(height, _PLACES, width, _PLACES).mean(axis=(1, 3))
    region[low[1] : high[1], low[0] : high[0]] = shares >= 0.5
    return region


def _within(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Which pixels of a grid have their middle within a polygon: (height, width) bool.

    By the crossings of each row with the sides: OpenCV's filling would take in the pixels of the sides, too.
    points: (N, 2) float64, x and y in pixels of the grid.
    """
    crossings = np.zeros((height, width + 1), dtype=np.int32)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        first, last = np.clip(np.ceil(np.array([min(y0, y1), max(y0, y1)]) - 0.5), 0, height).astype(int)
        rows = np.arange(first, last)
        if len(rows):
            x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            crossings[rows, np.clip(np.ceil(x - 0.5), 0, width).astype(int)] += 1
    within: np.ndarray = np.cumsum(crossings, axis=1)[:, :width] % 2 == 1
    return within


def place_in(shape: Shape, crop: Crop) -> str:
    """Where the box about a shape lies: `inside` of a crop, `partly`, or `outside`."""
    (low_x, low_y, high_x, high_y), (x, y, side) = bounds([shape]), crop
    if high_x <= x or high_y <= y or low_x >= x + side or low_y >= y + side:
        return "outside"
    within = low_x >= x and low_y >= y and high_x <= x + side and high_y <= y + side
    return "inside" if within else "partly"


def region_of(shapes: list[Shape], crop: Crop, size: int) -> np.ndarray:
    """The pixels that any of the shapes covers. Returns (S, S) bool."""
    region = np.zeros((size, size), dtype=bool)
    for shape in shapes:
        region |= rasterise(outline(shape), crop, size)
    return region


def body_in_image(annotation: Annotation) -> np.ndarray:
    """Where the body is, on the image's own grid: (H, W) bool."""
    region = np.zeros((annotation.height, annotation.width), dtype=np.uint8)
    for shape in annotation.shapes:
        if shape.label == BODY:
            places = np.rint((outline(shape) - 0.5) * (1 << _SHIFT)).astype(np.int32)
            cv2.fillPoly(region, [places], (1,), cv2.LINE_8, _SHIFT)
    return region > 0


def across_at_network_size(shape: Shape, crop: Crop) -> float:
    """How far a shape reaches across in a 128 x 128 sample, pixels."""
    return across(shape) * NETWORK_SIZE / crop[2]


def is_too_small(shape: Shape, crop: Crop, minimum_across: dict[str, float]) -> bool:
    """Whether a crater or boulder is smaller than the rule allows: then it is part of what it lies on."""
    return across_at_network_size(shape, crop) < minimum_across.get(shape.label, 0.0) - _ROUNDING


def identifiers_of(
    annotation: Annotation, crop: Crop, size: int, minimum_across: dict[str, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each pixel of a crop shows: identifiers, ground (both (S, S) uint16), terminator ((S, S) bool).

    As in rendered sets: 0 off the body, 1 surface, 100 + k crater k, 12000 + j boulder j; of several craters or
    boulders in a pixel the smallest is taken. Nothing lies outside of the body and of the image. Shapes that are too
    small are left out.
    """
    frame = np.array([(0, 0), (annotation.width, 0), (annotation.width, annotation.height), (0, annotation.height)])
    inside = rasterise(frame.astype(np.float64), crop, size)
    body = inside & region_of([shape for shape in annotation.shapes if shape.label == BODY], crop, size)
    ground = np.where(body, SURFACE_IDENTIFIER, 0).astype(np.uint16)
    for number, shape in enumerate(_large_first(annotation, CRATER, crop, minimum_across)):
        ground[rasterise(outline(shape), crop, size) & body] = CRATER_IDENTIFIERS + number
    identifiers = ground.copy()
    for number, shape in enumerate(_large_first(annotation, BOULDER, crop, minimum_across)):
        identifiers[rasterise(outline(shape), crop, size) & body] = BOULDER_IDENTIFIERS[2] + number
    terminator = body & region_of([shape for shape in annotation.shapes if shape.label == TERMINATOR], crop, size)
    return identifiers, ground, terminator


def _large_first(annotation: Annotation, label: str, crop: Crop, minimum_across: dict[str, float]) -> list[Shape]:
    shapes = [s for s in annotation.shapes if s.label == label and not is_too_small(s, crop, minimum_across)]
    return sorted(shapes, key=across, reverse=True)


def mask_of(annotation: Annotation, crop: Crop, size: int, minimum_across: dict[str, float]) -> np.ndarray:
    """The mask of a crop: terminator over boulders over craters over surface over background. (S, S) uint8."""
    return stack_masks(*identifiers_of(annotation, crop, size, minimum_across), minimum_boulder_pixels=1)


def sample_of(
    image: np.ndarray, annotation: Annotation, crop: Crop, size: int, minimum_across: dict[str, float]
) -> Sample:
    """The sample that a crop of an image and its labels gives. image: (H, W) uint8.

    Raises ValueError naming the image when none of the body lies in the crop.
    """
    identifiers, ground, terminator = identifiers_of(annotation, crop, size, minimum_across)
    if not identifiers.any():
        raise ValueError(f"{annotation.file}: expected the body within the crop {crop}, found none of it there")
    mask = stack_masks(identifiers, ground, terminator, minimum_boulder_pixels=1)
    grey = crop_image(image, crop, size, sky_level(image, body_in_image(annotation)))
    return Sample(grey, mask, identifiers, ground)
