"""The arrays behind the planes that each topic carries, as the ICD's catalogue declares them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.bundle import ClassDefinition
from flight.icd.catalogue import TOPIC_PLANES
from flight.icd.catalogue.products import Dtype
from flight.icd.products import PLANE_DTYPES
from flight.inference.engine import Maps
from flight.inference.hazard import clearance, hazard_probability, safe_pixels
from flight.settings import LandingLimits

_ARRAYS: dict[str, Callable[[Maps, tuple[ClassDefinition, ...], LandingLimits], NDArray[Any]]] = {
    "class_map": lambda maps, classes, limits: maps.class_map,
    "enhanced_class_map": lambda maps, classes, limits: maps.enhanced_class_map,
    "predictive_entropy": lambda maps, classes, limits: maps.predictive_entropy,
    "mutual_information": lambda maps, classes, limits: maps.mutual_information,
    "mean_probability": lambda maps, classes, limits: maps.mean_probability,
    "hazard_probability": lambda maps, classes, limits: hazard_probability(maps.mean_probability, classes),
    "clearance": lambda maps, classes, limits: clearance(_safe_pixels(maps, classes, limits)),
}


def topic_planes(
    maps: Maps, classes: tuple[ClassDefinition, ...], topic: str, limits: LandingLimits
) -> list[tuple[str, NDArray[Any], str]]:
    """Planes of one topic, in the ICD's order and dtypes.

    Args:
        maps: the engine's answer to a frame.
        classes: the bundle's classes.
        topic: a product topic, such as "map.navigation".
        limits: of the pixels that the plane of clearances takes for safe.

    Returns:
        (name, uint8 or float16 array, units) per plane.

    Raises:
        ValueError: `topic` is not a product topic.
    """
    if topic not in TOPIC_PLANES:
        raise ValueError(f"topic: no product {topic}")
    return [
        (plane.name, _as_sent(_ARRAYS[plane.name](maps, classes, limits), plane.dtype), plane.units)
        for plane in TOPIC_PLANES[topic]
    ]


def _safe_pixels(maps: Maps, classes: tuple[ClassDefinition, ...], limits: LandingLimits) -> NDArray[np.bool_]:
    # The limits hold for the values as they are sent, so that a consumer with the same limits comes to the same end.
    probability = _as_sent(hazard_probability(maps.mean_probability, classes), "f16")
    entropy = _as_sent(maps.predictive_entropy, "f16")
    return safe_pixels(maps.enhanced_class_map, probability, entropy, classes, limits)


def _as_sent(plane: NDArray[Any], dtype: Dtype) -> NDArray[Any]:
    return plane.astype(PLANE_DTYPES[dtype], copy=False)
