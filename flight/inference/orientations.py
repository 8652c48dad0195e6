"""The eight orientations of an image: rotations by 90 degrees, and their mirror images.

Each pass can see the image in another orientation; its scores are mapped back before fusion. A network makes other
errors on a rotated image, so the mean over passes in several orientations has a lower error than the mean over as many
passes in one, for the same time (test-time augmentation: Wang et al. 2019, doi:10.1016/j.neucom.2019.01.103).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Reverse rows, reverse columns, swap axes, in this order. Number 0 is the image itself; 0..3 keep the shape, 4..7 are
# for square images. Opposite orientations follow each other, so that a mean over the first few passes favours no side.
_STEPS = tuple((rows, columns, axes) for axes in (False, True) for rows, columns in ((0, 0), (1, 1), (0, 1), (1, 0)))


def apply_orientation(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Rotate or mirror an image.

    Args:
        image: (H, W, C), any dtype.
        orientation: 0..7; 0 is the image itself.

    Returns:
        A contiguous array: (H, W, C) for orientations 0..3, (W, H, C) for 4..7.
    """
    rows, columns, axes = _STEPS[orientation]
    if rows:
        image = image[::-1]
    if columns:
        image = image[:, ::-1]
    return np.ascontiguousarray(image.swapaxes(0, 1) if axes else image)


def undo_orientation(planes: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """Map a network's scores for a rotated image back to the image itself: the inverse of `apply_orientation`.

    Args:
        planes: (K, H, W) float32, of the image after apply_orientation.
        orientation: the one given to apply_orientation.

    Returns:
        A contiguous array: (K, H, W) for orientations 0..3, (K, W, H) for 4..7.
    """
    rows, columns, axes = _STEPS[orientation]
    if axes:
        planes = planes.swapaxes(1, 2)
    if rows:
        planes = planes[:, ::-1]
    if columns:
        planes = planes[:, :, ::-1]
    return np.ascontiguousarray(planes)
