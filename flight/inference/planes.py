"""Which planes of the maps each topic carries (the ICD's table)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.bundle import ClassDefinition
from flight.icd.limits import TOPIC_FULL, TOPIC_HAZARD, TOPIC_NAVIGATION
from flight.inference.engine import Maps
from flight.inference.hazard import clearance, hazard_probability


def topic_planes(maps: Maps, classes: tuple[ClassDefinition, ...], topic: str) -> list[tuple[str, NDArray[Any], str]]:
    """The planes of one topic in order: (name, uint8 or float16 array, units)."""
    class_map = ("class_map", maps.class_map, "class")
    enhanced = ("enhanced_class_map", maps.enhanced_class_map, "class")
    entropy = ("predictive_entropy", _half(maps.predictive_entropy), "nat")
    if topic == TOPIC_NAVIGATION:
        return [class_map, enhanced, entropy]
    if topic == TOPIC_HAZARD:
        return [
            ("hazard_probability", _half(hazard_probability(maps.mean_probability, classes)), "1"),
            entropy,
            enhanced,
            ("clearance", _half(clearance(maps.enhanced_class_map, classes)), "pixel"),
        ]
    if topic == TOPIC_FULL:
        return [
            ("mean_probability", _half(maps.mean_probability), "1"),
            entropy,
            ("mutual_information", _half(maps.mutual_information), "nat"),
            class_map,
            enhanced,
        ]
    raise ValueError(f"topic: no product {topic}")


def _half(values: NDArray[np.float32]) -> NDArray[np.float16]:
    return values.astype(np.float16)
