"""The input monitor: decides from a frame's features whether a body is in it, like those that the networks know.

Two tests, of which the worse one counts. A small network (tanh, one hidden layer), fitted on frames of bodies and
on twenty kinds of frames without one, gives the log-odds that a frame shows a body. The Mahalanobis distance from the
frames of bodies alone finds what is like neither. Both are fitted by `ground-tools fit-monitor`, and kept in the
bundle, with the limits at which a stated share of the validation images would be flagged.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from flight.bundle import Bundle, BundleError
from flight.inference.frame_features import FRAME_FEATURES
from flight.schema import SchemaError, check, load_schema

_SCHEMA = load_schema("flight.schemas", "input_monitor")

# Features are shares and logarithms; their squares must not overflow.
_LARGEST_FEATURE = 1e6


@dataclass(frozen=True)
class InputMonitor:
    """A fitted monitor. F: number of features; U: of hidden units.

    Attributes:
        mean: (F,) of the features over frames of bodies.
        deviation: (F,) standard deviation of the same.
        hidden: (F + 1, U), weights of the hidden units, the last row their biases.
        output: (U + 1,), weights of the log-odds, the last one the bias.
        precision: (F, F), inverse of the covariance of the scaled features.
        least_log_odds: below which a frame is flagged.
        largest_distance: Mahalanobis distance above which a frame is flagged.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    hidden: NDArray[np.float64]
    output: NDArray[np.float64]
    precision: NDArray[np.float64]
    least_log_odds: float
    largest_distance: float

    def log_odds(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-odds that frames show a body. features: (N, F), see frame_features. Returns (N,)."""
        scaled = (features - self.mean) / self.deviation
        units = np.tanh(scaled @ self.hidden[:-1] + self.hidden[-1])
        result: NDArray[np.float64] = units @ self.output[:-1] + self.output[-1]
        return result

    def distance(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mahalanobis distance of frames from those of bodies. features: (N, F). Returns (N,)."""
        scaled = (features - self.mean) / self.deviation
        squares: NDArray[np.float64] = ((scaled @ self.precision) * scaled).sum(axis=1)
        result: NDArray[np.float64] = np.sqrt(np.maximum(squares, 0.0))
        return result

    def evidence(self, features: list[float]) -> float:
        """How far a frame is from being flagged: the smaller of its two margins; below 0 there is no body in it.

        -inf for features that are not finite, or so large that no margin can be computed.
        """
        row = np.asarray([features], dtype=np.float64)
        if not (np.abs(row) < _LARGEST_FEATURE).all():
            return -math.inf
        return min(
            float(self.log_odds(row)[0]) - self.least_log_odds, self.largest_distance - float(self.distance(row)[0])
        )


def read_monitor(bundle: Bundle) -> InputMonitor | None:
    """The monitor that a bundle holds; None if its manifest names none.

    Raises:
        BundleError: names the file, and what is wrong with it.
    """
    if bundle.input_monitor is None:
        return None
    place = f"bundle {bundle.name}: input_monitor"
    try:
        content = json.loads(bundle.input_monitor)
        check(content, _SCHEMA, "input_monitor")
    except (SchemaError, ValueError, RecursionError) as error:
        raise BundleError(f"{place}: {error}") from error
    for number, (expected, got) in enumerate(zip_longest(FRAME_FEATURES, content["figures"])):
        if got != expected:
            raise BundleError(
                f"{place}: figures[{number}]: expected {expected!r}, got {got!r}; fit the monitor for this version"
            )
    count, units = len(FRAME_FEATURES), len(content["hidden"][0])
    shapes = {
        "mean": (count,),
        "deviation": (count,),
        "hidden": (count + 1, units),
        "output": (units + 1,),
        "precision": (count, count),
    }
    arrays = {}
    for name, shape in shapes.items():
        try:
            array = np.array(content[name], dtype=np.float64)
        except ValueError:
            array = np.zeros(0)
        if array.shape != shape or not np.isfinite(array).all():
            raise BundleError(f"{place}: {name}: expected {' x '.join(map(str, shape))} finite numbers")
        arrays[name] = array
    if not (arrays["deviation"] > 0.0).all():
        raise BundleError(f"{place}: deviation: expected numbers above 0")
    return InputMonitor(
        **arrays, least_log_odds=content["least_log_odds"], largest_distance=content["largest_distance"]
    )
