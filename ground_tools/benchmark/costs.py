"""What a frame costs by the number of passes, the size of the image and the number of threads."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import cv2
import numpy as np

from flight.bundle import Bundle
from ground_tools.benchmark.comparison import Task
from ground_tools.benchmark.sizes import resize_bundle
from ground_tools.benchmark.workload import FlightEngine, in_milliseconds
from ground_tools.foundation.progress import progress

_SEED = 77
# The values of the setting `engine`.
KINDS = ("auto", "passes")


@dataclass(frozen=True)
class Cost:
    """Of a frame. by: what it depends on, such as the number of passes. entropy_error_nat: where it was measured."""

    by: int
    median_ms: float
    entropy_error_nat: float | None = None


Curves = dict[str, list[Cost]]


def by_passes(task: Task, numbers: dict[str, list[int]]) -> Curves:
    """Cost and error by the number of passes. numbers: of passes, by engine, "auto" or "passes"."""
    found: Curves = {}
    for kind, wanted in numbers.items():
        engine = FlightEngine(task.bundle, kind, task.threads)
        # Once with each number before: the banks of masks are drawn when it changes.
        engine.answer(task.frames[0], _SEED, 1)
        for passes in progress(wanted, unit="number", label=f"cost by passes, {kind}"):
            seconds, errors = [], []
            for place, (frame, reference) in enumerate(zip(task.frames, task.references, strict=True)):
                engine.answer(frame, _SEED, min(passes, 2))
                answer = engine.answer(frame, _SEED + place, passes)
                seconds.append(answer.seconds)
                errors.append(reference.errors(answer).entropy)
            cost = Cost(passes, in_milliseconds(seconds), round(statistics.fmean(errors), 4))
            found.setdefault(kind, []).append(cost)
        engine.close()
    return found


def by_size(task: Task, factors: list[float], repeats: int) -> Curves:
    """Cost by the height of the image, at the task's number of passes."""
    found: Curves = {kind: [] for kind in KINDS}
    for factor in progress(factors, unit="size", label="cost by size"):
        frames = [
            cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR) for frame in task.frames
        ]
        images = np.stack([np.repeat(frame[:, :, None], task.bundle.channels, axis=2) for frame in frames])
        bundle = task.bundle
        if factor != 1.0:
            bundle = resize_bundle(bundle, factor, images.astype(np.float32) / np.float32(255.0))
        for kind in KINDS:
            cost = _time(bundle, kind, task.threads, frames[0], task.passes, repeats)
            found[kind].append(Cost(bundle.height, cost))
    return found


def by_threads(task: Task, numbers: list[int], repeats: int) -> Curves:
    """Cost by the number of threads, at the task's number of passes."""
    found: Curves = {kind: [] for kind in KINDS}
    for threads in progress(numbers, unit="number", label="cost by threads"):
        for kind in KINDS:
            cost = _time(task.bundle, kind, threads, task.frames[0], task.passes, repeats)
            found[kind].append(Cost(threads, cost))
    return found


def _time(bundle: Bundle, kind: str, threads: int, frame: np.ndarray, passes: int, repeats: int) -> float:
    engine = FlightEngine(bundle, kind, threads)
    try:
        engine.answer(frame, _SEED, passes if kind == "auto" else 1)
        return in_milliseconds([engine.answer(frame, _SEED + number, passes).seconds for number in range(repeats)])
    finally:
        engine.close()
