"""What a camera makes of the light of a drawn scene."""

from __future__ import annotations

import cv2
import numpy as np

from ground_tools.labels.encoding import encode_for_display


def develop_picture(
    radiance: np.ndarray,
    lit: np.ndarray,
    generator: np.random.Generator,
    exposures: tuple[float, float] = (0.25, 0.75),
    faintest: float = 1e-6,
) -> np.ndarray:
    """The picture of a camera: exposure, a tint from grey to brown, blur and noise.

    Args:
        radiance: (H, W) or (H, W, 3) float, linear.
        lit: (H, W) bool, what the camera is exposed for.
        generator: of all of it.
        exposures: between which the level lies that nine tenths of what is lit stay below.
        faintest: radiance that is brought there at most.

    Returns:
        (H, W, 3) uint8, red, green, blue, display-encoded.
    """
    grey = radiance if radiance.ndim == 2 else radiance.max(axis=2)
    shown = grey[lit & (grey > 0.0)]
    level = float(np.percentile(shown, 90)) if len(shown) else 1.0
    exposed = radiance * (generator.uniform(*exposures) / max(level, faintest))
    strength = generator.uniform(0.0, 1.0)
    tint = 1.0 + strength * np.array([0.10, 0.0, -0.16]) + 0.02 * generator.standard_normal(3)
    picture = (exposed if radiance.ndim == 3 else exposed[..., None]) * tint
    blur = generator.uniform(0.0, 0.7)
    if blur > 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), blur).astype(np.float64)
    encoded = encode_for_display(picture).astype(np.float64)
    noisy = encoded + generator.uniform(0.0, 4.0) * generator.standard_normal(encoded.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
