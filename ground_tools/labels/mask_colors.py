"""Masks as colours, as class numbers, and one-hot; each way back is exact for masks without impure pixels."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ground_tools.labels.class_table import IGNORED, ClassTable

# Euclidean distance in red, green, blue up to which a pixel has a class's colour; lossy encoders move colours so far.
TOLERANCE = 60.0
# More impure pixels than these are no edges: the picture is no mask of these classes.
MOST_IMPURE = 0.2


def mask_from_colors(picture: np.ndarray, table: ClassTable, tolerance: float = TOLERANCE) -> np.ndarray:
    """Class numbers from a mask in colours.

    Edges between classes may be blurred: a mixture of two colours can lie next to a third one's. So a pixel that no
    colour is near to takes the class of the closest pixel that has one.

    Args:
        picture: (H, W, 3) uint8, red, green, blue.
        table: the classes.
        tolerance: distance up to which a pixel has a colour.

    Returns:
        (H, W) uint8: numbers of classes, IGNORED where the picture has the table's ignored colour.

    Raises:
        ValueError: too much of the picture has no colour of the table.
    """
    values = [*range(len(table)), *([IGNORED] if table.ignored_color is not None else [])]
    distances = np.stack([_distances(picture, table.palette[value]) for value in values])
    nearest = distances.argmin(axis=0)
    pure = distances.min(axis=0) <= tolerance**2
    impure = 1.0 - float(pure.mean())
    if impure > MOST_IMPURE:
        names = ", ".join(f"{name} {color}" for name, color in zip(table.names, table.colors, strict=True))
        raise ValueError(f"mask: expected the colours of {names}, got {100.0 * impure:.0f} % of the pixels in others")
    mask: np.ndarray = np.asarray(values, dtype=np.uint8)[nearest]
    if not pure.all():
        rows, columns = ndimage.distance_transform_edt(~pure, return_distances=False, return_indices=True)
        mask = mask[rows, columns]
    return mask


def _distances(picture: np.ndarray, color: np.ndarray) -> np.ndarray:
    difference = picture.astype(np.int32) - color.astype(np.int32)
    return (difference**2).sum(axis=-1)


def colors_from_mask(mask: np.ndarray, table: ClassTable) -> np.ndarray:
    """A mask in colours: (H, W) class numbers -> (H, W, 3) uint8, red, green, blue."""
    colors: np.ndarray = table.palette[mask]
    return colors


def one_hot_from_mask(mask: np.ndarray, classes: int) -> np.ndarray:
    """(..., H, W) class numbers -> (..., H, W, classes) float32; ignored pixels are 0 in every class."""
    one_hot: np.ndarray = (mask[..., None] == np.arange(classes)).astype(np.float32)
    return one_hot


def mask_from_one_hot(one_hot: np.ndarray) -> np.ndarray:
    """(..., H, W, K) one-hot -> (..., H, W) uint8 class numbers, IGNORED where every class is 0."""
    return np.where(one_hot.any(axis=-1), one_hot.argmax(axis=-1), IGNORED).astype(np.uint8)
