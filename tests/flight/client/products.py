"""Products made of drawn maps, for tests of the consumers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flight.bundle import ClassDefinition
from flight.client import LandingCircles, NavigationFix, landing_circles, navigation_fix
from flight.icd.catalogue import TOPIC_PLANES
from flight.icd.products import Product
from flight.inference.hazard import clearance, safe_pixels
from flight.settings import LandingLimits
from tests.golden.vectors import product_header

# Not in the usual order: what a class means is its role.
ROLES = ("terminator", "safe", "background", "hazard")
TERMINATOR, SAFE, BACKGROUND, HAZARD = range(4)
UNCERTAIN = len(ROLES)
CLASSES = tuple(ClassDefinition(index, role, (0, 0, 0), role) for index, role in enumerate(ROLES))
NO_LIMITS = LandingLimits(most_hazard_probability=1.0, most_entropy=1.0)
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def header(topic: str, **changes: Any) -> dict[str, Any]:
    classes = [{"index": index, "name": role, "role": role} for index, role in enumerate(ROLES)]
    common = {"topic": topic, "classes": classes, "flags": [], "status": "valid", "map_to_sensor": list(IDENTITY)}
    return {**product_header(), **common, **changes}


def navigation(class_map: np.ndarray, entropy: Any = 0.0, **changes: Any) -> Product:
    class_map = class_map.astype(np.uint8)
    planes: dict[str, Any] = {
        "class_map": class_map,
        "enhanced_class_map": class_map,
        "predictive_entropy": np.broadcast_to(np.asarray(entropy, np.float16), class_map.shape),
    }
    return Product(header("map.navigation", **changes), planes)


def hazard(
    enhanced: np.ndarray,
    probability: Any = 0.0,
    room: Any = None,
    entropy: Any = 0.0,
    limits: LandingLimits = NO_LIMITS,
    **changes: Any,
) -> Product:
    """limits: of the service that made the map."""
    enhanced = enhanced.astype(np.uint8)
    probability, entropy = (np.broadcast_to(np.asarray(p, np.float16), enhanced.shape) for p in (probability, entropy))
    if room is None:
        room = clearance(safe_pixels(enhanced, probability, entropy, CLASSES, limits))
    planes: dict[str, Any] = {
        "hazard_probability": probability,
        "predictive_entropy": entropy,
        "enhanced_class_map": enhanced,
        "clearance": np.asarray(room).astype(np.float16),
    }
    assert list(planes) == [plane.name for plane in TOPIC_PLANES["map.hazard"]]
    return Product(header("map.hazard", **changes), planes)


def fix_of(product: Product) -> NavigationFix:
    fix = navigation_fix(product)
    assert isinstance(fix, NavigationFix), fix
    return fix


def circles_of(
    product: Product, minimum_radius_px: float = 0.0, count: int = 16, limits: LandingLimits | None = None
) -> LandingCircles:
    """limits: of the consumer; None for its own."""
    found = landing_circles(product, minimum_radius_px, count, **({} if limits is None else vars(limits)))
    assert isinstance(found, LandingCircles), found
    return found


def ellipse(side: int, u: float, v: float, major: float, minor: float, angle_deg: float = 0.0) -> np.ndarray:
    """Class map of an ellipse with these semi-axes."""
    rows, columns = np.indices((side, side), dtype=np.float64)
    angle = math.radians(angle_deg)
    along = (columns - u) * math.cos(angle) + (rows - v) * math.sin(angle)
    across = (rows - v) * math.cos(angle) - (columns - u) * math.sin(angle)
    return np.where((along / major) ** 2 + (across / minor) ** 2 <= 1.0, SAFE, BACKGROUND)


def lit_sphere(
    phase_deg: float, sun_deg: float, side: int = 128, radius: float = 45.0
) -> tuple[np.ndarray, np.ndarray]:
    """Class map of a sphere whose terminator is drawn 4 px wide, and its night side.

    sun_deg: the sun's direction in the image, from x towards y.
    """
    rows, columns = np.indices((side, side), dtype=np.float64)
    u, v = (columns - (side - 1) / 2) / radius, (rows - (side - 1) / 2) / radius
    body = u * u + v * v <= 1.0
    depth = np.sqrt(np.maximum(1.0 - u * u - v * v, 0.0))
    sun, phase = math.radians(sun_deg), math.radians(phase_deg)
    light = math.sin(phase) * (u * math.cos(sun) + v * math.sin(sun)) + math.cos(phase) * depth
    inside = u * u + v * v <= (1.0 - 3.0 / radius) ** 2
    class_map = np.where(body, SAFE, BACKGROUND)
    class_map[inside & (np.abs(light) < 2.0 / radius)] = TERMINATOR
    return class_map, body & (light < 0.0)


def angle_between(first_deg: float, second_deg: float) -> float:
    return abs((first_deg - second_deg + 180.0) % 360.0 - 180.0)


def angle_of_axes(first_deg: float, second_deg: float) -> float:
    """Between axes, which have no direction: at most 90."""
    return min(angle_between(first_deg, second_deg), angle_between(first_deg + 180, second_deg))


def drawn_axis_deg(class_map: np.ndarray) -> float:
    """The major axis of the body's pixels, from x towards y."""
    rows, columns = np.nonzero(class_map != BACKGROUND)
    _, axes = np.linalg.eigh(np.cov([columns, rows]))
    return math.degrees(math.atan2(axes[1, -1], axes[0, -1]))
