"""The self-test of a bundle: a known image must give the known class map, repeatably, with passes that differ."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.bundle import Bundle, BundleError
from flight.inference.engine import Engine, default_settings


def run_self_test(engine: Engine) -> float:
    """Run the bundle's self-test; returns the fraction of pixels whose class is the recorded one.

    Raises BundleError when that is below the manifest's minimum, when the same seed gives different maps, or
    when a network with dropout masks gives the same scores in every pass.
    """
    bundle = engine.bundle
    test = bundle.self_test
    image = decoded(bundle, test.image, "image")
    expected = decoded(bundle, test.class_map, "class_map")
    if expected.shape != (bundle.height, bundle.width):
        raise BundleError(
            f"bundle {bundle.name}: self_test.class_map: expected {bundle.height} x {bundle.width}, "
            f"got {expected.shape[0]} x {expected.shape[1]}"
        )
    settings = replace(default_settings(bundle), passes=test.passes)
    first, second = (
        engine.segment(image, bit_depth=8, centered=True, seed=test.seed, settings=settings) for _ in range(2)
    )
    if first.mean_probability.tobytes() != second.mean_probability.tobytes():
        raise BundleError(f"bundle {bundle.name}: self-test: the same seed gave two different maps")
    stochastic = any(network.dropout_masks for network in bundle.networks)
    if stochastic and not float(first.mutual_information.max()) > 1e-4:
        raise BundleError(f"bundle {bundle.name}: self-test: all dropout passes gave the same scores")
    agreement = float(np.mean(first.class_map == expected))
    if agreement < test.minimum_agreement:
        raise BundleError(
            f"bundle {bundle.name}: self-test: expected at least {test.minimum_agreement:.3f} of the pixels "
            f"as recorded, got {agreement:.3f}"
        )
    return agreement


def decoded(bundle: Bundle, png: bytes, field: str) -> NDArray[np.uint8]:
    """Decode one of the self-test's PNG images."""
    array = cv2.imdecode(np.frombuffer(png, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint8:
        raise BundleError(f"bundle {bundle.name}: self_test.{field}: no 8-bit PNG image")
    return array.astype(np.uint8, copy=False)
