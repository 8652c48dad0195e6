"""What products carry: planes, class roles, statuses and flags."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from flight.icd.limits import TOPIC_FULL, TOPIC_HAZARD, TOPIC_NAVIGATION

Dtype = Literal["u8", "f16"]
# Of a plane's values: 1, the number of classes, its logarithm, the map's diagonal in pixels.
Largest = Literal["1", "K", "ln K", "diagonal"]
Status = Literal["valid", "degraded", "invalid"]
Consumer = Literal["navigation_fix", "landing_circles"]

# From the best to the worst.
STATUSES: tuple[Status, ...] = ("valid", "degraded", "invalid")

# What a class means to a consumer.
CLASS_ROLES: dict[str, str] = {
    "background": "sky",
    "safe": "ground to land on",
    "hazard": "ground not to land on",
    "terminator": "where day meets night",
}


@dataclass(frozen=True)
class PlaneDefinition:
    """One plane.

    Attributes:
        name: on the wire.
        dtype: "u8", or "f16" for IEEE 754 binary16.
        units: on the wire.
        dimensions: 2 for (H, W), 3 for (K, H, W).
        largest: what its values may be at most; the smallest is 0 for every plane.
        meaning: in words.
    """

    name: str
    dtype: Dtype
    units: str
    dimensions: int
    largest: Largest
    meaning: str

    def largest_value(self, classes: int, height: int, width: int) -> float:
        """The largest value in a map of so many classes and pixels."""
        return {
            "1": 1.0,
            "K": float(classes),
            "ln K": math.log(classes),
            "diagonal": math.hypot(height, width),
        }[self.largest]


PLANES: dict[str, PlaneDefinition] = {
    plane.name: plane
    for plane in (
        PlaneDefinition(
            "class_map",
            "u8",
            "class",
            2,
            "K",
            "the most probable class, 0..K-1; K outside of the camera's frame",
        ),
        PlaneDefinition(
            "enhanced_class_map",
            "u8",
            "class",
            2,
            "K",
            "the same, K also where uncertain by the header's `uncertain_rule`: `risk`, where the entropy is above "
            "`risk_threshold`, and all but background that no light falls on; `relative` or none, where it is above "
            "`uncertainty_threshold`, scaled to 0..1 over the map, and safe ground that no light falls on",
        ),
        PlaneDefinition(
            "predictive_entropy",
            "f16",
            "nat",
            2,
            "ln K",
            "entropy of the mean probability, 0..ln K; ln K outside of the frame",
        ),
        PlaneDefinition(
            "mutual_information", "f16", "nat", 2, "ln K", "the part of that entropy on which passes disagree"
        ),
        PlaneDefinition(
            "mean_probability",
            "f16",
            "1",
            3,
            "1",
            "probability of each class, mean over the passes; 1 / K outside of the frame",
        ),
        PlaneDefinition(
            "hazard_probability", "f16", "1", 2, "1", "summed mean probability of the classes whose role is not `safe`"
        ),
        PlaneDefinition(
            "clearance",
            "f16",
            "pixel",
            2,
            "diagonal",
            "distance in map pixels to the nearest pixel that is hazardous, uncertain, outside of the frame, or above "
            "most_hazard_probability or most_entropy; the map's diagonal when there is none",
        ),
    )
}


def _get_planes(*names: str) -> tuple[PlaneDefinition, ...]:
    return tuple(PLANES[name] for name in names)


# The planes of each topic, in the order of the message's parts.
TOPIC_PLANES: dict[str, tuple[PlaneDefinition, ...]] = {
    TOPIC_NAVIGATION: _get_planes("class_map", "enhanced_class_map", "predictive_entropy"),
    TOPIC_HAZARD: _get_planes("hazard_probability", "predictive_entropy", "enhanced_class_map", "clearance"),
    TOPIC_FULL: _get_planes(
        "mean_probability", "predictive_entropy", "mutual_information", "class_map", "enhanced_class_map"
    ),
}


@dataclass(frozen=True)
class FlagDefinition:
    """One product flag.

    Attributes:
        status: that the product gets, or a worse one; "valid" leaves it as it is.
        cause: what is wrong with the frame or its product.
        advice: what a consumer should do.
        forbids: consumers that must refuse a map with this flag; all others warn. Empty for an invalid product, which
            has no map.
    """

    status: Status
    cause: str
    advice: str
    forbids: tuple[Consumer, ...] = ()


FLAGS: dict[str, FlagDefinition] = {
    "deadline": FlagDefinition(
        "degraded",
        "fewer passes than requested: the next one would have overrun deadline_ms",
        "use the class map; take the uncertainty for a rougher estimate",
    ),
    "single_pass": FlagDefinition(
        "valid",
        "the mode's networks carry no dropout: one pass, predictive entropy of the softmax only",
        "mutual information is zero and says nothing",
    ),
    "body_not_found": FlagDefinition(
        "degraded",
        "centering found nothing bright; the whole frame was used",
        "do not navigate on the map",
        forbids=("navigation_fix", "landing_circles"),
    ),
    "dark": FlagDefinition(
        "degraded",
        "the brightest of the frame is below dark_level",
        "expose longer; do not use the map",
        forbids=("navigation_fix", "landing_circles"),
    ),
    "empty_sky": FlagDefinition(
        "degraded",
        "nothing extended stands out of the background",
        "point the camera; do not use the map",
        forbids=("navigation_fix", "landing_circles"),
    ),
    "saturated": FlagDefinition(
        "degraded",
        "more than saturated_fraction of the body's pixels are at full scale; of the frame's, where no body is found",
        "expose shorter; craters and boulders are lost where it is white",
        forbids=("landing_circles",),
    ),
    "body_small": FlagDefinition(
        "degraded",
        "the body's larger side is below smallest_body_pixels, and the body is not cut",
        "use the map's outline, not its morphology",
        forbids=("landing_circles",),
    ),
    "body_cut": FlagDefinition(
        "valid", "the body reaches the frame's edge", "do not take the map's centroid for the body's"
    ),
    "several_bodies": FlagDefinition(
        "valid", "another body of second_body_fraction or more lies apart", "do not take the centroid for one body's"
    ),
    # The outline may still serve for a fix, with a warning; a landing site may not be chosen.
    "high_entropy": FlagDefinition(
        "degraded",
        "the map's mean entropy is above entropy_factor times the 99th percentile of the validation images'",
        "the frame is unlike training: trust no class",
        forbids=("landing_circles",),
    ),
    "bundle_damaged": FlagDefinition(
        "degraded",
        "a file of the bundle changed on the storage, and no fresh worker serves yet",
        "as for any degraded product; the worker's own memory was verified when it was loaded",
    ),
    "worker_failed": FlagDefinition(
        "invalid", "two workers were lost on this frame, or one was and a newer frame came", "wait for the next product"
    ),
    "frame_refused": FlagDefinition(
        "invalid", "the worker could not process this frame", "wait for the next product; look at the events"
    ),
    "safe_state": FlagDefinition(
        "invalid", "the service is in the safe state and makes no maps", "do without maps until recovery"
    ),
    # Consumers count flags by their place here: what came later follows.
    "not_a_body": FlagDefinition(
        "degraded",
        "the input monitor finds no body like those that the networks know, or one that is spoiled beyond use",
        "do not use the map",
        forbids=("navigation_fix", "landing_circles"),
    ),
}


def flags_forbidding(consumer: Consumer) -> tuple[str, ...]:
    """The flags with which a consumer must refuse a map, in the catalogue's order."""
    return tuple(name for name, flag in FLAGS.items() if consumer in flag.forbids)


def worst_status(flags: Sequence[str]) -> Status:
    """A product's status: the worst one of its flags."""
    return max((FLAGS[flag].status for flag in flags), key=STATUSES.index, default="valid")
