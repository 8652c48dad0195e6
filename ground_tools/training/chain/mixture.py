"""Which sets a stage's batches are made of, and what is trained on each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax

# In the place of a class: a pixel of which the class is not known.
UNKNOWN = 255


class Data(NamedTuple):
    """A split on the accelerator. images: (N, S, S) uint8 to train on, or (N, S, S, 1) float32 network inputs to
    validate with. truth: (N, S, S) uint8 masks, or (N,) int32 bodies. teachers: of each its trained weights and the
    others, as Keras orders them."""

    images: jax.Array
    truth: jax.Array
    teachers: tuple[tuple[list[jax.Array], list[jax.Array]], ...] = ()


@dataclass(frozen=True)
class Part:
    """One set's share of the batches.

    name: of the set. first, images: its rows in the data. batch: images of it in each batch. noisy: not of real images,
    which have noise of their own. labelled: whether its masks are known. teachers: which ones teach on it.
    """

    name: str
    first: int
    images: int
    batch: int
    noisy: bool
    labelled: bool = True
    teachers: tuple[int, ...] = ()


@dataclass(frozen=True)
class StageData:
    """What a stage is trained and validated with.

    parts: of the training data; through the first one's set an epoch goes, of the others images are drawn. validated:
    name and number of images of each set in the validation data. bodies: that there are to tell apart, 0 for a UNet.
    """

    train: Data
    validation: Data
    parts: tuple[Part, ...]
    validated: tuple[tuple[str, int], ...]
    bodies: int = 0

    @property
    def steps_per_epoch(self) -> int:
        return self.parts[0].images // self.parts[0].batch


def divide_batch(batch: int, others: Mapping[str, float]) -> list[int]:
    """How many images of a batch are of the stage's own set and of each other one; at least one of each.

    others: images of a set beside one of the own. Raises ValueError where the batch is too small.
    """
    whole = 1.0 + sum(others.values())
    counts = [max(1, round(batch * weight / whole)) for weight in others.values()]
    own = batch - sum(counts)
    if own < 1:
        raise ValueError(f"batch: expected an image of each of {1 + len(others)} sets at least, got {batch}")
    return [own, *counts]
