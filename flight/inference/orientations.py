"""The image turned and mirrored: which copy a dropout pass sees, and its scores turned back.

A network that is asked about a turned image errs elsewhere than about the image as it is, so the mean over passes that
go through the orientations errs less than that of as many passes on one (test-time augmentation: Wang et al. 2019,
doi:10.1016/j.neucom.2019.01.103). A pass costs the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Rows reversed, columns reversed, axes exchanged, in this order. The first is the image as it is; the first four keep
# the shape, the others serve square images. Opposite ones follow each other, so that a mean over the first few passes
# leans to no side.
_STEPS = tuple((rows, columns, axes) for axes in (False, True) for rows, columns in ((0, 0), (1, 1), (0, 1), (1, 0)))


def apply_orientation(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The image in orientation 0..7, of which 0 is the image itself. image: (H, W, C); returns it contiguous."""
    rows, columns, axes = _STEPS[orientation]
    if rows:
        image = image[::-1]
    if columns:
        image = image[:, ::-1]
    return np.ascontiguousarray(image.swapaxes(0, 1) if axes else image)


def undo_orientation(planes: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """Undo `apply_orientation` on what a network made of the image. planes: (K, H, W); returns them contiguous."""
    rows, columns, axes = _STEPS[orientation]
    if axes:
        planes = planes.swapaxes(1, 2)
    if rows:
        planes = planes[:, ::-1]
    if columns:
        planes = planes[:, :, ::-1]
    return np.ascontiguousarray(planes)
