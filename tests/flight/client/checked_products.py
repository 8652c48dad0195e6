"""Products for the checker: sound ones of a sphere that passes by, and one wrong in a way for every rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flight.bundle import ClassDefinition
from flight.client.check import Expectation
from flight.icd.catalogue import TOPIC_PLANES
from flight.icd.products import PLANE_DTYPES, Product, describe_plane, encode_product
from flight.inference.hazard import clearance, hazard_probability, safe_pixels
from flight.inference.uncertainty import mark_uncertain, predictive_entropy
from flight.settings import LandingLimits
from tests.golden.vectors import product_header

ROLES = ("background", "safe", "hazard", "terminator")
BACKGROUND, SAFE, HAZARD, TERMINATOR = range(4)
CLASSES = tuple(ClassDefinition(index, role, (0, 0, 0), role) for index, role in enumerate(ROLES))
SIDE, SCALE = 64, 2.0
SUN = (0.8, 0.0, -0.6)
BUNDLE = "ab" * 32
SENSOR = (200, 180)


def sphere(u: float, v: float, radius: float) -> np.ndarray:
    """Class map of a sphere lit from the right, its terminator left of the middle, with a few rocks."""
    rows, columns = np.indices((SIDE, SIDE), dtype=np.float64)
    x, y = (columns - u) / radius, (rows - v) / radius
    depth = np.sqrt(np.maximum(1.0 - x * x - y * y, 0.0))
    light = SUN[0] * x - SUN[2] * depth
    class_map = np.where(x * x + y * y <= 1.0, SAFE, BACKGROUND)
    class_map[(x * x + y * y <= 0.9) & (np.abs(light) < 2.0 / radius)] = TERMINATOR
    class_map[(np.abs(x - 0.4) < 0.1) & (np.abs(y) < 0.15)] = HAZARD
    return class_map.astype(np.uint8)


def planes_of(class_map: np.ndarray, number: int = 0, threshold: float = 0.9) -> dict[str, np.ndarray]:
    """All planes, that agree with each other: the class at 0.55 to 0.97, the rest shared by the others."""
    doubt = np.random.default_rng(number).uniform(0.55, 0.97, class_map.shape).astype(np.float32)
    count = len(ROLES)
    probability = np.broadcast_to((1.0 - doubt) / (count - 1), (count, *class_map.shape)).astype(np.float32).copy()
    np.put_along_axis(probability, class_map[None].astype(np.intp), doubt[None], axis=0)
    entropy = predictive_entropy(probability)
    enhanced = mark_uncertain(class_map, entropy, threshold, count)
    hazard = hazard_probability(probability, CLASSES).astype(np.float16)
    safe = safe_pixels(
        enhanced,
        hazard,
        entropy.astype(np.float16),
        CLASSES,
        LandingLimits(most_hazard_probability=1.0, most_entropy=1.0),
    )
    return {
        "class_map": class_map,
        "enhanced_class_map": enhanced,
        "predictive_entropy": entropy.astype(np.float16),
        "mean_probability": probability.astype(np.float16),
        "mutual_information": (entropy * np.float32(0.1)).astype(np.float16),
        "hazard_probability": hazard,
        "clearance": clearance(safe).astype(np.float16),
    }


def by_risk(threshold: float) -> dict[str, Any]:
    """The header's fields of a product whose pixels are uncertain above a threshold, nats."""
    return {"uncertain_rule": "risk", "risk": 0.02, "risk_threshold": threshold, "uncertainty_threshold": 1.0}


def header_of(topic: str, number: int) -> dict[str, Any]:
    time_ns = 1_700_000_000_000_000_000 + number * 1_000_000_000
    return {
        **product_header(),
        "topic": topic,
        "sequence": number,
        "frame_id": number,
        "capture_time_ns": time_ns,
        "received_time_ns": time_ns + 1_000_000,
        "published_time_ns": time_ns + 300_000_000,
        "status": "valid",
        "flags": [],
        "bundle": {"name": "b", "version": "1", "sha256": BUNDLE},
        "passes_used": 20,
        "seed": 1000 + number,
        "uncertainty_threshold": 0.9,
        "map_to_sensor": [SCALE, 0.0, 30.0, 0.0, SCALE, 20.0],
        "classes": [{"index": index, "name": role, "role": role} for index, role in enumerate(ROLES)],
    }


def make_product(header: dict[str, Any], planes: dict[str, np.ndarray]) -> Product:
    wanted = TOPIC_PLANES[header["topic"]] if header["status"] != "invalid" else ()
    return Product(
        header, {plane.name: planes[plane.name].astype(PLANE_DTYPES[plane.dtype], copy=False) for plane in wanted}
    )


def message_of(product: Product) -> list[bytes]:
    described = [describe_plane(name, plane, "1") for name, plane in product.planes.items()]
    header = {**product.header, "planes": [entry for entry, _ in described]}
    return encode_product(header, [raw for _, raw in described])


def plausible_product(topic: str = "map.navigation", number: int = 0) -> Product:
    """Number `number` of a pass: the sphere moves and grows a little from one to the next."""
    class_map = sphere(30.0 + 0.5 * number, 32.0, 18.0 + 0.3 * number)
    return make_product(header_of(topic, number), planes_of(class_map, number))


def expectation(product: Product) -> Expectation:
    """What is true of a sound product."""
    plane = product.planes.get("class_map", product.planes.get("enhanced_class_map"))
    area = None if plane is None else max(SCALE * SCALE * float(np.count_nonzero(plane)), 1.0)
    return Expectation(SENSOR, area, SUN, BUNDLE)


@dataclass(frozen=True)
class FaultyProduct:
    """One thing that is wrong with product 1 of a pass.

    Attributes:
        rules: that it must break, of any.
        topic: of the product.
        header: changes in its header.
        planes: changes its planes, in place.
        expected: of the consumer; None: what is true of the sound product.
    """

    rules: frozenset[str]
    topic: str = "map.navigation"
    header: dict[str, Any] = field(default_factory=dict)
    planes: Callable[[dict[str, np.ndarray]], Any] = lambda _: None
    expected: Expectation | None = None

    def product(self) -> Product:
        right = plausible_product(self.topic, 1)
        planes = planes_of(sphere(30.5, 32.0, 18.3), 1)
        changed = self.planes(planes)
        return make_product({**right.header, **self.header}, planes if changed is None else changed)


def _replace(class_map: np.ndarray) -> Callable[[Any], dict[str, np.ndarray]]:
    return lambda _: planes_of(class_map.astype(np.uint8), 1)


def _put(name: str, where: Any, value: float) -> Callable[[dict[str, np.ndarray]], None]:
    def change(planes: dict[str, np.ndarray]) -> None:
        planes[name] = planes[name].copy()
        planes[name][where] = value

    return change


def _constant(planes: dict[str, np.ndarray]) -> None:
    planes["predictive_entropy"] = np.full_like(planes["predictive_entropy"], 0.5)


def _unmark(planes: dict[str, np.ndarray]) -> None:
    planes["enhanced_class_map"] = planes["class_map"]


def _repeat(planes: dict[str, np.ndarray]) -> None:
    planes["predictive_entropy"] = plausible_product("map.navigation", 0).planes["predictive_entropy"]
    planes["enhanced_class_map"] = np.where(planes["predictive_entropy"] > 1.0, 4, planes["class_map"]).astype(np.uint8)


_ROWS, _COLUMNS = np.indices((SIDE, SIDE))
_FILLED = np.where((_ROWS + _COLUMNS) % 16 < 3, HAZARD, SAFE)
WRONG: dict[str, FaultyProduct] = {
    "status": FaultyProduct(frozenset({"status"}), header={"flags": ["saturated"]}),
    "no pass": FaultyProduct(frozenset({"passes"}), header={"passes_used": 0}),
    "passes missing": FaultyProduct(frozenset({"passes"}), header={"passes_used": 3}),
    "another bundle": FaultyProduct(
        frozenset({"bundle"}), header={"bundle": {"name": "b", "version": "1", "sha256": "cd" * 32}}
    ),
    "frame again": FaultyProduct(frozenset({"order"}), header={"frame_id": 0, "seed": 1000}),
    "frame before": FaultyProduct(frozenset({"order"}), header={"epoch": 6, "frame_id": 9}),
    "captured before": FaultyProduct(
        frozenset({"time"}), header={"capture_time_ns": 1_699_999_000_000_000_000, "frame_id": 5}
    ),
    "published before it came": FaultyProduct(frozenset({"time"}), header={"published_time_ns": 1}),
    "seed again": FaultyProduct(frozenset({"seed"}), header={"seed": 1000}),
    "no such class": FaultyProduct(frozenset({"unknown_class"}), planes=_put("class_map", (3, 4), 77)),
    "no such class, hazard": FaultyProduct(
        frozenset({"unknown_class"}), "map.hazard", planes=_put("enhanced_class_map", (3, 4), 9)
    ),
    "entropy nan": FaultyProduct(
        frozenset({"entropy_range", "uncertain"}), planes=_put("predictive_entropy", (3, 4), math.nan)
    ),
    "entropy above ln K": FaultyProduct(
        frozenset({"entropy_range", "uncertain"}), planes=_put("predictive_entropy", (3, slice(0, 9)), 3.0)
    ),
    "entropy below 0": FaultyProduct(frozenset({"entropy_range"}), planes=_put("predictive_entropy", (3, 4), -0.1)),
    "mutual information above entropy": FaultyProduct(
        frozenset({"entropy_range"}), "map.full", planes=_put("mutual_information", (3, 4), 1.5)
    ),
    "hazard above 1": FaultyProduct(
        frozenset({"probability_range"}), "map.hazard", planes=_put("hazard_probability", (3, 4), 1.25)
    ),
    "hazard nan": FaultyProduct(
        frozenset({"probability_range"}), "map.hazard", planes=_put("hazard_probability", (3, 4), math.nan)
    ),
    "probabilities do not sum to 1": FaultyProduct(
        frozenset({"probability_range"}), "map.full", planes=_put("mean_probability", (slice(None), 3, 4), 0.5)
    ),
    "probability nan": FaultyProduct(
        frozenset({"probability_range"}), "map.full", planes=_put("mean_probability", (1, 3, 4), math.nan)
    ),
    "class is not the most probable": FaultyProduct(
        frozenset({"class_probability"}), "map.full", planes=_put("class_map", slice(0, 8), SAFE)
    ),
    "safe where the hazard is sure": FaultyProduct(
        frozenset({"class_probability"}), "map.hazard", planes=_put("hazard_probability", slice(20, 50), 1.0)
    ),
    "unmarked": FaultyProduct(frozenset({"uncertain"}), planes=_unmark),
    "unmarked by risk": FaultyProduct(frozenset({"uncertain"}), header=by_risk(0.8), planes=_unmark),
    "clearance where there is none": FaultyProduct(
        frozenset({"clearance"}), "map.hazard", planes=_put("clearance", (0, 0), 3.0)
    ),
    "clearance leaps": FaultyProduct(frozenset({"clearance"}), "map.hazard", planes=_put("clearance", (32, 34), 40.0)),
    "constant entropy": FaultyProduct(frozenset({"constant_map"}), planes=_constant),
    "columns": FaultyProduct(
        frozenset({"stripes", "ragged", "edge"}), planes=_replace(np.where(_COLUMNS % 4 < 2, 1, 2))
    ),
    "rows": FaultyProduct(frozenset({"stripes"}), planes=_replace(np.where(_ROWS % 3 < 1, 1, 2))),
    "noise": FaultyProduct(
        frozenset({"ragged"}), planes=_replace(np.random.default_rng(1).integers(0, 4, (SIDE, SIDE)))
    ),
    "outside of the frame": FaultyProduct(
        frozenset({"outside_frame"}), header={"map_to_sensor": [SCALE, 0.0, -80.0, 0.0, SCALE, 20.0]}
    ),
    "cut without the flag": FaultyProduct(frozenset({"edge"}), planes=_replace(_FILLED)),
    "too large": FaultyProduct(frozenset({"area"}), header={"map_to_sensor": [3.0, 0.0, 0.0, 0.0, 3.0, 0.0]}),
    "too small": FaultyProduct(frozenset({"area", "centroid_jump"}), planes=_replace(sphere(10.0, 10.0, 6.0))),
    "sun on the other side": FaultyProduct(frozenset({"sun"}), expected=Expectation(sun=(-SUN[0], SUN[1], SUN[2]))),
    "elsewhere": FaultyProduct(
        frozenset({"centroid_jump"}), header={"map_to_sensor": [SCALE, 0.0, 60.0, 0.0, SCALE, 60.0]}
    ),
    "grown": FaultyProduct(frozenset({"area_jump"}), planes=_replace(sphere(30.0, 32.0, 27.0))),
    "the map before": FaultyProduct(frozenset({"repeated_map"}), planes=_repeat),
}
