"""A product's map as both consumers use it: size, class roles, affine, and whether it may be used at all.

The C++ library calculates the same. Both use IEEE doubles and add in raster order, so that their results agree to the
last printed digit: np.cumsum adds in order, np.sum does not.
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
    """Why a map must not be used.

    Attributes:
        reason: invalid_product, no_body, no_certainty, degenerate_affine, or the flag that forbids to use the map.
    """

    reason: str

    @property
    def text(self) -> str:
        """The reason as text for people."""
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
    """A product's map that may be used.

    Attributes:
        planes: by name, (H, W) each.
        height: H, map pixels.
        width: W, map pixels.
        affine: map_to_sensor (a, b, c, d, e, f): x = a u + b v + c, y = d u + e v + f.
        classes: number of classes K.
        roles: (256,) role of each class index, "" for an index without a class.
        warnings: the product's flags, in the ICD's order; none of them forbids to use the map.
    """

    planes: dict[str, NDArray[Any]]
    height: int
    width: int
    affine: tuple[float, float, float, float, float, float]
    classes: int
    roles: NDArray[np.str_]
    warnings: tuple[str, ...]

    def with_role(self, plane: str, role: str) -> Mask:
        """(H, W) bool: pixels of a plane of classes whose class has the role."""
        result: Mask = (self.roles == role)[self.planes[plane]]
        return result

    def without_class(self, plane: str) -> Mask:
        """(H, W) bool: pixels whose value in a plane of classes is no class: outside the frame, or uncertain."""
        result: Mask = (self.roles == "")[self.planes[plane]]
        return result

    def relative_entropy(self) -> Doubles:
        """(H, W) predictive entropy divided by ln K, in [0, 1]."""
        return limit_to_unit(self.planes["predictive_entropy"].astype(np.float64) / math.log(self.classes))

    def sensor_point(self, u: float, v: float) -> tuple[float, float]:
        """Sensor pixel (x right, y down) of a map pixel (u right, v down)."""
        a, b, c, d, e, f = self.affine
        return a * u + b * v + c, d * u + e * v + f

    def sensor_offset(self, u: float, v: float) -> tuple[float, float]:
        """Vector in sensor pixels of a vector (u, v) in map pixels."""
        a, b, _, d, e, _ = self.affine
        return a * u + b * v, d * u + e * v

    def sensor_spread(self, spread: Spread) -> Spread:
        """A C A^T in sensor pixels of a spread C in map pixels, with A the linear part of the affine."""
        a, b, _, d, e, _ = self.affine
        return Spread(
            a * a * spread.xx + 2.0 * a * b * spread.xy + b * b * spread.yy,
            a * d * spread.xx + (a * e + b * d) * spread.xy + b * e * spread.yy,
            d * d * spread.xx + 2.0 * d * e * spread.xy + e * e * spread.yy,
        )

    @property
    def pixel_area(self) -> float:
        """Area of one map pixel in square sensor pixels, |det A|."""
        a, b, _, d, e, _ = self.affine
        return abs(a * e - b * d)


@dataclass(frozen=True)
class Spread:
    """A symmetric 2 x 2 matrix, such as a covariance."""

    xx: float
    xy: float
    yy: float

    def eigenvalues(self) -> tuple[float, float]:
        """The larger and the smaller eigenvalue."""
        middle, half = 0.5 * (self.xx + self.yy), 0.5 * (self.xx - self.yy)
        radius = math.sqrt(half * half + self.xy * self.xy)
        return middle + radius, middle - radius

    def major_axis(self) -> tuple[float, float]:
        """Unit eigenvector of the larger eigenvalue, with x >= 0; (1, 0) if both eigenvalues are equal.

        Calculated with half angles and square roots: trigonometric functions may differ in the last bit between
        libraries.
        """
        half = 0.5 * (self.xx - self.yy)
        radius = math.sqrt(half * half + self.xy * self.xy)
        if not radius > 0.0:
            return 1.0, 0.0
        cosine = min(max(half / radius, -1.0), 1.0)
        x, y = math.sqrt(0.5 * (1.0 + cosine)), math.sqrt(0.5 * (1.0 - cosine))
        return (x, -y) if self.xy < 0.0 else (x, y)


def read_map(product: Product, topic: str, consumer: Consumer) -> MapView | Refusal:
    """Read the map of a product, and check whether it may be used.

    Args:
        product: as received.
        topic: that it must have.
        consumer: who will use the map; the catalogue says which flags forbid it.

    Returns:
        The map, or why it must not be used.

    Raises:
        ValueError: the product is of another topic.
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
    height, width = next(iter(product.planes.values())).shape
    view = MapView(
        dict(product.planes),
        height,
        width,
        (a, b, c, d, e, f),
        len(header["classes"]),
        tabulate_roles(header),
        tuple(raised),
    )
    if not (view.pixel_area > 0.0 and math.isfinite(view.pixel_area)):
        return Refusal("degenerate_affine")
    return view


def tabulate_roles(header: dict[str, Any]) -> NDArray[np.str_]:
    """The roles of a product's classes.

    Returns:
        (256,) role by index; "" for an index that is no class.
    """
    roles = np.full(256, "", dtype="<U16")
    for entry in header["classes"]:
        roles[entry["index"]] = entry["role"]
    return roles


def limit_to_unit(values: Doubles) -> Doubles:
    """Limit values to [0, 1]; NaN becomes 1, the worst value of an entropy or a hazard probability."""
    return np.where(values < 1.0, np.where(values > 0.0, values, 0.0), 1.0)


def sum_in_order(values: Doubles) -> float:
    """Sum of all values, added in raster order; 0.0 if there are none."""
    return float(np.cumsum(values.ravel())[-1]) if values.size else 0.0
