"""Sheets for looking and correcting: the image enlarged, coordinates on its margins, the labels over it, the mask."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ground_tools.labelling.annotations import Annotation, Crop
from ground_tools.labelling.rasterisation import (
    NETWORK_SIZE,
    across_at_network_size,
    crop_with,
    crops_of,
    is_too_small,
    mask_of,
    place_in,
)
from ground_tools.labelling.shapes import BODY, TERMINATOR, Shape, is_proposal, outline
from ground_tools.labels.class_table import SMALL_BODY_CLASSES
from ground_tools.labels.classes import CLASS_NAMES, COLORS
from ground_tools.labels.mask_colors import colors_from_mask

PANELS = ("plain", "labels", "mask")
# A sheet is made as large as fits in a square of this side, so that no viewer makes it smaller again (pixels).
_LARGEST = 1560
_SCALES = range(12, 0, -1)
_STEPS = (5, 10, 20, 50, 100, 200)
# Distance of grid lines on the sheet, at least (pixels).
_LEAST_STEP = 38
_MARGIN_LEFT, _MARGIN_TOP, _GAP = 34, 16, 6
_PAPER, _INK, _GRID = (30, 32, 40), (225, 225, 230), (90, 200, 220)
_CLASS_OF_LABEL = {"body": "surface", "crater": "craters", "boulder": "boulders", "terminator": "terminator"}
_OUTLINES = {**COLORS, "surface": (90, 230, 90)}

Region = tuple[int, int, int, int]


def label_sheet(
    image: np.ndarray,
    annotation: Annotation,
    minimum_across: dict[str, float],
    margin: float,
    panels: tuple[str, ...] = PANELS,
    region: Region | None = None,
    scale: int | None = None,
    gamma: float = 1.0,
    smooth: bool = False,
) -> np.ndarray:
    """Draw the sheet of an image: (H, W, 3) uint8, red green blue.

    panels: some of PANELS, in the order drawn. region: first column, first row, last column + 1, last row + 1 of the
    part to show, pixels of the image; None: all. scale: size of a pixel; None: the largest that fits. gamma: above 1
    makes dim parts brighter, to see the unlit side. smooth: enlarge by cubic interpolation in place of squares.
    Coordinates on the margins are the image's own. Raises ValueError for a region outside of the image.
    """
    height, width = image.shape
    x0, y0, x1, y1 = region or (0, 0, width, height)
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"{annotation.file}: region: expected a part of {width} x {height} pixels, got {region}")
    shown: Region = (x0, y0, x1, y1)
    large = [panel for panel in panels if panel != "mask"]
    drawn = [] if "mask" not in panels else _mask_panels(annotation, minimum_across, margin)
    size = scale or _fitting_scale(x1 - x0, y1 - y0, len(large), [panel.shape for panel in drawn])
    levels = np.rint(255.0 * (np.arange(256) / 255.0) ** (1.0 / gamma)).astype(np.uint8)
    pictures = [_enlarge(levels[image], annotation, panel == "labels", shown, size, margin, smooth) for panel in large]
    sheet = _arrange([_arrange(pictures), *drawn]) if pictures else _arrange(drawn)
    return _add_title(sheet, annotation, size)


def _fitting_scale(width: int, height: int, panels: int, others: list[tuple[int, ...]]) -> int:
    """The largest scale at which all panels fit."""
    for scale in _SCALES:
        cell = (height * scale + _MARGIN_TOP, width * scale + _MARGIN_LEFT)
        pictures = [_extent([cell] * panels)] if panels else []
        if max(_extent([*pictures, *others])) + _MARGIN_TOP <= _LARGEST:
            return scale
    return 1


def _extent(cells: Sequence[tuple[int, ...]]) -> tuple[int, int]:
    """Height and width of the better of two arrangements: all in a row, or all in a column."""
    in_row = (max(c[0] for c in cells), sum(c[1] + _GAP for c in cells))
    in_column = (sum(c[0] + _GAP for c in cells), max(c[1] for c in cells))
    return min(in_row, in_column, key=max)


def _arrange(pictures: list[np.ndarray]) -> np.ndarray:
    cells = [picture.shape[:2] for picture in pictures]
    rows, columns = _extent(cells)
    in_row = columns == sum(c[1] + _GAP for c in cells)
    sheet = np.full((rows, columns, 3), _PAPER, dtype=np.uint8)
    at = 0
    for picture in pictures:
        height, width = picture.shape[:2]
        if in_row:
            sheet[:height, at : at + width] = picture
        else:
            sheet[at : at + height, :width] = picture
        at += (width if in_row else height) + _GAP
    return sheet


def _add_title(sheet: np.ndarray, annotation: Annotation, scale: int) -> np.ndarray:
    strip = np.full((_MARGIN_TOP, sheet.shape[1], 3), _PAPER, dtype=np.uint8)
    state = "labelled" if annotation.labelled else "not labelled yet"
    size = f"{annotation.width} x {annotation.height}, x{scale}"
    title = f"{annotation.file}  {size}, outline {annotation.silhouette}, {state}"
    _write(strip, title, 2, 12)
    return np.vstack([strip, sheet])


def _enlarge(
    image: np.ndarray,
    annotation: Annotation,
    with_labels: bool,
    region: Region,
    scale: int,
    margin: float,
    smooth: bool,
) -> np.ndarray:
    x0, y0, x1, y1 = region
    # The whole image is not enlarged: of large ones that would be a picture of gigabytes.
    interpolation = cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST
    part = cv2.resize(image[y0:y1, x0:x1], None, fx=scale, fy=scale, interpolation=interpolation)
    picture = cv2.cvtColor(part, cv2.COLOR_GRAY2RGB)
    step = next((step for step in _STEPS if step * scale >= _LEAST_STEP), _STEPS[-1])
    framed = np.full((picture.shape[0] + _MARGIN_TOP, picture.shape[1] + _MARGIN_LEFT, 3), _PAPER, dtype=np.uint8)
    for x in range(-(-x0 // step) * step, x1, step):
        at = (x - x0) * scale
        picture[:, at] = picture[:, at] // 4 * 3 + np.array(_GRID, dtype=np.uint8) // 4
        _write(framed, str(x), _MARGIN_LEFT + at - 4, 11, 0.32)
    for y in range(-(-y0 // step) * step, y1, step):
        at = (y - y0) * scale
        picture[at] = picture[at] // 4 * 3 + np.array(_GRID, dtype=np.uint8) // 4
        _write(framed, f"{y:>4}", 2, _MARGIN_TOP + at + 4, 0.32)
    if with_labels:
        for number, shape in enumerate(annotation.shapes):
            _draw(picture, shape, number, region, scale)
        _draw_crop(picture, annotation, region, scale, margin)
    framed[_MARGIN_TOP:, _MARGIN_LEFT:] = picture
    return framed


def _draw(picture: np.ndarray, shape: Shape, number: int, region: Region, scale: int) -> None:
    color = _OUTLINES[_CLASS_OF_LABEL[shape.label]]
    points = (outline(shape) - region[:2]) * scale - 0.5
    if (points.max(axis=0) < 0).any() or (points.min(axis=0) >= picture.shape[1::-1]).any():
        return  # in another part of the image: no number of it at this part's border
    cv2.polylines(picture, [np.rint(points * 16).astype(np.int32)], True, color, 1, cv2.LINE_AA, 4)
    x, y = np.rint(points[points[:, 1].argmin()]).astype(int)
    text = f"{number}{'?' if is_proposal(shape) else ''}"
    _write(
        picture,
        text,
        int(np.clip(x + 2, 2, picture.shape[1] - 20)),
        int(np.clip(y - 2, 10, picture.shape[0] - 4)),
        0.36,
        color,
    )


def _draw_crop(picture: np.ndarray, annotation: Annotation, region: Region, scale: int, margin: float) -> None:
    for x, y, side in _known_crops(annotation, margin):
        low = ((x - region[0]) * scale, (y - region[1]) * scale)
        cv2.rectangle(picture, low, (low[0] + side * scale - 1, low[1] + side * scale - 1), (200, 200, 60), 1)


def _known_crops(annotation: Annotation, margin: float) -> tuple[Crop, ...]:
    """The crops of an image; none before the body has an outline."""
    try:
        return crops_of(annotation, margin)
    except ValueError:
        return ()


def _mask_panels(annotation: Annotation, minimum_across: dict[str, float], margin: float) -> list[np.ndarray]:
    """The panel of each crop's mask; an empty one before there is a crop."""
    crops = _known_crops(annotation, margin) or (None,)
    return [_mask_panel(annotation, crop, minimum_across) for crop in crops]


def _mask_panel(annotation: Annotation, crop: Crop | None, minimum_across: dict[str, float]) -> np.ndarray:
    """The mask at 128 x 128, twice as large, and how often each shape occurs."""
    mask = np.zeros((NETWORK_SIZE, NETWORK_SIZE), dtype=np.uint8)
    if crop is not None:
        mask = mask_of(annotation, crop, NETWORK_SIZE, minimum_across)
    picture = np.repeat(np.repeat(colors_from_mask(mask, SMALL_BODY_CLASSES), 2, axis=0), 2, axis=1)
    legend = np.full((16 * (len(CLASS_NAMES) + 3), picture.shape[1], 3), _PAPER, dtype=np.uint8)
    for row, name in enumerate(CLASS_NAMES):
        cv2.rectangle(legend, (2, 16 * row + 3), (13, 16 * row + 14), COLORS[name], cv2.FILLED)
        _write(legend, f"{name} {np.mean(mask == row):.1%}", 20, 16 * row + 13)
    if crop is not None:
        small = [str(n) for n, s in enumerate(annotation.shapes) if is_too_small(s, crop, minimum_across)]
        _write(legend, f"crop {crop[0]},{crop[1]},{crop[2]}", 2, 16 * len(CLASS_NAMES) + 13)
        if small:
            _write(legend, f"too small: {' '.join(small)}", 2, 16 * (len(CLASS_NAMES) + 1) + 13)
    strip = np.full((_MARGIN_TOP, picture.shape[1], 3), _PAPER, dtype=np.uint8)
    return np.vstack([strip, picture, legend])


def _write(
    picture: np.ndarray, text: str, x: int, y: int, scale: float = 0.4, color: tuple[int, int, int] = _INK
) -> None:
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)


def places(annotation: Annotation, margin: float) -> list[str]:
    """Of each shape, whether it lies inside of the crop that shows most of it, partly, or outside.

    A body reaches beyond it by rule, and a terminator counts on the body alone: of these only what lies outside as a
    whole is told.
    """
    crops = _known_crops(annotation, margin)
    if not crops:
        return ["inside"] * len(annotation.shapes)
    found = []
    for shape in annotation.shapes:
        place = place_in(shape, crop_with(shape, crops))
        found.append("inside" if place == "partly" and shape.label in (BODY, TERMINATOR) else place)
    return found


def sizes(annotation: Annotation, margin: float) -> list[float]:
    """How far each shape reaches across in the 128 x 128 sample that shows most of it, pixels; NaN without a crop."""
    crops = _known_crops(annotation, margin)
    if not crops:
        return [float("nan")] * len(annotation.shapes)
    return [across_at_network_size(shape, crop_with(shape, crops)) for shape in annotation.shapes]
