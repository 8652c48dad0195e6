"""Engines side by side: each with as many passes as it needs for the error of ours, in interleaved rounds."""

from __future__ import annotations

import math
import statistics
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from flight.bundle import Bundle
from ground_tools.benchmark.child import EngineError, EngineProcess
from ground_tools.benchmark.engines import EXACT, OURS, EngineKind
from ground_tools.benchmark.peers.runners import float_runner
from ground_tools.benchmark.reference import Errors, Reference
from ground_tools.benchmark.workload import FrameEngine, WholePasses
from ground_tools.foundation.machine import Machine
from ground_tools.foundation.progress import progress

_SEED = 11
# What an engine whose passes cannot be compared one by one may be off by, nat.
_MOST_ENTROPY = 0.15


@dataclass(frozen=True)
class EngineRow:
    """An engine's figures; without any where it was not timed.

    Attributes:
        label: for tables.
        problem: why it was not timed; None if it was.
        passes: that it was timed with: for the error of ours, at most as many as ours has.
        equal_error: whether these give an error at most as large as ours; if not, more would be needed.
        median_ms, least_ms, largest_ms: of a frame, over the rounds.
        ratio_to_ours: median over the rounds of its time over ours in the same round; least_ratio, largest_ratio.
        probability_error, entropy_error_nat: to the reference, with these passes, over all rounds.
        pass_difference: of the first pass's probabilities from those in float32 with the same masks, mean.
    """

    label: str
    problem: str | None = None
    passes: int | None = None
    equal_error: bool | None = None
    median_ms: float | None = None
    least_ms: float | None = None
    largest_ms: float | None = None
    ratio_to_ours: float | None = None
    least_ratio: float | None = None
    largest_ratio: float | None = None
    probability_error: float | None = None
    entropy_error_nat: float | None = None
    pass_difference: float | None = None


@dataclass
class _Candidate:
    """An engine under way. errors: with as many passes as ours; None if they are those of float32. In the rounds:
    `seconds`, `measured`.
    """

    kind: EngineKind
    process: EngineProcess | None = None
    problem: str | None = None
    difference: float | None = None
    errors: Errors | None = None
    passes: int = 0
    equal_error: bool = False
    seconds: list[float] = field(default_factory=list)
    measured: list[Errors] = field(default_factory=list)

    def give_up(self, problem: str) -> None:
        """Leave it out of what follows."""
        self.problem = problem
        if self.process is not None:
            self.process.close()
            self.process = None


@dataclass(frozen=True)
class Task:
    """What all engines do: frames with their references, so many passes, threads and rounds."""

    bundle: Bundle
    frames: list[np.ndarray]
    references: list[Reference]
    passes: int
    threads: int
    rounds: int


def compare_engines(
    task: Task, kinds: list[EngineKind], float_errors: dict[int, float], machine: Machine
) -> dict[str, EngineRow]:
    """Load, check, then time the engines.

    Args:
        task: see Task.
        kinds: the engines; OURS among them.
        float_errors: error of the entropy of float32 passes, by their number, see error_curve.
        machine: that this is.

    Returns:
        A row for each engine by its name, in the order of kinds.
    """
    expected = _expected_pass(task)
    with ExitStack() as stack:
        candidates = [_Candidate(kind, problem=kind.missing(machine)) for kind in kinds]
        for candidate in progress(candidates, unit="engine", label="load and check"):
            if candidate.problem is None:
                _load(candidate, task, expected, stack)
        ours = next(candidate for candidate in candidates if candidate.kind.name == OURS)
        if ours.errors is None:
            raise RuntimeError(f"{OURS}: {ours.problem}")
        for candidate in candidates:
            _choose_passes(candidate, ours.errors.entropy, task.passes, float_errors)
        for number in progress(range(task.rounds + 1), unit="round", label="engines"):
            # The first round warms up.
            _run_round(candidates, task, number)
        return {candidate.kind.name: _row(candidate, ours) for candidate in candidates}


def error_curve(engine: FrameEngine, task: Task, numbers: list[int]) -> dict[int, Errors]:
    """Errors by the number of passes, over all frames."""
    curve = {}
    for passes in numbers:
        errors = [
            reference.errors(engine.answer(frame, _SEED, passes))
            for frame, reference in zip(task.frames, task.references, strict=True)
        ]
        curve[passes] = _mean(errors)
    return curve


def passes_for_error(error: float, curve: dict[int, float], most: int) -> int:
    """The least number of passes whose error is at most `error`, by straight lines between the logarithms; at most
    `most`, at least 1.
    """
    numbers = sorted(curve)
    # The noise of a few frames can make an error larger with more passes.
    errors = list(np.minimum.accumulate([curve[number] for number in numbers]))
    if error >= errors[0]:
        return min(numbers[0], most)
    for (low, before), (high, after) in zip(
        zip(numbers, errors, strict=True), zip(numbers[1:], errors[1:], strict=True), strict=False
    ):
        if after <= error:
            share = (math.log(before) - math.log(error)) / (math.log(before) - math.log(after))
            return min(math.ceil(low * (high / low) ** share - 1e-9), most)
    return most


def _expected_pass(task: Task) -> list[np.ndarray]:
    runners = [float_runner(network, task.threads) for network in task.bundle.networks]
    return WholePasses(task.bundle, list(runners)).first_pass(task.frames[0], _SEED, task.passes)


def _load(candidate: _Candidate, task: Task, expected: list[np.ndarray], stack: ExitStack) -> None:
    """Load an engine, and compare a pass of it, and its maps, with the reference."""
    kind = candidate.kind
    try:
        candidate.process = stack.enter_context(EngineProcess(kind.name, task.bundle.path, task.threads))
        found = candidate.process.first_pass(task.frames[0], _SEED, task.passes)
        if found is not None:
            candidate.difference = max(
                float(np.abs(one - other).mean()) for one, other in zip(found, expected, strict=True)
            )
            # Not "larger than": what is not a number is off, too.
            if not candidate.difference <= kind.bound:
                candidate.give_up(
                    f"not timed: a pass's probabilities are off by {candidate.difference:.4f}, bound {kind.bound:g}"
                )
                return
            if candidate.difference <= EXACT:
                return  # its errors are those of float32
        candidate.errors = error_curve(candidate.process, task, [task.passes])[task.passes]
        if not candidate.errors.entropy <= _MOST_ENTROPY:
            candidate.give_up(
                f"not timed: entropy is off by {candidate.errors.entropy:.3f} nat, bound {_MOST_ENTROPY:g}"
            )
    except EngineError as error:
        candidate.give_up(f"failed: {error}")


def _choose_passes(candidate: _Candidate, error: float, passes: int, float_errors: dict[int, float]) -> None:
    """As many passes as give the error of ours; as many as ours where they do not."""
    candidate.passes = passes
    if candidate.kind.name == OURS:
        candidate.equal_error = True
    elif candidate.errors is None or candidate.errors.entropy <= error:
        # Of whole passes with the same masks all libraries have the curve of float32, up to their rounding.
        found = passes_for_error(error, float_errors, passes + 1)
        candidate.passes = min(found, passes)
        candidate.equal_error = found <= passes or candidate.errors is not None


def _run_round(candidates: list[_Candidate], task: Task, number: int) -> None:
    place = number % len(task.frames)
    frame, reference = task.frames[place], task.references[place]
    for candidate in candidates:
        if candidate.process is None:
            continue
        passes = candidate.passes if number or candidate.kind.batched else 1
        try:
            answer = candidate.process.answer(frame, _SEED + 1 + number, passes)
        except EngineError as error:
            candidate.give_up(f"failed: {error}")
            continue
        if number:
            candidate.seconds.append(answer.seconds)
            candidate.measured.append(reference.errors(answer))


def _row(candidate: _Candidate, ours: _Candidate) -> EngineRow:
    if candidate.problem is not None:
        return EngineRow(candidate.kind.label, candidate.problem, pass_difference=_rounded(candidate.difference, 6))
    errors, milliseconds = _mean(candidate.measured), [1e3 * each for each in candidate.seconds]
    ratios = [one / other for one, other in zip(candidate.seconds, ours.seconds, strict=True)]
    return EngineRow(
        candidate.kind.label,
        None,
        candidate.passes,
        candidate.equal_error,
        round(statistics.median(milliseconds), 1),
        round(min(milliseconds), 1),
        round(max(milliseconds), 1),
        round(statistics.median(ratios), 2),
        round(min(ratios), 2),
        round(max(ratios), 2),
        round(errors.probability, 5),
        round(errors.entropy, 4),
        _rounded(candidate.difference, 6),
    )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _mean(errors: list[Errors]) -> Errors:
    return Errors(
        statistics.fmean(each.probability for each in errors), statistics.fmean(each.entropy for each in errors)
    )
