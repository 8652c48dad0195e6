"""Centering: from a sensor frame to the square image that the networks take, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.inference.body_search import BodySearch, search_body

Affine = tuple[float, float, float, float, float, float]

# The crop's side over the body's larger extent: in the networks' training images the body spans 0.77 of the
# image and more.
_MARGIN = 1.25
# A body is enlarged by no more than this: a few pixels blown up hold no morphology.
_LARGEST_ENLARGEMENT = 2.0


@dataclass(frozen=True)
class CenteredImage:
    """What the networks see. image: (height, width, channels) float32 in [0, 1].

    map_to_sensor: (a, b, c, d, e, f), sensor x = a u + b v + c, y = d u + e v + f, pixel centres at integers,
    u along a row. seen: (height, width) bool, False where a pixel of the map lies outside the sensor frame.
    grey: the sensor frame, (H, W) float32 in [0, 1]. search: what stands out of its background.
    """

    image: NDArray[np.float32]
    map_to_sensor: Affine
    seen: NDArray[np.bool_]
    grey: NDArray[np.float32]
    search: BodySearch


def scale_to_unit(pixels: NDArray[np.uint8] | NDArray[np.uint16], bit_depth: int) -> NDArray[np.float32]:
    """Pixels as float32 in [0, 1], full scale of the bit depth being 1; values above full scale are clipped."""
    scaled = pixels.astype(np.float32)
    scaled *= np.float32(1.0 / ((1 << bit_depth) - 1))
    return np.minimum(scaled, np.float32(1.0))


def center(
    pixels: NDArray[np.uint8] | NDArray[np.uint16],
    bit_depth: int,
    height: int,
    width: int,
    channels: int,
    locate: bool,
) -> CenteredImage:
    """Cut the body out of a sensor frame and scale it to (height, width, channels).

    pixels: (H, W) or (H, W, 3). locate: cut out the body; otherwise, or when there is none, the whole frame is
    taken. A colour frame is averaged for a one-channel network, a grey one repeated for three channels. What lies
    outside the frame is filled with the frame's darkest decile, so that its edge does not look like a limb.
    """
    frame = scale_to_unit(pixels, bit_depth)
    grey = frame if frame.ndim == 2 else np.ascontiguousarray(frame.mean(axis=2, dtype=np.float32))
    search = search_body(grey)
    box = search.box if locate else None
    rows, columns = grey.shape
    if box is not None:
        left, top, right, bottom = box
        # One scale for both axes; the box is in the ratio of the networks' input.
        scale = max((right - left) / width, (bottom - top) / height) * _MARGIN
        # Not beyond the frame: what the camera did not see cannot be mapped.
        scale = min(max(scale, 1.0 / _LARGEST_ENLARGEMENT), max(columns / width, rows / height))
        crop_width, crop_height = max(round(scale * width), 1), max(round(scale * height), 1)
        x = _place_crop(0.5 * (left + right), crop_width, columns)
        y = _place_crop(0.5 * (top + bottom), crop_height, rows)
    else:
        scale = max(columns / width, rows / height)
        crop_width, crop_height = max(round(scale * width), columns), max(round(scale * height), rows)
        x, y = -((crop_width - columns) // 2), -((crop_height - rows) // 2)
    source = frame if channels == 3 and frame.ndim == 3 else grey
    crop = _cut_out(source, x, y, crop_width, crop_height)
    if (crop_height, crop_width) != (height, width):
        shrinking = crop_width >= width and crop_height >= height
        method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        crop = cv2.resize(crop, (width, height), interpolation=method).astype(np.float32, copy=False)
    if crop.ndim == 2:
        crop = np.repeat(crop[:, :, None], channels, axis=2)
    a, e = crop_width / width, crop_height / height
    affine = (a, 0.0, x + 0.5 * a - 0.5, 0.0, e, y + 0.5 * e - 0.5)
    sensor_x = a * np.arange(width) + affine[2]
    sensor_y = e * np.arange(height) + affine[5]
    seen = ((sensor_y >= -0.5) & (sensor_y <= rows - 0.5))[:, None] & ((sensor_x >= -0.5) & (sensor_x <= columns - 0.5))
    return CenteredImage(np.ascontiguousarray(crop, dtype=np.float32), affine, seen, grey, search)


def _place_crop(middle: float, length: int, limit: int) -> int:
    """First pixel of a stretch of `length` about `middle`, kept inside 0..limit where it fits."""
    first = round(middle - 0.5 * length)
    return min(max(first, 0), limit - length) if length <= limit else -((length - limit) // 2)


def _cut_out(frame: NDArray[np.float32], x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
    rows, columns = frame.shape[:2]
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, columns), min(y + height, rows)
    inside = frame[y0:y1, x0:x1]
    if inside.shape[:2] == (height, width):
        return np.ascontiguousarray(inside)
    fill = float(np.percentile(frame, 10))
    above, below, before, after = y0 - y, y + height - y1, x0 - x, x + width - x1
    padded = cv2.copyMakeBorder(
        np.ascontiguousarray(inside), above, below, before, after, cv2.BORDER_CONSTANT, value=(fill, fill, fill)
    )
    return padded.astype(np.float32, copy=False)
