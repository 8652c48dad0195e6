"""Maps judged as a lander would: which rocks and craters are found, and whether what is offered to land on is safe.

Of the default mode, from what consumers get: the product of map.hazard and its landing circles, with the flight
parameters as they are by default.
"""

from __future__ import annotations

import numpy as np

from flight.bundle import Bundle
from flight.client.hazard import landing_circles
from flight.client.map_view import Refusal
from flight.icd.limits import TOPIC_HAZARD
from flight.inference.engine import Maps
from flight.inference.enhanced_map import enhance_class_map
from flight.inference.hazard import find_dark, hazard_probability, safe_pixels
from flight.settings import Settings, default_settings
from ground_tools.evaluation.navigation import make_product
from ground_tools.labels.classes import BOULDER_IDENTIFIERS, CRATER_IDENTIFIERS
from ground_tools.metrics.calibration import calibration_counts

# Classes of which identifiers tell one from the other, and visible pixels of one: least of each size.
KINDS = ("boulders", "craters")
OBJECT_SIZES = (5, 16, 50, 150)
# Circles that are looked for: so many, of this radius and larger, map pixels.
MOST_CIRCLES, LEAST_RADIUS_PX = 16, 3.0
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def judge_hazards(
    bundle: Bundle,
    moments: tuple[np.ndarray, np.ndarray, np.ndarray],
    frame: np.ndarray,
    truth: np.ndarray,
    identifiers: np.ndarray,
) -> dict[str, np.ndarray]:
    """What a lander would make of one image's maps.

    Args:
        bundle: whose classes and defaults count.
        moments: mean probability (K, H, W), predictive entropy and mutual information (H, W) float32.
        frame: (H, W) uint8, as the networks got it.
        truth: (H, W) uint8 classes.
        identifiers: (H, W) uint16; empty where the set has none.

    Returns:
        objects: (2, S, 3) int64, see count_objects. circles: (2,) int64, all, and those that touch a hazard of the
        truth. ground: (4,) int64 pixels: of lit safe ground in the truth, those of them that the product offers, those
        of them inside of circles; and pixels of hazards that are offered. hazard_calibration: (3, bins), see
        metrics.calibration, of the hazard probability, and whether there is no safe ground, where the truth has no sky.
    """
    roles = {role: [c.index for c in bundle.classes if c.role == role] for role in ("safe", "hazard", "background")}
    settings = default_settings(bundle)
    maps = _make_maps(bundle, moments, frame, settings)
    probability = hazard_probability(maps.mean_probability, bundle.classes)
    offered = safe_pixels(maps.enhanced_class_map, probability, maps.predictive_entropy, bundle.classes, settings)
    safe = np.isin(truth, roles["safe"])
    lit = safe & ~find_dark(frame.astype(np.float32) / np.float32(255.0))
    hazards, body = np.isin(truth, roles["hazard"]), ~np.isin(truth, roles["background"])
    found = landing_circles(make_product(bundle, maps, settings, TOPIC_HAZARD), LEAST_RADIUS_PX, MOST_CIRCLES)
    circles = () if isinstance(found, Refusal) else found.circles
    inside = np.zeros((len(circles), *truth.shape), dtype=bool)
    for disc, circle in zip(inside, circles, strict=True):
        disc[:] = _disc(truth.shape, circle.row, circle.column, circle.radius)
    unsafe = (inside & hazards).any(axis=(1, 2))
    covered = inside.any(axis=0)
    return {
        "objects": count_objects(bundle, identifiers, truth, maps.class_map, offered),
        "circles": np.array([len(circles), np.count_nonzero(unsafe)], dtype=np.int64),
        "ground": np.array(list(map(np.count_nonzero, (lit, lit & offered, lit & covered, hazards & offered)))),
        "hazard_calibration": calibration_counts(probability[body], ~safe[body]),
    }


def count_objects(
    bundle: Bundle, identifiers: np.ndarray, truth: np.ndarray, class_map: np.ndarray, offered: np.ndarray
) -> np.ndarray:
    """Boulders and craters of the truth by their visible pixels: how many, how many are found, how many are offered.

    One counts whose pixels, as far as the truth labels them so, are at least the least of OBJECT_SIZES. It is found
    where at least half of them are called a hazard, and offered where at least half of them are called safe.

    Args:
        bundle: whose classes are named so.
        identifiers: (H, W) uint16; empty for a set without them.
        truth: (H, W) uint8 classes.
        class_map: (H, W) uint8.
        offered: (H, W) bool, pixels that the product offers as safe.

    Returns:
        (2, S, 3) int64, by KINDS and OBJECT_SIZES.
    """
    counts = np.zeros((len(KINDS), len(OBJECT_SIZES), 3), dtype=np.int64)
    if identifiers.size == 0:
        return counts
    index = {definition.name: definition.index for definition in bundle.classes}
    called = np.isin(class_map, [definition.index for definition in bundle.classes if definition.role == "hazard"])
    is_rock = identifiers >= BOULDER_IDENTIFIERS[0]
    is_crater = (identifiers >= CRATER_IDENTIFIERS) & ~is_rock
    for kind, (name, own) in enumerate(zip(KINDS, (is_rock, is_crater), strict=True)):
        shown = own & (truth == index.get(name, -1))
        _, which, pixels = np.unique(identifiers[shown], return_inverse=True, return_counts=True)
        found, safe = (np.bincount(which, weights=area[shown], minlength=len(pixels)) for area in (called, offered))
        size = np.searchsorted(OBJECT_SIZES, pixels, side="right") - 1
        for place in range(len(OBJECT_SIZES)):
            of_size = size == place
            counts[kind, place] = (
                np.count_nonzero(of_size),
                np.count_nonzero(of_size & (2 * found >= pixels)),
                np.count_nonzero(of_size & (2 * safe >= pixels)),
            )
    return counts


def _make_maps(
    bundle: Bundle, moments: tuple[np.ndarray, np.ndarray, np.ndarray], frame: np.ndarray, settings: Settings
) -> Maps:
    """The engine's answer to a frame that is taken whole, without flags: every map is judged."""
    mean, entropy, mutual = moments
    class_map = mean.argmax(axis=0).astype(np.uint8)
    dark = find_dark(frame.astype(np.float32) / np.float32(255.0))
    enhanced = enhance_class_map(bundle, settings, class_map, entropy, dark)
    return Maps(mean, entropy, mutual, class_map, enhanced, _IDENTITY, settings.passes, "closed_form", (), {})


def _disc(shape: tuple[int, ...], row: int, column: int, radius: float) -> np.ndarray:
    """(H, W) bool: pixels that a circle about a pixel's centre touches."""
    rows, columns = np.indices(shape)
    down, across = (np.maximum(np.abs(axis - centre) - 0.5, 0.0) for axis, centre in ((rows, row), (columns, column)))
    touched: np.ndarray = down**2 + across**2 < radius**2
    return touched
