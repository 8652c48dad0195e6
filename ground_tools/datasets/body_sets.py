"""C-1: the images of D-1 labelled with their body, for training the encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ground_tools.datasets.store import load

# 10880 of D-1's 13600 images, as in the reference paper.
TRAINING_SHARE = 0.8
_SHUFFLE_SEED = 20_101


@dataclass(frozen=True)
class BodySet:
    """Images and the bodies that they show.

    images: (N, H, W) uint8, without noise. labels: (N,) int32, index into names. train, validation: (M,) int64, rows.
    """

    images: np.ndarray
    labels: np.ndarray
    names: list[str]
    train: np.ndarray
    validation: np.ndarray


def derive_body_set(path: Path) -> BodySet:
    """Derive C-1 from a set such as D-1: all of its splits, shuffled by a fixed seed, four fifths for training.

    Raises ValueError naming the set when it is not finished or shows fewer than two bodies.
    """
    loaded = load(path)
    return label_bodies(str(path), loaded.images, loaded.bodies)


def label_bodies(name: str, images: np.ndarray, bodies: np.ndarray) -> BodySet:
    """C-1 of the images of a set in its order. name: of the set, for messages. bodies: (N,) names.

    Raises ValueError naming the set when it shows fewer than two bodies.
    """
    names = sorted(set(bodies.tolist()))
    if len(names) < 2:
        raise ValueError(f"dataset {name}: expected several bodies to tell apart, got {', '.join(names)}")
    labels = np.searchsorted(names, bodies).astype(np.int32)
    order = np.random.default_rng(_SHUFFLE_SEED).permutation(len(labels))
    split = round(TRAINING_SHARE * len(labels))
    return BodySet(images, labels, names, order[:split], order[split:])
