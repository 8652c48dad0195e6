"""The planes of each topic, made from an engine's maps; flight.icd.products.TOPIC_PLANES lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.bundle import ClassDefinition
from flight.icd.products import TOPIC_PLANES
from flight.inference.engine import Maps
from flight.inference.hazard import clearance, hazard_probability

_DTYPES = {"u8": np.uint8, "f16": np.float16}
_ARRAYS: dict[str, Callable[[Maps, tuple[ClassDefinition, ...]], NDArray[Any]]] = {
    "class_map": lambda maps, _: maps.class_map,
    "enhanced_class_map": lambda maps, _: maps.enhanced_class_map,
    "predictive_entropy": lambda maps, _: maps.predictive_entropy,
    "mutual_information": lambda maps, _: maps.mutual_information,
    "mean_probability": lambda maps, _: maps.mean_probability,
    "hazard_probability": lambda maps, classes: hazard_probability(maps.mean_probability, classes),
    "clearance": lambda maps, classes: clearance(maps.enhanced_class_map, classes),
}


def topic_planes(maps: Maps, classes: tuple[ClassDefinition, ...], topic: str) -> list[tuple[str, NDArray[Any], str]]:
    """Planes of one topic, in the ICD's order and dtypes.

    Args:
        maps: the engine's answer to a frame.
        classes: the bundle's classes.
        topic: a product topic, such as "map.navigation".

    Returns:
        (name, uint8 or float16 array, units) per plane.

    Raises:
        ValueError: `topic` is not a product topic.
    """
    if topic not in TOPIC_PLANES:
        raise ValueError(f"topic: no product {topic}")
    return [
        (name, _ARRAYS[name](maps, classes).astype(_DTYPES[dtype], copy=False), units)
        for name, dtype, units, _ in TOPIC_PLANES[topic]
    ]
