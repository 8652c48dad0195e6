"""Centering: crops and scales a sensor frame to the networks' input, and gives the affine back to the sensor."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.inference.body_search import BodySearch, search_body

Affine = tuple[float, float, float, float, float, float]

# Side of the crop over the larger side of the body's box: in the training images the body spans 0.77 of the image or
# more.
_MARGIN = 1.25
# A body is enlarged by at most this factor: enlarging a few pixels shows no more morphology.
_LARGEST_ENLARGEMENT = 2.0


@dataclass(frozen=True)
class CenteredImage:
    """A frame as the networks take it. height, width, channels: of their input; H, W: of the sensor frame.

    Attributes:
        image: (height, width, channels) float32 in [0, 1].
        view: (height, width) float32 in [0, 1], the same averaged over its channels.
        map_to_sensor: affine (a, b, c, d, e, f) from map pixel (u, v) to sensor pixel (x, y):
            x = a u + b v + c, y = d u + e v + f; u and x to the right, v and y down, pixel centres at integers.
        seen: (height, width) bool, False where a map pixel lies outside the sensor frame.
        grey: (H, W) float32 in [0, 1], the sensor frame.
        search: the bright parts of the sensor frame.
    """

    image: NDArray[np.float32]
    view: NDArray[np.float32]
    map_to_sensor: Affine
    seen: NDArray[np.bool_]
    grey: NDArray[np.float32]
    search: BodySearch


def scale_to_unit(pixels: NDArray[np.uint8] | NDArray[np.uint16], bit_depth: int) -> NDArray[np.float32]:
    """Scale pixels to float32 in [0, 1].

    Args:
        pixels: any shape, uint8 or uint16.
        bit_depth: 2^bit_depth - 1 becomes 1; larger values are clipped to 1.
    """
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
    """Crop a sensor frame and scale it to the networks' input.

    A colour frame is averaged for one channel, a grey frame is repeated for three. Crop pixels outside the frame get
    the frame's 10th percentile, so that the edge of the frame does not look like a limb.

    Args:
        pixels: (H, W) or (H, W, 3), uint8 or uint16.
        bit_depth: bits per channel in use.
        height: of the networks' input, pixels.
        width: of the networks' input, pixels.
        channels: of the networks' input, 1 or 3.
        locate: True crops to the body's box times 1.25; False, or a frame without a body, takes the whole frame.
    """
    frame = scale_to_unit(pixels, bit_depth)
    grey = frame if frame.ndim == 2 else np.ascontiguousarray(frame.mean(axis=2, dtype=np.float32))
    search = search_body(grey)
    box = search.box if locate else None
    rows, columns = grey.shape
    if box is not None:
        left, top, right, bottom = box
        # Sensor pixels per map pixel, the same for both axes: the crop has the aspect ratio of the networks' input.
        scale = max((right - left) / width, (bottom - top) / height) * _MARGIN
        # No larger than the frame needs: nothing outside the frame can be mapped.
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
    image = np.ascontiguousarray(crop, dtype=np.float32)
    return CenteredImage(image, image.mean(axis=2), affine, seen, grey, search)


def _place_crop(middle: float, length: int, limit: int) -> int:
    """First pixel of a crop of `length` pixels around `middle`: inside 0..limit if it fits, else centred on it."""
    first = round(middle - 0.5 * length)
    return min(max(first, 0), limit - length) if length <= limit else -((length - limit) // 2)


def _cut_out(frame: NDArray[np.float32], x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
    """The crop of `width` x `height` pixels whose top left pixel is (x, y), padded where it leaves the frame."""
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
