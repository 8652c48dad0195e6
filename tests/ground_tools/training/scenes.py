"""Small drawn sets for trainings that must not take long: bodies with rocks of all sizes, a crater and a night side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ground_tools.datasets.noise import NOISE
from ground_tools.datasets.store import (
    FORMAT_VERSION,
    sample_digest,
    shard_bytes,
    webp_bytes,
    write_description,
    write_index,
    write_whole,
)
from ground_tools.labels.classes import BOULDER_IDENTIFIERS, CLASS_NAMES, CRATER_IDENTIFIERS, GRAVEL_IDENTIFIER
from ground_tools.labels.stacking import stack_masks

BODIES = ("alpha", "beta")


def identifiers_of(generator: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Identifiers of the full model and of the ground alone, (S, S) uint16, and the terminator, (S, S) bool."""
    rows, columns = np.mgrid[:size, :size]
    middle = size / 2 + generator.uniform(-0.05, 0.05, 2) * size
    body = (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < (0.38 * size) ** 2
    ground = body.astype(np.uint16)
    row, column = generator.integers(size // 3, 2 * size // 3, 2)
    ground[((rows - row) ** 2 + (columns - column) ** 2 <= (size // 10) ** 2) & body] = CRATER_IDENTIFIERS
    identifiers = ground.copy()
    for rock in range(12):
        row, column = generator.integers(size // 4, 3 * size // 4, 2)
        radius = generator.integers(0, 4)
        seen = ((rows - row) ** 2 + (columns - column) ** 2 <= radius**2) & body
        identifiers[seen] = BOULDER_IDENTIFIERS[0] + rock if radius else GRAVEL_IDENTIFIER
    return identifiers, ground, body & (columns < 0.35 * size) & (columns > 0.3 * size)


def write_scenes(
    folder: Path, counts: dict[str, int], size: int = 32, real: bool = False, bodies: tuple[str, ...] = BODIES
) -> Path:
    """Write a set; counts: samples of each split, of all bodies together. real: as a set of real images, without noise.

    A shard holds what one body shows in one split, as rendered sets have it.
    """
    for number, body in enumerate(bodies):
        for split, count in counts.items():
            generator = np.random.default_rng([number, len(split), size])
            rows = [_row(generator, body, number, split, index, size) for index in range(number, count, len(bodies))]
            write_whole(folder / "shards" / f"{body}-{split}.parquet", shard_bytes(rows))
    description: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "name": folder.name,
        "classes": list(CLASS_NAMES),
        "noise": None if real else NOISE,
    }
    write_description(folder, description | {"sha256": write_index(folder)})
    return folder


def _row(generator: np.random.Generator, body: str, number: int, split: str, index: int, size: int) -> dict[str, Any]:
    identifiers, ground, terminator = identifiers_of(generator, size)
    mask = stack_masks(identifiers, ground, terminator)
    texture = cv2.GaussianBlur(generator.normal(0.0, 20.0 + 60.0 * number, (size, size)), (0, 0), 1.0)
    image = np.clip(np.where(mask > 0, 90 + 25 * mask + texture, 5), 0, 255).astype(np.uint8)
    return {
        "body": body,
        "split": split,
        "index": index,
        "seed": 1,
        "camera_km": [0.0] * 3,
        "sun_direction": [0.0] * 3,
        "class_pixels": np.bincount(mask.ravel(), minlength=len(CLASS_NAMES)).tolist(),
        "sha256": sample_digest(image, mask, identifiers, ground),
        "image": webp_bytes(image),
        "mask": webp_bytes(mask),
        "identifiers": webp_bytes(identifiers),
        "ground": webp_bytes(ground),
    }
