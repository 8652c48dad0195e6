"""A product in a few numbers: what its packet says of the map."""

from __future__ import annotations

from typing import Any

import numpy as np

from flight.client.hazard import landing_circles
from flight.client.map_view import Refusal, tabulate_roles
from flight.client.navigation import navigation_fix
from flight.icd.catalogue import CLASS_ROLES, FLAGS
from flight.icd.limits import TOPIC_HAZARD, TOPIC_NAVIGATION
from flight.icd.products import Product
from hil.bridge.fields import find_value
from hil.bridge.layouts import LAYOUTS

# Circles that are no larger than a pixel are of no use to a reader of the summary.
_SMALLEST_RADIUS_PX = 1.0


def summarize_product(product: Product) -> tuple[str, dict[str, Any]]:
    """Make the values of a product's packet.

    Returns:
        The name of its layout, and its values by name.
    """
    name = product.topic.replace(".", "_")
    flags = set(product.header["flags"])
    values: dict[str, Any] = {}
    for field in LAYOUTS[name].fields:
        if field.kind == "flag":
            values[field.name] = field.name.removeprefix("flag_") in flags
        elif field.path:
            values[field.name] = find_value(product.header, field.path)
    values["flag_unknown"] = bool(flags - set(FLAGS))
    if product.planes:
        values |= _describe_map(product)
    return name, values | _evaluate(product)


def _describe_map(product: Product) -> dict[str, Any]:
    shown = product.planes["enhanced_class_map"]
    roles = tabulate_roles(product.header)[shown]
    counts = {f"pixels_{role}": int((roles == role).sum()) for role in CLASS_ROLES}
    return {
        "height": shown.shape[0],
        "width": shown.shape[1],
        **counts,
        "pixels_unknown": int((roles == "").sum()),
        "mean_entropy": float(product.planes["predictive_entropy"].astype(np.float64).mean()),
    }


def _evaluate(product: Product) -> dict[str, Any]:
    """What a consumer of the topic makes of the product: a fix with the sun, the largest circle, or a refusal."""
    if product.topic == TOPIC_NAVIGATION:
        fix = navigation_fix(product)
        if isinstance(fix, Refusal):
            return {"refusal": fix.reason}
        sun = {} if fix.sun is None else {f"sun_{name}": value for name, value in vars(fix.sun).items()}
        return {f"fix_{name}": value for name, value in vars(fix).items()} | sun
    if product.topic == TOPIC_HAZARD:
        found = landing_circles(product, _SMALLEST_RADIUS_PX, 1)
        if isinstance(found, Refusal):
            return {"refusal": found.reason}
        return {f"circle_{name}": value for circle in found.circles for name, value in vars(circle).items()}
    return {}
