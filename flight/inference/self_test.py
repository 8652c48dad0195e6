"""The self-test of a bundle: a known image must give the same answer.

One run makes two checks. The class map must agree with the one in the bundle; this holds on every machine, although
kernels round differently. And the digest over every bit of the answer must equal the one that the same bundle gave
before on the same machine; this detects a single upset weight. The service compares the digests.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.bundle import Bundle, BundleError
from flight.icd.catalogue import TOPIC_PLANES
from flight.inference.engine import Engine, Maps
from flight.inference.planes import topic_planes
from flight.settings import Settings, default_settings

_EXERCISE_SEED = 0x5445_5354  # "TEST"; the same for all bundles


@dataclass(frozen=True)
class SelfTestResult:
    """Result of a self-test that passed.

    Attributes:
        agreement: fraction of the pixels whose class is the recorded one, 0..1.
        digest: SHA-256 over the whole answer, hexadecimal.
        passes_digest: the same of whole passes, where the bundle has its heads in closed form; "" without, or if these
            were not tested.
    """

    agreement: float
    digest: str
    passes_digest: str


def run_self_test(
    engine: Engine, progress: Callable[[int], None] | None = None, whole_passes: bool = True
) -> SelfTestResult:
    """Run the bundle's self-test image through the same code as a frame, with the bundle's default parameters.

    The digest covers the mean probability in float32, every plane of every topic, the affine, the flags, and the banks
    of dropout masks, of which a frame uses only parts. It also covers the answers to the exercise images: an upset
    weight changes the answer only where its input channel is active, and one image leaves many channels at 0.

    Args:
        engine: with the bundle loaded.
        progress: called with the number of passes done, as in Engine.segment; starts again for every image.
        whole_passes: test whole passes, too, where the bundle's default is the closed form. That loads them.

    Raises:
        BundleError: fewer pixels agree than the manifest requires, all passes of a network with dropout masks gave
            the same scores, an output is not what the manifest says, or an image of the self-test cannot be decoded.
    """
    bundle = engine.bundle
    test = bundle.self_test
    image = decode_test_image(bundle, test.image, "image")
    expected = decode_test_image(bundle, test.class_map, "class_map")
    if expected.shape != (bundle.height, bundle.width):
        raise BundleError(
            f"bundle {bundle.name}: self_test.class_map: expected {bundle.height} x {bundle.width}, "
            f"got {expected.shape[0]} x {expected.shape[1]}"
        )
    if whole_passes:
        engine.load_whole_passes(progress)
    if engine.whole_passes_loaded:
        engine.check_outputs(image, progress)
    settings = replace(default_settings(bundle), passes=test.passes)
    maps = engine.segment(image, bit_depth=8, centered=True, seed=test.seed, settings=settings, progress=progress)
    stochastic = any(network.dropout_masks for network in bundle.networks)
    if stochastic and not float(maps.mutual_information.max()) > 1e-4:
        raise BundleError(f"bundle {bundle.name}: self-test: all dropout passes gave the same scores")
    # Bundles made by earlier versions have classes recorded where the test image does not reach.
    seen = maps.class_map < len(bundle.classes)
    agreement = float(np.mean((maps.class_map == expected)[seen]))
    if agreement < test.minimum_agreement:
        raise BundleError(
            f"bundle {bundle.name}: self-test: expected at least {test.minimum_agreement:.3f} of the pixels "
            f"as recorded, got {agreement:.3f}"
        )
    digest = hashlib.sha256(repr(engine.masks_checksum()).encode("ascii"))
    _update_digest(digest, maps, bundle, settings)
    exercises = make_exercise_images(image)

    def exercise(digest: Any, kind: str) -> str:
        exercised = replace(settings, passes=1, engine=kind)
        for number, each in enumerate(exercises):
            seed = (test.seed + 1 + number) % 2**64
            answer = engine.segment(each, bit_depth=8, centered=True, seed=seed, settings=exercised, progress=progress)
            _update_digest(digest, answer, bundle, exercised)
        return str(digest.hexdigest())

    default, *others = engine.kinds
    answered = exercise(digest, default)
    of_passes = exercise(hashlib.sha256(), *others) if others and whole_passes else ""
    return SelfTestResult(agreement, answered, of_passes)


def make_exercise_images(image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Images that activate many channels: the negative of an image, and noise in blocks of 1, 4 and 16 pixels.

    Args:
        image: (H, W) or (H, W, 3) uint8.

    Returns:
        Four images of the same shape and dtype, the same on every machine.
    """
    rows, columns = image.shape[:2]
    words = np.asarray(np.random.PCG64(_EXERCISE_SEED).random_raw(-(-rows * columns // 8)), dtype="<u8")
    noise = words.view(np.uint8)[: rows * columns].reshape(rows, columns)
    blocks = [np.repeat(np.repeat(noise, size, axis=0), size, axis=1)[:rows, :columns] for size in (1, 4, 16)]
    if image.ndim == 3:
        blocks = [np.repeat(block[:, :, None], image.shape[2], axis=2) for block in blocks]
    return [255 - image, *blocks]


def _update_digest(digest: Any, maps: Maps, bundle: Bundle, settings: Settings) -> None:
    digest.update(maps.mean_probability.tobytes())
    for topic in TOPIC_PLANES:
        for _, plane, _ in topic_planes(maps, bundle.classes, topic, settings):
            digest.update(plane.tobytes())
    digest.update(repr((maps.map_to_sensor, maps.flags)).encode("ascii"))


def describe_environment(threads: int) -> str:
    """What the bits of an answer may depend on besides the bundle, as one line of text.

    Args:
        threads: of the engine.

    Returns:
        Processor architecture, versions of the runtime, NumPy and OpenCV, and the number of threads.
    """
    names = ("ai-edge-litert", "tflite-runtime", "numpy", "opencv-python-headless")
    versions = [f"{name} {version}" for name in names if (version := _find_version(name)) is not None]
    return ", ".join([platform.machine(), *versions, f"{threads} threads"])


def _find_version(name: str) -> str | None:
    """Version of an installed package, from the name of its folder; None without.

    As importlib.metadata has it, which takes 3 MB and a twentieth of a second of every start.
    """
    package = name.replace("-", "_")
    for folder in sys.path:
        for found in sorted(Path(folder or ".").glob(f"{package}-*.dist-info")):
            return found.name.removeprefix(f"{package}-").removesuffix(".dist-info")
    return None


def decode_test_image(bundle: Bundle, png: bytes, field: str) -> NDArray[np.uint8]:
    """Decode a PNG image of the self-test.

    Args:
        bundle: named in the error message.
        png: bytes of the file.
        field: "image" or "class_map", named in the error message.

    Returns:
        (H, W), or (H, W, 3) red, green, blue, uint8.

    Raises:
        BundleError: not an 8-bit PNG image.
    """
    array = cv2.imdecode(np.frombuffer(png, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint8:
        raise BundleError(f"bundle {bundle.name}: self_test.{field}: no 8-bit PNG image")
    if array.ndim == 3 and array.shape[2] == 3:
        array = cv2.cvtColor(array, cv2.COLOR_BGR2RGB)
    return array.astype(np.uint8, copy=False)
