"""The arrays behind the planes that each topic carries, as the ICD's catalogue declares them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from flight.bundle import ClassDefinition
from flight.icd.catalogue import TOPIC_PLANES
from flight.icd.products import PLANE_DTYPES
from flight.inference.engine import Maps
from flight.inference.hazard import clearance, hazard_probability

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
        (plane.name, _ARRAYS[plane.name](maps, classes).astype(PLANE_DTYPES[plane.dtype], copy=False), plane.units)
        for plane in TOPIC_PLANES[topic]
    ]
