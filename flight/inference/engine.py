"""The engine: a bundle's networks, ready to turn frames into maps."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flight.bundle import Bundle
from flight.inference.centering import Affine, center
from flight.inference.fusion import fuse, fusion_weights
from flight.inference.network import Network, load_networks
from flight.inference.quality import entropy_is_high, frame_flags
from flight.inference.uncertainty import Accumulator, enhanced
from flight.settings import Settings


@dataclass(frozen=True)
class Maps:
    """What a frame gives. H, W: the networks' input; K: classes.

    mean_probability: (K, H, W) float32. predictive_entropy, mutual_information: (H, W) float32, nats.
    class_map: (H, W) uint8, 0..K-1. enhanced_class_map: the same, K where uncertain or outside the sensor
    frame. map_to_sensor: see centering. flags: of the ICD's catalogue. timing_ms: center, passes, fuse.
    """

    mean_probability: NDArray[np.float32]
    predictive_entropy: NDArray[np.float32]
    mutual_information: NDArray[np.float32]
    class_map: NDArray[np.uint8]
    enhanced_class_map: NDArray[np.uint8]
    map_to_sensor: Affine
    passes_used: int
    flags: tuple[str, ...]
    timing_ms: dict[str, float]


class Engine:
    """A bundle's networks, loaded. One frame at a time.

    threads: cores to use. With as many threads as networks or more, the networks of a pass run side by side,
    which wastes less than giving all threads to one network after the other.
    """

    def __init__(self, bundle: Bundle, threads: int = 2) -> None:
        self.bundle = bundle
        self.threads = threads
        count = len(bundle.networks)
        self._parallel = count > 1 and threads >= count
        each = max(threads // count, 1) if self._parallel else threads
        self._networks = load_networks(bundle, each)
        self._pool = ThreadPoolExecutor(count if self._parallel else 1, thread_name_prefix="network")
        self._pass_seconds = 0.0

    def close(self) -> None:
        """Stop the engine's threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def masks_checksum(self) -> int:
        """CRC-32 over all the dropout masks' pools: a frame uses only stretches of them."""
        checksum = 0
        for network in self._networks:
            checksum = network.masks_checksum(checksum)
        return checksum

    def segment(
        self,
        pixels: NDArray[np.uint8] | NDArray[np.uint16],
        *,
        bit_depth: int,
        centered: bool,
        seed: int,
        settings: Settings,
        started: float | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Maps:
        """Turn one frame into maps. The same frame, bundle, seed and settings give the same bits.

        pixels: (H, W) or (H, W, 3) uint8 or uint16. centered: the camera says that the body is in the middle
        and the frame is to be taken whole. seed: of the dropout masks, 0..2^64-1. started: monotonic time from
        which deadline_ms counts. progress: called with the number of passes done, first with 0 after centering.
        Raises ValueError for a mode that the bundle does not have.
        """
        began = time.perf_counter()
        if settings.mode not in self.bundle.modes:
            raise ValueError(f"mode: expected {' | '.join(self.bundle.modes)}, got {settings.mode}")
        bundle = self.bundle
        located = settings.centering == "auto" and not centered
        view = center(pixels, bit_depth, bundle.height, bundle.width, bundle.channels, located)
        networks, weights = self._chosen(settings)
        flags = frame_flags(view.grey, view.search, settings)
        if located and view.search.box is None:
            flags.append("body_not_found")
        passes = settings.passes
        if not any(network.stochastic for network in networks):
            passes = 1
            flags.append("single_pass")
        centered_at = time.perf_counter()
        if progress is not None:
            progress(0)

        for network in networks:
            network.begin(view.image, seed, passes)
        accumulator = Accumulator((len(bundle.classes), bundle.height, bundle.width))
        fusing = 0.0
        pending = self._submit(networks, 0)
        for number in range(passes):
            pass_began = time.perf_counter()
            scores = [future.result() for future in pending]
            self._pass_seconds = time.perf_counter() - pass_began
            last = number + 1 == passes
            if not last and self._would_overrun(settings, number + 1, started):
                flags.append("deadline")
                last = True
            if not last:
                pending = self._submit(networks, number + 1)
            fuse_began = time.perf_counter()
            accumulator.add(fuse(scores, weights) if len(scores) > 1 else scores[0])
            fusing += time.perf_counter() - fuse_began
            if progress is not None:
                progress(number + 1)
            if last:
                break
        passed_at = time.perf_counter()

        mean, entropy, mutual = accumulator.result()
        class_map = mean.argmax(axis=0).astype(np.uint8)
        marked = enhanced(class_map, entropy, settings.uncertainty_threshold, len(bundle.classes))
        marked[~view.seen] = len(bundle.classes)
        if view.seen.any() and entropy_is_high(float(entropy[view.seen].mean()), bundle.validation_entropy, settings):
            flags.append("high_entropy")
        done = time.perf_counter()
        return Maps(
            mean_probability=mean,
            predictive_entropy=entropy,
            mutual_information=mutual,
            class_map=class_map,
            enhanced_class_map=marked,
            map_to_sensor=view.map_to_sensor,
            passes_used=accumulator.passes,
            flags=tuple(flags),
            timing_ms={
                "center": 1e3 * (centered_at - began),
                "passes": 1e3 * (passed_at - centered_at - fusing),
                "fuse": 1e3 * (fusing + done - passed_at),
            },
        )

    def _chosen(self, settings: Settings) -> tuple[list[Network], NDArray[np.float32]]:
        """The networks that a mode runs, and the fusion weights."""
        rule = self.bundle.fusion
        if rule is not None and settings.mode == rule.mode:
            roles = [network.role for network in self._networks]
            return self._networks, fusion_weights(rule, roles, settings.gamma)
        single = [network for network in self._networks if network.role == settings.mode]
        return single, np.ones((len(self.bundle.classes), 1), dtype=np.float32)

    def _submit(self, networks: list[Network], number: int) -> list[Future[NDArray[np.float32]]]:
        return [self._pool.submit(network.run, number) for network in networks]

    def _would_overrun(self, settings: Settings, done: int, started: float | None) -> bool:
        if settings.deadline_ms == 0 or started is None or done < min(settings.minimum_passes, settings.passes):
            return False
        return time.monotonic() - started + self._pass_seconds > settings.deadline_ms * 1e-3
