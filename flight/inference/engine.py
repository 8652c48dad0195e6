"""The engine: a bundle's networks, ready to turn frames into maps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.bundle import Bundle
from flight.inference.centering import Affine, CenteredImage, center
from flight.inference.checksums import ArrayChecksum
from flight.inference.closed_form import load_closed_forms
from flight.inference.enhanced_map import enhance_class_map
from flight.inference.fusion import fuse, fusion_weights
from flight.inference.hazard import find_dark
from flight.inference.head_noise import HeadNoise
from flight.inference.input_monitor import read_monitor
from flight.inference.network import Network, load_networks
from flight.inference.quality import entropy_is_high, find_flags
from flight.inference.tiles import PassNetwork, TiledNetwork, tile_networks
from flight.inference.uncertainty import Accumulator
from flight.settings import Settings, default_settings

__all__ = ["Engine", "Maps", "Settings", "default_settings"]


@dataclass(frozen=True)
class Maps:
    """The answer to one frame. H, W: size of the networks' input; K: number of classes.

    Attributes:
        mean_probability: (K, H, W) float32, softmax averaged over the passes.
        predictive_entropy: (H, W) float32, nats.
        mutual_information: (H, W) float32, nats.
        class_map: (H, W) uint8, the most probable class, 0..K-1; K outside the sensor frame, where all classes are
            equally probable.
        enhanced_class_map: (H, W) uint8, class_map with K also where uncertain, see enhanced_map.
        map_to_sensor: affine from map pixels to sensor pixels, see CenteredImage.
        passes_used: passes run; fewer than the settings' if the deadline came first or no network has dropout.
        engine: "passes" for whole passes; "closed_form" if the head's dropout was computed in closed form.
        flags: names from the ICD's catalogue.
        timing_ms: milliseconds spent on "center", "passes" and "fuse".
    """

    mean_probability: NDArray[np.float32]
    predictive_entropy: NDArray[np.float32]
    mutual_information: NDArray[np.float32]
    class_map: NDArray[np.uint8]
    enhanced_class_map: NDArray[np.uint8]
    map_to_sensor: Affine
    passes_used: int
    engine: str
    flags: tuple[str, ...]
    timing_ms: dict[str, float]


@dataclass(frozen=True)
class _FramePlan:
    """What to run on one frame. weights: (K, N) float32, see fusion_weights. flags: found before the first pass.

    samples: draws of the head's noise per pass, 0 for whole passes.
    """

    image: CenteredImage
    networks: list[PassNetwork]
    weights: NDArray[np.float32]
    passes: int
    samples: int
    flags: list[str]


class Engine:
    """A bundle's networks, loaded. Processes one frame at a time; not thread-safe.

    Args:
        bundle: a validated bundle.
        threads: cores to use. With at least as many threads as networks, the networks of a pass run in parallel, which
            uses the cores better than all threads on one network after the other.
        accelerator: that the bundle's files are compiled for and run on, "edgetpu"; None for the processor.

    Raises:
        BundleError: a file of the bundle is not the network that the manifest describes, or not compiled for the
            accelerator. Whole networks of a bundle in closed form are loaded when first needed, and it is raised then.
        LibraryError: the TFLite runtime or the accelerator does not work here.

    Attributes:
        engine_used: what the latest passes ran with, as of Maps.engine; "" before the first.
    """

    def __init__(self, bundle: Bundle, threads: int = 2, accelerator: str | None = None) -> None:
        self.bundle = bundle
        self.threads = threads
        count = len(bundle.networks)
        self._parallel = count > 1 and threads >= count
        self._monitor = read_monitor(bundle)
        self._accelerator = accelerator
        self._threads_each = max(threads // count, 1) if self._parallel else threads
        # Those of the networks that have one, by name; first, since they need the accelerator where there is one.
        closed_forms = load_closed_forms(bundle, self._threads_each, accelerator)
        self._closed_forms = {network.name: network for network in tile_networks(bundle, closed_forms.values())}
        # None where frames can do without, and none has asked for them: they take more memory than all else.
        self._whole: list[Network | TiledNetwork] | None = None
        if not bundle.in_closed_form:
            self._whole = self._load_whole()
        shape = (len(bundle.classes), bundle.height, bundle.width)
        self._noise = HeadNoise(shape) if self._closed_forms else None
        self._scratch = np.empty(shape, dtype=np.float32)
        self._used: list[PassNetwork] = []
        self._pool = ThreadPoolExecutor(count if self._parallel else 1, thread_name_prefix="network")
        self._pass_seconds = 0.0
        self.engine_used = ""

    def close(self) -> None:
        """Stop the engine's threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def whole_passes_loaded(self) -> bool:
        """Whether whole networks are in memory, beside those whose head is in closed form."""
        return self._whole is not None

    def load_whole_passes(self, progress: Callable[[int], None] | None = None) -> None:
        """Load whole networks, if they are not.

        Args:
            progress: called with 0 after each.

        Raises:
            BundleError: as of the constructor, or their files have changed in memory since they were verified.
        """
        if self._whole is None:
            self.bundle.verify()
            self._whole = self._load_whole(progress)

    def _load_whole(self, progress: Callable[[int], None] | None = None) -> list[Network | TiledNetwork]:
        networks = load_networks(self.bundle, self._threads_each, self._accelerator, progress)
        return tile_networks(self.bundle, networks)

    def release_whole_passes(self) -> bool:
        """Give back the memory of whole networks where frames can do without; they are loaded again when needed.

        Returns:
            Whether there was something to give back.
        """
        if self._whole is None or not self.bundle.in_closed_form:
            return False
        self._whole, self._used = None, []
        return True

    @property
    def _networks(self) -> list[Network | TiledNetwork]:
        """The whole networks, loaded when first asked for; raises as load_whole_passes."""
        self.load_whole_passes()
        assert self._whole is not None
        return self._whole

    @property
    def constants(self) -> list[NDArray[Any]]:
        """Arrays that never change once the engine is made."""
        return [] if self._noise is None else self._noise.constants

    @property
    def kinds(self) -> tuple[str, ...]:
        """The values of the setting `engine` that differ for this bundle."""
        return ("auto", "passes") if self._closed_forms else ("auto",)

    def masks_checksum(self) -> int:
        """CRC-32 over the banks of the last frame's dropout masks, of which it used only parts."""
        checksum = 0
        for network in self._used:
            checksum = network.masks.checksum(checksum)
        return checksum

    def check_outputs(self, pixels: NDArray[np.uint8], progress: Callable[[int], None] | None = None) -> None:
        """Compare what each whole network gives for an image with what the manifest says of its output.

        Args:
            pixels: (H, W) or (H, W, 3) uint8, taken whole.
            progress: called with 0 after each.

        Raises:
            BundleError: they do not fit.
        """
        bundle = self.bundle
        image = center(pixels, 8, bundle.height, bundle.width, bundle.channels, locate=False).image
        for network in self._networks:
            network.check_output(image)
            if progress is not None:
                progress(0)

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

        Args:
            pixels: (H, W) or (H, W, 3), uint8 or uint16.
            bit_depth: bits per channel in use.
            centered: the body is in the middle of the frame: take the whole frame.
            seed: of the dropout masks, 0..2^64-1.
            settings: how to process the frame.
            started: time.monotonic() from which deadline_ms counts; None for no deadline.
            progress: called with the number of passes done: 0 after centering, then after each pass.

        Raises:
            ValueError: the bundle does not have the settings' mode.
            UpsetError: what the passes used was not the same at their end.
        """
        began = time.perf_counter()
        plan = self._plan_frame(pixels, bit_depth, centered, settings)
        centered_at = time.perf_counter()
        accumulator, passes, fuse_seconds = self._run_passes(plan, seed, settings, started, progress)
        passed_at = time.perf_counter()
        maps = self._make_maps(plan, accumulator, passes, settings)
        done = time.perf_counter()
        timing_ms = {
            "center": 1e3 * (centered_at - began),
            "passes": 1e3 * (passed_at - centered_at - fuse_seconds),
            "fuse": 1e3 * (fuse_seconds + done - passed_at),
        }
        return replace(maps, timing_ms=timing_ms)

    def _plan_frame(
        self, pixels: NDArray[np.uint8] | NDArray[np.uint16], bit_depth: int, centered: bool, settings: Settings
    ) -> _FramePlan:
        """Center the frame, and find out which networks and how many passes to run on it."""
        bundle = self.bundle
        if settings.mode not in bundle.modes:
            raise ValueError(f"mode: expected {' | '.join(bundle.modes)}, got {settings.mode}")
        locate = settings.centering == "auto" and not centered
        image = center(pixels, bit_depth, bundle.height, bundle.width, bundle.channels, locate)
        names, weights = self._select_networks(settings)
        networks = self._choose_engine(names, settings)
        flags = find_flags(image, locate, self._monitor, settings)
        passes = settings.passes
        if not any(network.stochastic for network in networks):
            passes = 1
            flags.append("single_pass")
        samples = settings.head_samples if networks[0].in_closed_form else 0
        return _FramePlan(image, networks, weights, passes, samples, flags)

    def _run_passes(
        self,
        plan: _FramePlan,
        seed: int,
        settings: Settings,
        started: float | None,
        progress: Callable[[int], None] | None,
    ) -> tuple[Accumulator, int, float]:
        """Run the passes, fewer if the deadline requires it; also returns how many, and the seconds spent on fusion.

        The next pass is already running while the scores of the last one are fused and added up.
        """
        if progress is not None:
            progress(0)
        self._used = plan.networks
        self.engine_used = "closed_form" if plan.samples else "passes"
        for network in plan.networks:
            network.begin(plan.image.image, seed, plan.passes)
        if plan.samples:
            self._begin_noise(plan, seed)
        used = [array for network in plan.networks for array in network.frame_arrays]
        noise = self._noise.frame_arrays if self._noise is not None and plan.samples else []
        checksum = ArrayChecksum([plan.weights, plan.image.seen, *used, *noise], "what the passes use")
        accumulator = Accumulator((len(self.bundle.classes), self.bundle.height, self.bundle.width))
        fuse_seconds, number, ended = 0.0, 0, time.perf_counter()
        pending = self._submit_pass(plan.networks, 0)
        try:
            for number in range(plan.passes):
                scores = [future.result() for future in pending]
                # From the end of one pass to that of the next: on a processor of one core the fusion of the last one
                # takes its time from it.
                began, ended = ended, time.perf_counter()
                self._pass_seconds = ended - began
                last = number + 1 == plan.passes or self._would_overrun(settings, number + 1, started)
                if not last:
                    pending = self._submit_pass(plan.networks, number + 1)
                fuse_began = time.perf_counter()
                self._add_pass(plan, accumulator, fuse(scores, plan.weights) if len(scores) > 1 else scores[0], number)
                fuse_seconds += time.perf_counter() - fuse_began
                if progress is not None:
                    progress(number + 1)
                if last:
                    break
        finally:
            # After an error of one network the others may still run: they must not meet the next frame's.
            wait(pending)
        checksum.check()
        for network in plan.networks:
            network.check()
        return accumulator, number + 1, fuse_seconds

    def _begin_noise(self, plan: _FramePlan, seed: int) -> None:
        """Find the covariance of the head's noise, and set it."""
        assert self._noise is not None
        pending = [
            self._pool.submit(network.find_covariance) for network in plan.networks if not isinstance(network, Network)
        ]
        try:
            covariances = [future.result() for future in pending]
        finally:
            wait(pending)
        self._noise.begin(covariances, plan.weights, seed, plan.passes, plan.samples)

    def _add_pass(self, plan: _FramePlan, accumulator: Accumulator, scores: NDArray[np.float32], number: int) -> None:
        """Add the scores of one pass: as they are, or with draws of the head's noise."""
        if not plan.samples:
            accumulator.add(scores)
            return
        assert self._noise is not None
        for sample in range(0, plan.samples, 2):
            noise = self._noise.draw(number, sample // 2)
            accumulator.add(np.add(scores, noise, out=self._scratch))
            if sample + 1 < plan.samples:
                accumulator.add(np.subtract(scores, noise, out=self._scratch))

    def _make_maps(self, plan: _FramePlan, accumulator: Accumulator, passes: int, settings: Settings) -> Maps:
        """The maps of the passes run so far, without timing_ms."""
        bundle, seen, classes = self.bundle, plan.image.seen, len(self.bundle.classes)
        mean, entropy, mutual = accumulator.result()
        class_map = mean.argmax(axis=0).astype(np.uint8)
        if not seen.all():
            # The networks say something of the padding, too; nothing is known of it.
            class_map[~seen] = classes
            mean[:, ~seen], entropy[~seen], mutual[~seen] = 1.0 / classes, math.log(classes), 0.0
        known = seen & accumulator.known
        dark = find_dark(plan.image.view)
        enhanced_class_map = enhance_class_map(bundle, settings, class_map, entropy, dark, known)
        flags = [*plan.flags]
        if passes < plan.passes:
            flags.append("deadline")
        if seen.any() and entropy_is_high(float(entropy[seen].mean()), bundle.validation_entropy, settings):
            flags.append("high_entropy")
        return Maps(
            mean_probability=mean,
            predictive_entropy=entropy,
            mutual_information=mutual,
            class_map=class_map,
            enhanced_class_map=enhanced_class_map,
            map_to_sensor=plan.image.map_to_sensor,
            passes_used=passes,
            engine=self.engine_used,
            flags=tuple(flags),
            timing_ms={},
        )

    def _select_networks(self, settings: Settings) -> tuple[list[str], NDArray[np.float32]]:
        """Names of the networks that the settings' mode runs, and their fusion weights."""
        rule = self.bundle.fusion
        if rule is not None and settings.mode == rule.mode:
            names = [network.name for network in self.bundle.networks]
            return names, fusion_weights(rule, names, settings.gamma)
        return [settings.mode], np.ones((len(self.bundle.classes), 1), dtype=np.float32)

    def _choose_engine(self, names: list[str], settings: Settings) -> list[PassNetwork]:
        """The networks of these names: with the head in closed form if the settings allow it and all have it."""
        if settings.engine == "auto" and all(name in self._closed_forms for name in names):
            return [self._closed_forms[name] for name in names]
        return [network for network in self._networks if network.name in names]

    def _submit_pass(self, networks: list[PassNetwork], number: int) -> list[Future[NDArray[np.float32]]]:
        """Start pass `number` of each network; returns their scores to come."""
        return [self._pool.submit(network.run, number) for network in networks]

    def _would_overrun(self, settings: Settings, done: int, started: float | None) -> bool:
        """Whether one more pass, as long as from the last one but one to the last, would end after the deadline."""
        if settings.deadline_ms == 0 or started is None or done < min(settings.minimum_passes, settings.passes):
            return False
        return time.monotonic() - started + self._pass_seconds > settings.deadline_ms * 1e-3
