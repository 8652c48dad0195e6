"""What a map claims of each pixel, and whether it is right: what a promise on the risk counts, and what it leaves out.

Left out is sky that is called sky: there is so much of it, and it is so easy, that any share of errors could be
promised by counting it. What is called anything but sky where no light falls is marked uncertain by the rule, whatever
its entropy, so that it is never among what is promised; it is counted beside. Everything else counts. A body that is
called sky in the dark is an error: the map claims that nothing is there, though nobody could have seen it.
"""

from __future__ import annotations

import numpy as np

from flight.bundle import Bundle
from flight.inference.hazard import find_dark
from ground_tools.metrics.risk import entropy_histogram

# Ground in the light, right and wrong; a body that is called sky, in the light and in the dark; sky that is called sky.
CLAIMS = ("right", "wrong", "missed", "missed_dark", "sky")
# Of the claims that a promise counts, which are errors.
ERRORS = ("wrong", "missed", "missed_dark")


def count_claims(
    bundle: Bundle, class_map: np.ndarray, entropy: np.ndarray, frame: np.ndarray, truth: np.ndarray
) -> dict[str, np.ndarray]:
    """The claims of one image in one mode.

    Args:
        bundle: whose classes count.
        class_map: (H, W) uint8, the most probable classes.
        entropy: (H, W) float32, predictive, nats.
        frame: (H, W) uint8, as the networks got it.
        truth: (H, W) uint8 classes.

    Returns:
        claims: (5, T + 1) int32 pixels by CLAIMS and entropy, see metrics.risk. dark_ground: (2,) int64 pixels that are
        called anything but sky in the dark, right and wrong.
    """
    background = [definition.index for definition in bundle.classes if definition.role == "background"]
    sky, dark, right = np.isin(class_map, background), find_dark(frame / np.float32(255.0)), class_map == truth
    groups = np.select(
        [sky & np.isin(truth, background), sky & dark, sky, ~dark & right, ~dark],
        [CLAIMS.index(name) for name in ("sky", "missed_dark", "missed", "right", "wrong")],
        len(CLAIMS),
    )
    ground = ~sky & dark
    return {
        "claims": entropy_histogram(entropy, groups, len(CLAIMS)),
        "dark_ground": np.array([np.count_nonzero(ground & right), np.count_nonzero(ground & ~right)], dtype=np.int64),
    }


def split_claims(claims: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the claims that a promise counts, the errors and all. claims: (..., 5, T + 1). Returns (..., T + 1) each."""
    errors = claims[..., [CLAIMS.index(name) for name in ERRORS], :].sum(axis=-2, dtype=np.int64)
    return errors, errors + claims[..., CLAIMS.index("right"), :]
