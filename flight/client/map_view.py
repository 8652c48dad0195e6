"""What both consumers read from a product: sizes, class roles, the affine to the sensor, and whether to use it at all.

The C++ counterpart is flight/gnc/include/rubblemap/consumers.hpp. Both languages calculate in IEEE doubles and add in
raster order, so that they agree to the last printed digit: np.cumsum adds in order, np.sum does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.icd.catalogue import FLAGS, Consumer, flags_forbidding
from flight.icd.products import Product

Doubles = NDArray[np.float64]
Mask = NDArray[np.bool_]

# In place of a flag that a later version of the service may know.
UNKNOWN_FLAG = "unknown_flag"


@dataclass(frozen=True)
class Refusal:
    """No answer, and why.

    reason: invalid_product, no_body, no_certainty, degenerate_affine, or the flag that forbids the map's use.
    """

    reason: str

    @property
    def text(self) -> str:
        """The reason in a sentence."""
        if self.reason in _REASONS:
            return _REASONS[self.reason]
        return f"the product is flagged {self.reason}: {FLAGS[self.reason].cause}"


_REASONS = {
    "invalid_product": "the product's status is invalid: it carries no map",
    "no_body": "no pixel of the class map belongs to a body",
    "no_certainty": "every pixel of the body has the largest entropy there can be",
    "degenerate_affine": "map_to_sensor does not span the sensor: its determinant is zero or not finite",
}


@dataclass(frozen=True)
class MapView:
    """A product's map, checked. affine: map_to_sensor. classes: K. roles: (256,) role of each index, "" of none.

    warnings: the product's flags that do not forbid the map's use, in the ICD's order.
    """

    planes: dict[str, NDArray[Any]]
    height: int
    width: int
    affine: tuple[float, float, float, float, float, float]
    classes: int
    roles: NDArray[np.str_]
    warnings: tuple[str, ...]

    def with_role(self, plane: str, role: str) -> Mask:
        """(H, W) bool: pixels whose class in a plane has the role."""
        result: Mask = (self.roles == role)[self.planes[plane]]
        return result

    def relative_entropy(self) -> Doubles:
        """(H, W) predictive entropy over ln K, in [0, 1]."""
        return unit_range(self.planes["predictive_entropy"].astype(np.float64) / math.log(self.classes))

    def sensor_point(self, u: float, v: float) -> tuple[float, float]:
        """Sensor pixel (x right, y down) of a map pixel (u right, v down)."""
        a, b, c, d, e, f = self.affine
        return a * u + b * v + c, d * u + e * v + f

    def sensor_offset(self, u: float, v: float) -> tuple[float, float]:
        """The same of a difference of two map pixels."""
        a, b, _, d, e, _ = self.affine
        return a * u + b * v, d * u + e * v

    def sensor_spread(self, spread: Spread) -> Spread:
        """A C A^T of a 2 x 2 spread C in map pixels, A being the affine's linear part."""
        a, b, _, d, e, _ = self.affine
        return Spread(
            a * a * spread.xx + 2.0 * a * b * spread.xy + b * b * spread.yy,
            a * d * spread.xx + (a * e + b * d) * spread.xy + b * e * spread.yy,
            d * d * spread.xx + 2.0 * d * e * spread.xy + e * e * spread.yy,
        )

    @property
    def pixel_area(self) -> float:
        """Square sensor pixels of one map pixel."""
        a, b, _, d, e, _ = self.affine
        return abs(a * e - b * d)


@dataclass(frozen=True)
class Spread:
    """A symmetric 2 x 2 matrix."""

    xx: float
    xy: float
    yy: float

    def eigenvalues(self) -> tuple[float, float]:
        """The larger and the smaller one."""
        middle, half = 0.5 * (self.xx + self.yy), 0.5 * (self.xx - self.yy)
        radius = math.sqrt(half * half + self.xy * self.xy)
        return middle + radius, middle - radius

    def major_axis(self) -> tuple[float, float]:
        """Unit vector (x >= 0) along the eigenvector of the larger eigenvalue; (1, 0) when both are equal.

        By half angles and square roots: trigonometric functions may differ in the last bit from library to library.
        """
        half = 0.5 * (self.xx - self.yy)
        radius = math.sqrt(half * half + self.xy * self.xy)
        if not radius > 0.0:
            return 1.0, 0.0
        cosine = min(max(half / radius, -1.0), 1.0)
        x, y = math.sqrt(0.5 * (1.0 + cosine)), math.sqrt(0.5 * (1.0 - cosine))
        return (x, -y) if self.xy < 0.0 else (x, y)


def view_of(product: Product, topic: str, consumer: Consumer) -> MapView | Refusal:
    """The map of a product of `topic`, or why the consumer must not use it.

    Raises ValueError for a product of another topic.
    """
    if product.topic != topic:
        raise ValueError(f"product: expected topic {topic}, got {product.topic}")
    header = product.header
    if product.status == "invalid":
        return Refusal("invalid_product")
    raised = [flag for flag in FLAGS if flag in header["flags"]]
    if not FLAGS.keys() >= set(header["flags"]):
        raised.append(UNKNOWN_FLAG)
    forbidding = flags_forbidding(consumer)
    for flag in raised:
        if flag in forbidding:
            return Refusal(flag)
    a, b, c, d, e, f = (float(value) for value in header["map_to_sensor"])
    roles = np.full(256, "", dtype="<U16")
    for entry in header["classes"]:
        roles[entry["index"]] = entry["role"]
    height, width = next(iter(product.planes.values())).shape
    view = MapView(
        dict(product.planes), height, width, (a, b, c, d, e, f), len(header["classes"]), roles, tuple(raised)
    )
    if not (view.pixel_area > 0.0 and math.isfinite(view.pixel_area)):
        return Refusal("degenerate_affine")
    return view


def unit_range(values: Doubles) -> Doubles:
    """Values limited to [0, 1]; what is no number counts as 1, the worst."""
    return np.where(values < 1.0, np.where(values > 0.0, values, 0.0), 1.0)


def total(values: Doubles) -> float:
    """Sum in raster order."""
    return float(np.cumsum(values.ravel())[-1]) if values.size else 0.0
