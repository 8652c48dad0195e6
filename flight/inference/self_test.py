"""The self-test of a bundle: a known image must give the known answer.

Two judgements are made on one run. The class map must agree with the one that the bundle carries: this holds on
every machine, whose kernels may round differently. And the digest, over every bit that a frame's answer is made of,
must be the one that the same networks gave before on the same machine: this notices a single upset weight.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.bundle import Bundle, BundleError
from flight.icd.catalogue import TOPIC_PLANES
from flight.inference.engine import Engine, Maps, default_settings
from flight.inference.planes import topic_planes

_EXERCISE_SEED = 0x5445_5354  # "TEST"; one constant for all bundles


@dataclass(frozen=True)
class SelfTestResult:
    """agreement: fraction of the pixels whose class is the recorded one. digest: SHA-256 of the whole answer."""

    agreement: float
    digest: str


def run_self_test(engine: Engine, progress: Callable[[int], None] | None = None) -> SelfTestResult:
    """Run the bundle's self-test image through the same code as a frame, with the bundle's default parameters.

    The digest covers the mean probabilities in float32, every plane of every topic, the map's affine, and the pools
    of dropout masks, of which a frame uses only stretches. It covers the answers to the exercise images too: an upset
    weight shows only where the channel that it multiplies is active, and one image leaves many idle. progress: as
    for Engine.segment. Raises BundleError when fewer pixels agree than the manifest wants, or when a network with
    dropout masks gives the same scores in every pass.
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
    maps = engine.segment(image, bit_depth=8, centered=True, seed=test.seed, settings=settings, progress=progress)
    stochastic = any(network.dropout_masks for network in bundle.networks)
    if stochastic and not float(maps.mutual_information.max()) > 1e-4:
        raise BundleError(f"bundle {bundle.name}: self-test: all dropout passes gave the same scores")
    agreement = float(np.mean(maps.class_map == expected))
    if agreement < test.minimum_agreement:
        raise BundleError(
            f"bundle {bundle.name}: self-test: expected at least {test.minimum_agreement:.3f} of the pixels "
            f"as recorded, got {agreement:.3f}"
        )
    digest = hashlib.sha256(repr(engine.masks_checksum()).encode("ascii"))
    _add_answer(digest, maps, bundle)
    settings = replace(settings, passes=1)
    for number, exercise in enumerate(exercise_images(image)):
        seed = (test.seed + 1 + number) % 2**64
        answer = engine.segment(exercise, bit_depth=8, centered=True, seed=seed, settings=settings, progress=progress)
        _add_answer(digest, answer, bundle)
    return SelfTestResult(agreement, digest.hexdigest())


def exercise_images(image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Images that drive the networks hard: the negative of `image`, and noise in grains of 1, 4 and 16 pixels.

    Same shape and dtype as `image`; the same on every machine.
    """
    rows, columns = image.shape[:2]
    words = np.asarray(np.random.PCG64(_EXERCISE_SEED).random_raw(-(-rows * columns // 8)), dtype="<u8")
    noise = words.view(np.uint8)[: rows * columns].reshape(rows, columns)
    grains = [np.repeat(np.repeat(noise, size, axis=0), size, axis=1)[:rows, :columns] for size in (1, 4, 16)]
    if image.ndim == 3:
        grains = [np.repeat(grain[:, :, None], image.shape[2], axis=2) for grain in grains]
    return [255 - image, *grains]


def _add_answer(digest: Any, maps: Maps, bundle: Bundle) -> None:
    digest.update(maps.mean_probability.tobytes())
    for topic in TOPIC_PLANES:
        for _, plane, _ in topic_planes(maps, bundle.classes, topic):
            digest.update(plane.tobytes())
    digest.update(repr((maps.map_to_sensor, maps.flags)).encode("ascii"))


def environment(threads: int) -> str:
    """What the bits of an answer may depend on besides the bundle: processor, libraries, threads."""
    versions = []
    for name in ("ai-edge-litert", "tflite-runtime", "numpy", "opencv-python-headless"):
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join([platform.machine(), *versions, f"{threads} threads"])


def decoded(bundle: Bundle, png: bytes, field: str) -> NDArray[np.uint8]:
    """Decode one of the self-test's PNG images."""
    array = cv2.imdecode(np.frombuffer(png, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint8:
        raise BundleError(f"bundle {bundle.name}: self_test.{field}: no 8-bit PNG image")
    return array.astype(np.uint8, copy=False)
