"""What a product is worth against the truth of its frame: pure functions of arrays."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.client import NavigationFix, Refusal, landing_circles, navigation_fix
from flight.icd.products import Product
from hil.sources.frames import TruthClass

# Truth of a map pixel outside of the sensor's frame.
UNSEEN = 255


def truth_in_map(truth: NDArray[np.uint8], product: Product) -> NDArray[np.uint8]:
    """The truth mask in map pixels: that of the nearest sensor pixel; UNSEEN outside of the frame.

    Args:
        truth: (rows, columns) of the sensor.
        product: with planes.

    Returns:
        (H, W) uint8.
    """
    height, width = next(iter(product.planes.values())).shape[-2:]
    a, b, c, d, e, f = product.header["map_to_sensor"]
    found = cv2.warpAffine(
        truth,
        np.array([[a, b, c], [d, e, f]], dtype=np.float64),
        (width, height),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(UNSEEN,),
    )
    return np.asarray(found, dtype=np.uint8)


def count_confusion(
    truth: NDArray[np.uint8], class_map: NDArray[np.uint8], truth_classes: int, classes: int
) -> list[list[int]]:
    """Pixels by true class and class of the map, outside of the frame left out.

    Args:
        truth: (H, W) in map pixels.
        class_map: (H, W); values from `classes` on are no class.
        truth_classes: number of classes of the truth.
        classes: number of classes of the map.

    Returns:
        truth_classes rows of classes + 1 counts, the last of pixels without a class.
    """
    seen = truth != UNSEEN
    flat = truth[seen].astype(np.int64) * (classes + 1) + np.minimum(class_map[seen], classes)
    counts = np.bincount(flat, minlength=truth_classes * (classes + 1))
    return [[int(value) for value in row] for row in counts.reshape(truth_classes, classes + 1)]


def intersection_over_union(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """IoU of each class, NaN where the truth does not show it. confusion: (K, K + 1), see count_confusion."""
    count = len(confusion)
    true, found = confusion.sum(axis=1), confusion[:, :count].sum(axis=0)
    same = np.diagonal(confusion)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(true > 0, same / (true + found - same), np.nan)


def mean_iou(confusion: NDArray[np.int64]) -> float:
    """Mean of the IoU over the classes that the truth shows; NaN where it shows none."""
    values = intersection_over_union(confusion)
    return float(np.nanmean(values)) if not np.isnan(values).all() else math.nan


def mean_entropy(product: Product) -> float:
    """Mean predictive entropy of a navigation product inside of the camera's frame, nats."""
    entropy = product.planes["predictive_entropy"].astype(np.float64)
    seen = product.planes["class_map"] < len(product.header["classes"])
    return float(entropy[seen].mean()) if seen.any() else float(entropy.mean())


def outline_centroid(truth: NDArray[np.uint8], classes: tuple[TruthClass, ...]) -> tuple[float, float] | None:
    """Centroid of the largest body of a truth mask, sensor pixels; None without one, or if the frame cuts it."""
    background = [index for index, entry in enumerate(classes) if entry.role == "background"]
    body = ~np.isin(truth, background)
    if not body.any():
        return None
    _, labels, statistics, centroids = cv2.connectedComponentsWithStats(body.astype(np.uint8), connectivity=8)
    largest = 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    if (border == largest).any():
        return None
    x, y = centroids[largest]
    return float(x), float(y)


def centroid_error(
    product: Product, truth: NDArray[np.uint8], classes: tuple[TruthClass, ...]
) -> tuple[float | None, str]:
    """Distance of a product's fix from the true outline's centroid.

    Returns:
        Sensor pixels, and "" if there is a fix of a whole body; None, and why there is none, otherwise.
    """
    centroid = outline_centroid(truth, classes)
    fix = navigation_fix(product)
    if isinstance(fix, Refusal):
        return None, fix.reason
    if centroid is None:
        return None, "no whole body in the truth"
    assert isinstance(fix, NavigationFix)
    return math.hypot(fix.x - centroid[0], fix.y - centroid[1]), ""


def count_circle_pixels(
    product: Product, truth: NDArray[np.uint8], classes: tuple[TruthClass, ...], radius_px: float
) -> tuple[int, int, int]:
    """How landing circles lie on the truth.

    Args:
        product: of map.hazard.
        truth: (H, W) in map pixels, see truth_in_map.
        classes: of the truth.
        radius_px: least radius, sensor pixels.

    Returns:
        Number of circles, map pixels whose centres they hold, and of these those that truth has as a hazard.
    """
    found = landing_circles(product, minimum_radius_px=radius_px, count=16)
    if isinstance(found, Refusal):
        return 0, 0, 0
    a, b, _, d, e, _ = product.header["map_to_sensor"]
    scale = math.sqrt(abs(a * e - b * d))
    rows, columns = np.indices(truth.shape)
    touched = np.zeros(truth.shape, dtype=bool)
    for circle in found.circles:
        touched |= np.hypot(rows - circle.row, columns - circle.column) <= circle.radius / scale
    hazards = [index for index, entry in enumerate(classes) if entry.role == "hazard"]
    return len(found.circles), int(touched.sum()), int((touched & np.isin(truth, hazards)).sum())
