"""What every engine is given, and asked for: a frame, masks, and the maps of its passes."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from flight.bundle import Bundle
from flight.inference.centering import center
from flight.inference.engine import Engine
from flight.inference.fusion import fuse, fusion_weights
from flight.inference.masks import Masks, MaskTensor
from flight.inference.orientations import apply_orientation, undo_orientation
from flight.inference.pixels import PixelInput
from flight.inference.uncertainty import Accumulator
from flight.settings import default_settings
from hil.images.folder import list_folder, open_images


@dataclass(frozen=True)
class Answer:
    """probability: (K, H, W) float32; entropy: (H, W) float32, nats; seconds: that it took."""

    probability: np.ndarray
    entropy: np.ndarray
    seconds: float


class FrameEngine(Protocol):
    """What answers frames."""

    def answer(self, frame: np.ndarray, seed: int, passes: int) -> Answer:
        """The maps of a frame, (H, W) uint8 of the networks' size."""


class Runner(Protocol):
    """One network in some library. batch: the most passes that it takes at once."""

    batch: int

    def set(self, images: np.ndarray, masks: list[np.ndarray]) -> None:
        """Give it (N, H, W, C) float32 each, of N passes."""

    def run(self) -> np.ndarray:
        """The scores of these passes, (N, H, W, K) float32."""


class FlightEngine:
    """What flies. kind: of the setting `engine`."""

    def __init__(self, bundle: Bundle, kind: str, threads: int) -> None:
        self._engine = Engine(bundle, threads)
        self._settings = replace(default_settings(bundle), engine=kind)

    def answer(self, frame: np.ndarray, seed: int, passes: int) -> Answer:
        """See FrameEngine; all of it counts, setting the masks too."""
        settings = replace(self._settings, passes=passes)
        began = time.perf_counter()
        maps = self._engine.segment(frame, bit_depth=8, centered=True, seed=seed, settings=settings)
        return Answer(maps.mean_probability, maps.predictive_entropy, time.perf_counter() - began)

    def close(self) -> None:
        """Stop its threads."""
        self._engine.close()


class WholePasses:
    """Whole passes of a bundle's networks, one runner for each, with the masks that flight's passes have.

    Drawing and setting the masks does not count in the time, in favour of the library: its copy of what it is given
    does where the library makes one, and so do fusion, softmax and sums.

    Raises ValueError for a bundle whose networks do not give logits.
    """

    def __init__(self, bundle: Bundle, runners: list[Runner]) -> None:
        self._bundle, self._runners = bundle, runners
        kinds = {network.output for network in bundle.networks}
        if kinds != {"logits"}:
            raise ValueError(f"networks[].output: expected logits, got {', '.join(sorted(kinds))}")
        self._pixels = [PixelInput(network.pixels, bundle.channels) for network in bundle.networks]
        self._masks = [
            Masks(
                [
                    MaskTensor(
                        int(np.prod(mask.shape)), mask.keep_probability, 1 / mask.keep_probability, 0.0, np.dtype("f4")
                    )
                    for mask in network.dropout_masks
                ],
                index,
            )
            for index, network in enumerate(bundle.networks)
        ]
        names = [network.name for network in bundle.networks]
        self._weights = np.ones((len(bundle.classes), 1), dtype=np.float32)
        if bundle.fusion is not None:
            self._weights = fusion_weights(bundle.fusion, names, bundle.gamma)

    def answer(self, frame: np.ndarray, seed: int, passes: int) -> Answer:
        """See FrameEngine."""
        accumulator = Accumulator((len(self._bundle.classes), self._bundle.height, self._bundle.width))
        self._begin(seed, passes)
        step = self._runners[0].batch
        seconds = 0.0
        for first in range(0, passes, step):
            numbers = range(first, min(first + step, passes))
            for network in range(len(self._runners)):
                self._set(network, frame, numbers, passes)
            began = time.perf_counter()
            scores = [runner.run() for runner in self._runners]
            for place, number in enumerate(numbers):
                planes = [self._undo(each[place], number, passes) for each in scores]
                accumulator.add(fuse(planes, self._weights) if len(planes) > 1 else planes[0])
            seconds += time.perf_counter() - began
        began = time.perf_counter()
        mean, entropy, _ = accumulator.result()
        return Answer(mean, entropy, seconds + time.perf_counter() - began)

    def first_pass(self, frame: np.ndarray, seed: int, passes: int) -> list[np.ndarray]:
        """Probabilities of the first pass of each network alone, (H, W, K) float32: to compare libraries by."""
        self._begin(seed, passes)
        found = []
        for network, runner in enumerate(self._runners):
            self._set(network, frame, range(min(runner.batch, passes)), passes)
            scores = runner.run()[0].astype(np.float32)
            exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
            found.append(exponentials / exponentials.sum(axis=-1, keepdims=True))
        return found

    def _begin(self, seed: int, passes: int) -> None:
        for masks in self._masks:
            masks.begin(seed, passes, min(self._bundle.orientations, passes))

    def _set(self, network: int, frame: np.ndarray, numbers: range, passes: int) -> None:
        bundle = self._bundle
        image = center(frame, 8, bundle.height, bundle.width, bundle.channels, locate=False).image
        pixels = self._pixels[network].scale(image)
        cycle = min(bundle.orientations, passes)
        images = np.stack([apply_orientation(pixels, number % cycle) for number in numbers])
        masks = []
        for index, mask in enumerate(bundle.networks[network].dropout_masks):
            values = np.empty((len(numbers), *mask.shape), dtype=np.float32)
            for place, number in enumerate(numbers):
                self._masks[network].fill(index, number, values[place].reshape(-1))
            masks.append(values)
        self._runners[network].set(images, masks)

    def _undo(self, scores: np.ndarray, number: int, passes: int) -> np.ndarray:
        planes = np.ascontiguousarray(scores.transpose(2, 0, 1), dtype=np.float32)
        return undo_orientation(planes, number % min(self._bundle.orientations, passes))


def read_frames(bundle: Bundle, folder: Path, count: int) -> list[np.ndarray]:
    """So many frames of a folder, evenly spread, cropped to the body as flight does: (H, W) uint8 of the networks'
    size.

    Raises ValueError where the folder has fewer images.
    """
    images = open_images(list_folder(folder).files)
    if len(images) < count:
        raise ValueError(f"{folder}: expected {count} images, got {len(images)}")
    frames = []
    for place in range(count):
        image = images.frame((2 * place + 1) * len(images) // (2 * count))
        view = center(image.pixels, image.bit_depth, bundle.height, bundle.width, bundle.channels, locate=True).view
        frames.append(np.rint(255.0 * view).astype(np.uint8))
    return frames


def in_milliseconds(seconds: list[float]) -> float:
    """The median of times, ms."""
    return round(1e3 * statistics.median(seconds), 1)
