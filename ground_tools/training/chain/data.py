"""What stages are trained and validated with, brought to the accelerator once for all that share it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ground_tools.datasets.noise import network_inputs
from ground_tools.training.chain.archive import PackedSet
from ground_tools.training.chain.mixture import Data, Part, StageData, divide_batch
from ground_tools.training.chain.plan import Stage
from ground_tools.training.chain.teachers import Weights, read_teacher
from ground_tools.training.recipes import Recipe


@dataclass(frozen=True)
class _Split:
    """Sets one after the other on the accelerator. counts: images of each, by name."""

    data: Data
    counts: dict[str, int]


class SetsOnDevice:
    """Packed sets on the accelerator."""

    def __init__(self, packed: dict[str, PackedSet]) -> None:
        self._packed = packed
        self._masks: dict[tuple[tuple[str, ...], int], tuple[_Split, _Split]] = {}
        self._bodies: dict[str, StageData] = {}
        self._teachers: dict[Path, Weights] = {}

    def take(self, stage: Stage, teachers: dict[str, Path] | None = None) -> StageData:
        """A stage's data.

        teachers: weights by the names that the stage has for its teachers; those that are missing do not teach.

        Raises ValueError when the recipe does not fit the images, or a teacher is none.
        """
        if stage.recipe.network == "encoder_cnn":
            if stage.dataset not in self._bodies:
                self._bodies[stage.dataset] = self._label_bodies(stage)
            found = self._bodies[stage.dataset]
            _check(stage.recipe, found)
            return replace(found, parts=(replace(found.parts[0], batch=stage.recipe.batch),))
        train, validation = self._split(stage)
        teachers = teachers or {}
        parts = tuple(self._parts(stage, train, list(teachers)))
        size = train.data.images.shape[1]
        for path in teachers.values():
            if path not in self._teachers:
                self._teachers[path] = read_teacher(path, size)
        taught = train.data._replace(teachers=tuple(self._teachers[path] for path in teachers.values()))
        found = StageData(taught, validation.data, parts, tuple(validation.counts.items()))
        _check(stage.recipe, found)
        return found

    def _label_bodies(self, stage: Stage) -> StageData:
        packed = self._packed[stage.dataset]
        c1 = packed.body_set()
        inputs = _inputs(c1.images[c1.validation], packed.noise)
        part = Part(packed.name, 0, len(c1.train), stage.recipe.batch, packed.noise is not None)
        return StageData(
            _to_device(c1.images[c1.train], c1.labels[c1.train]),
            _to_device(inputs, c1.labels[c1.validation]),
            (part,),
            ((packed.name, len(inputs)),),
            len(c1.names),
        )

    def _split(self, stage: Stage) -> tuple[_Split, _Split]:
        """Training and validation data of a stage's sets."""
        key = (stage.sets, stage.recipe.minimum_boulder_pixels)
        if key not in self._masks:
            sets = {name: self._packed[name] for name in stage.sets}
            rule = stage.recipe.minimum_boulder_pixels
            train = {name: each.pixels("train", rule) for name, each in sets.items()}
            validation = {name: each.pixels("validation", rule) for name, each in sets.items() if each.labelled}
            inputs = [_inputs(pixels.images, self._packed[name].noise) for name, pixels in validation.items()]
            self._masks[key] = (
                _Split(
                    _to_device(*(np.concatenate([getattr(p, f) for p in train.values()]) for f in ("images", "masks"))),
                    {name: len(pixels) for name, pixels in train.items()},
                ),
                _Split(
                    _to_device(np.concatenate(inputs), np.concatenate([p.masks for p in validation.values()])),
                    {name: len(pixels) for name, pixels in validation.items()},
                ),
            )
        return self._masks[key]

    def _parts(self, stage: Stage, train: _Split, teachers: list[str]) -> list[Part]:
        first, parts = 0, []
        for (name, count), batch in zip(train.counts.items(), divide_batch(stage.recipe.batch, stage.mix), strict=True):
            taught = tuple(teachers.index(t) for t in stage.teachers.get(name, ()) if t in teachers)
            packed = self._packed[name]
            parts.append(Part(name, first, count, batch, packed.noise is not None, packed.labelled, taught))
            first += count
        return parts


def _check(recipe: Recipe, data: StageData) -> None:
    """Raise ValueError for a recipe that does not fit the images."""
    count, size = data.parts[0].images, data.train.images.shape[1]
    if recipe.network == "unet" and recipe.head == "windowed" and recipe.window != size:
        raise ValueError(f"recipe {recipe.name}: window: expected {size}, the whole image, got {recipe.window}")
    if recipe.augmentation.photometric == 0.0 and len({part.noisy for part in data.parts}) > 1:
        raise ValueError(
            f"recipe {recipe.name}: augmentation.photometric: expected more than 0 for sets with and without noise"
        )
    if data.parts[0].batch > count:
        raise ValueError(f"recipe {recipe.name}: batch: expected at most {count}, the images, got {recipe.batch}")


def _to_device(images: np.ndarray, truth: np.ndarray) -> Data:
    return Data(jax.device_put(images), jax.device_put(truth))


def _inputs(images: np.ndarray, noise: dict[str, Any] | None) -> np.ndarray:
    """Network inputs with the noise that is theirs in flight, too; by all cores, since it takes a millisecond each."""
    parts = np.array_split(images, max(1, min(len(images), 4 * (os.cpu_count() or 1))))
    with ThreadPoolExecutor() as pool:
        return np.concatenate(list(pool.map(lambda part: network_inputs(part, noise), parts)))
