"""Images unlike those of training, made of a set's own: more noise, blur, over-exposure, and empty sky."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import cv2
import numpy as np

from ground_tools.datasets.noise import NOISE_SEED, paper_noise

# Noise and sky brightness in shares of full scale, blur in pixels, gains as factors; name -> (kind, strength).
DISTURBANCES: dict[str, tuple[str, float]] = {
    "none": ("none", 0.0),
    "noise 0.03": ("noise", 0.03),
    "noise 0.1": ("noise", 0.1),
    "noise 0.2": ("noise", 0.2),
    "blur 1 px": ("blur", 1.0),
    "blur 2 px": ("blur", 2.0),
    "blur 4 px": ("blur", 4.0),
    "gain 2": ("gain", 2.0),
    "gain 4": ("gain", 4.0),
    "gain 8": ("gain", 8.0),
    "empty sky": ("sky", 0.0),
    "empty sky, noise 0.1": ("sky", 0.1),
}


def disturb_frame(image: np.ndarray, name: str, noisy: bool) -> np.ndarray:
    """An image as a camera gives it, disturbed in one of the ways of DISTURBANCES.

    Order: gain and clipping, blur, the paper's noise (noisy: not on real images, which have their own), more noise.
    Empty sky is a black image in its place. Everything random is drawn from the image's pixels and the name, so it is
    the same in any order. image: (H, W) uint8. Returns (H, W) uint8. Raises ValueError for an unknown name.
    """
    if name not in DISTURBANCES:
        raise ValueError(f"disturbance: expected one of {', '.join(DISTURBANCES)}, got {name}")
    kind, strength = DISTURBANCES[name]
    generator = np.random.default_rng([NOISE_SEED, zlib.crc32(image.tobytes()), zlib.crc32(name.encode())])
    sky = np.zeros_like(image)
    prepared: dict[str, Callable[[], np.ndarray]] = {
        "gain": lambda: np.clip(np.rint(image * strength), 0, 255).astype(np.uint8),
        "blur": lambda: cv2.GaussianBlur(image, (0, 0), strength),
        "sky": lambda: sky,
    }
    frame = prepared.get(kind, lambda: image)()
    # An empty sky has the noise of a camera even beside real images.
    scaled = paper_noise(frame, generator) if noisy or kind == "sky" else frame.astype(np.float32) / 255.0
    if kind in ("noise", "sky"):
        scaled = scaled + generator.normal(0.0, strength, scaled.shape).astype(np.float32)
    return np.rint(np.clip(scaled, 0.0, 1.0) * 255.0).astype(np.uint8)
