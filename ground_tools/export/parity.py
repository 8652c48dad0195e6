"""Engine against engine: the closed-form head and whole passes, on images with truth masks.

Both estimate the posterior of the same networks. What two answers of whole passes differ by is noise of the estimate;
what the closed form differs by beyond that is its own error.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from flight.bundle import Bundle
from flight.inference.engine import Engine, Maps
from flight.settings import Settings, default_settings
from ground_tools.foundation.progress import progress
from ground_tools.metrics.calibration import calibration_counts, expected_calibration_error, negative_log_likelihood
from ground_tools.metrics.error_detection import area_under_roc, score_histogram
from ground_tools.metrics.iou import iou_per_class, mean_iou
from ground_tools.pages.blocks import Table
from ground_tools.pages.text import text_table

MOST_MIOU = 0.003
MOST_ENTROPY = 0.02
MOST_RELATIVE = 0.01


@dataclass(frozen=True)
class EngineFigures:
    """Of one engine on a split: miou, ece and auroc (of the entropy, for wrong pixels) as fractions, nll in nats.

    entropy_difference: mean over pixels of the absolute difference of the predictive entropy to the reference, nats;
    entropy_bias: with its sign. class_differs: share of the pixels. frame_ms: median, of interleaved rounds.
    """

    passes: int
    miou: float
    nll: float
    ece: float
    auroc: float
    entropy_difference: float
    entropy_bias: float
    class_differs: float
    frame_ms: float


@dataclass(frozen=True)
class SetParity:
    """A split of a set, with whole passes as the reference. second: other whole passes, with other masks, as many.

    engines: by name, "passes" and "closed_form", each with the passes that were asked for.
    """

    images: int
    split: str
    reference: EngineFigures
    second: EngineFigures
    engines: dict[str, EngineFigures]

    def failures(self) -> list[str]:
        """What the closed form misses of what an export asks of it; empty if nothing."""
        closed, reference = self.engines["closed_form"], self.reference
        found = []
        if abs(closed.miou - reference.miou) > MOST_MIOU:
            found.append(f"mIoU: expected {reference.miou:.4f} within {MOST_MIOU}, got {closed.miou:.4f}")
        beyond = closed.entropy_difference - self.second.entropy_difference
        if beyond > MOST_ENTROPY:
            found.append(f"entropy: expected at most {MOST_ENTROPY} nat beyond the reference's noise, got {beyond:.4f}")
        for name in ("nll", "ece", "auroc"):
            value, exact = getattr(closed, name), getattr(reference, name)
            if abs(value - exact) > MOST_RELATIVE * exact:
                found.append(f"{name}: expected {exact:.4f} within {100 * MOST_RELATIVE:g} %, got {value:.4f}")
        return found


class _Sums:
    """What one engine's answers to the images of a split add up to."""

    def __init__(self) -> None:
        self.maps: list[Maps] = []
        self.seconds: list[float] = []

    def figures(self, truth: np.ndarray, reference: list[Maps], passes: int) -> EngineFigures:
        probability = np.stack([maps.mean_probability for maps in self.maps])
        classes = probability.argmax(axis=1)
        entropy = np.stack([maps.predictive_entropy for maps in self.maps])
        expected = np.stack([maps.predictive_entropy for maps in reference])
        right = classes == truth
        of_pixels = np.moveaxis(probability, 1, 0)
        best = np.stack([maps.mean_probability.argmax(axis=0) for maps in reference])
        iou = iou_per_class(truth, classes.astype(np.uint8), probability.shape[1])
        counts = calibration_counts(of_pixels.max(axis=0), right)
        return EngineFigures(
            passes=passes,
            miou=round(mean_iou(iou), 5),
            nll=round(float(negative_log_likelihood(of_pixels, truth)), 5),
            ece=round(float(expected_calibration_error(counts)), 5),
            auroc=round(area_under_roc(score_histogram(entropy, right)), 5),
            entropy_difference=round(float(np.abs(entropy - expected).mean()), 5),
            entropy_bias=round(float((entropy - expected).mean()), 5),
            class_differs=round(float((classes != best).mean()), 5),
            frame_ms=round(1e3 * statistics.median(self.seconds), 2),
        )


def measure_parity(
    bundle: Bundle, frames: np.ndarray, truth: np.ndarray, split: str, passes: int, reference_passes: int, threads: int
) -> SetParity:
    """Run both engines on every image, turn and turn about.

    Args:
        bundle: with the closed-form head.
        frames: (N, H, W) uint8, of the networks' input size.
        truth: (N, H, W), classes.
        split: named in the result.
        passes: of both engines.
        reference_passes: of the reference, and of a second one for its noise.
        threads: of the engine.
    """
    engine = Engine(bundle, threads)
    settings = default_settings(bundle)
    kinds = {
        "reference": replace(settings, engine="passes", passes=reference_passes),
        "second": replace(settings, engine="passes", passes=reference_passes),
        "passes": replace(settings, engine="passes", passes=passes),
        "closed_form": replace(settings, engine="auto", passes=passes),
    }
    sums = {name: _Sums() for name in kinds}
    for number, frame in enumerate(progress(frames, unit="image", label=split)):
        for name, maps, seconds in _answer(engine, frame, number, kinds):
            sums[name].maps.append(maps)
            sums[name].seconds.append(seconds)
    engine.close()
    reference = sums["reference"].maps
    figures = {name: each.figures(truth, reference, kinds[name].passes) for name, each in sums.items()}
    return SetParity(
        len(frames),
        split,
        figures["reference"],
        figures["second"],
        {name: figures[name] for name in ("passes", "closed_form")},
    )


def _answer(
    engine: Engine, frame: np.ndarray, number: int, kinds: dict[str, Settings]
) -> Iterator[tuple[str, Maps, float]]:
    for place, (name, settings) in enumerate(kinds.items()):
        began = time.perf_counter()
        # Other masks for each, and the same at every call of the command.
        maps = engine.segment(frame, bit_depth=8, centered=True, seed=len(kinds) * number + place, settings=settings)
        yield name, maps, time.perf_counter() - began


def parity_table(results: dict[str, SetParity]) -> str:
    """The figures as text, a row per set and engine."""
    head = ["set", "engine", "passes", "mIoU", "NLL", "ECE", "AUROC", "|dH|", "dH", "class differs", "ms per frame"]
    rows = []
    for name, parity in results.items():
        engines = {"reference": parity.reference, "again": parity.second, **parity.engines}
        for engine, figures in engines.items():
            measured = (figures.miou, figures.nll, figures.ece, figures.auroc)
            differences = (figures.entropy_difference, figures.entropy_bias, figures.class_differs)
            cells = [f"{value:.4f}" for value in (*measured, *differences)]
            rows.append([name, engine, str(figures.passes), *cells, f"{figures.frame_ms:.1f}"])
    return text_table(Table(head, rows))
