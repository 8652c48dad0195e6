"""Measures how long frames take on this board, and proposes parameters for a rate or a deadline.

Up to as many passes as the networks see orientations of the image, a pass costs the features of one more orientation;
from then on each costs the same. So frames of one pass, of as many as orientations, and of some more are timed, and the
time for others lies on the straight lines between and beyond. Every round has a frame of each kind, so that what slows
the board for a while slows all of them.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.bundle import Bundle
from flight.files import write_whole
from flight.inference.engine import Engine
from flight.inference.self_test import decode_test_image
from flight.machine import describe_machine, find_workers, read_memory_mib, read_throttling
from flight.schema import check
from flight.service.statistics import cpu_temperature_c, resident_memory_bytes
from flight.settings import Settings, default_settings

# Passes beyond the number of orientations, from which the time of one more follows.
_MORE_PASSES = 4
# What the service adds to the engine's time, and what a board's load may take: this share of a period is left free.
RESERVE = 0.15
# Of the memory that is free, all engines together may take this share; else one after the other is loaded.
_MEMORY_SHARE = 0.5
# A shorter time than another's by less than this is none: fewer threads are better then.
_SAME = 0.05
# Of the cores, what other programs may use without a word.
_QUIET = 0.25
_MIB = 1 << 20


@dataclass(frozen=True)
class Choice:
    """How frames may be computed.

    Attributes:
        engine: the parameter.
        kind: what that is with this bundle, "closed_form" or "passes".
        threads: of `inference.threads`.
    """

    engine: str
    kind: str
    threads: int


@dataclass
class Figures:
    """What one choice takes.

    Attributes:
        choice: how frames are computed.
        load_ms: to load the networks for the first time.
        times: ms that frames took, one a round, by their passes.
    """

    choice: Choice
    load_ms: float
    times: dict[int, list[float]]

    @property
    def pass_ms(self) -> float:
        """Of one pass more than were timed; never below zero, as noise may have it."""
        return max(self._slope(len(self.times) - 2), 0.0) if len(self.times) > 1 else 0.0

    def frame_ms(self, passes: int) -> float:
        """A frame of so many passes."""
        known = sorted(self.times)
        if len(known) == 1 or passes >= known[-1]:
            return self._median(known[-1]) + max(passes - known[-1], 0) * self.pass_ms
        part = max(index for index, number in enumerate(known) if number <= passes)
        return self._median(known[part]) + (passes - known[part]) * self._slope(part)

    @property
    def spread(self) -> tuple[float, float]:
        """The shortest and the longest of the frames with most passes, over their median."""
        longest = self.times[max(self.times)]
        median = statistics.median(longest)
        return min(longest) / median, max(longest) / median

    def _median(self, passes: int) -> float:
        return statistics.median(self.times[passes])

    def _slope(self, part: int) -> float:
        """ms per pass between the numbers of passes `part` and the next: the median of the rounds."""
        few, many = sorted(self.times)[part : part + 2]
        return statistics.median(
            (long - short) / (many - few) for short, long in zip(self.times[few], self.times[many], strict=True)
        )

    def plain(self, passes: int) -> dict[str, Any]:
        """As values for JSON. passes: of the frame whose time is stated, too."""
        least, most = self.spread
        return {
            **asdict(self.choice),
            "load_ms": round(self.load_ms, 1),
            "one_pass_ms": round(self.frame_ms(1), 2),
            "pass_ms": round(self.pass_ms, 2),
            "passes": passes,
            "frame_ms": round(self.frame_ms(passes), 2),
            "spread": [round(least, 3), round(most, 3)],
        }


@dataclass(frozen=True)
class Proposal:
    """What to configure.

    Attributes:
        choice: how frames are computed.
        passes: dropout passes.
        deadline_ms: after which no further pass begins, so that the rate holds on a board that is slower for a while;
            0: none.
        frame_ms: what the engine then takes.
        reached: whether that is within what was wanted.
    """

    choice: Choice
    passes: int
    deadline_ms: int
    frame_ms: float
    reached: bool

    @property
    def rate_hz(self) -> float:
        """Frames per second that the service then answers, one after the other."""
        return 1e3 * (1.0 - RESERVE) / max(self.frame_ms, 1e-3)

    def snippet(self) -> str:
        """The lines of flight.toml."""
        lines = ["[parameters]", f'engine = "{self.choice.engine}"', f"passes = {self.passes}"]
        if self.deadline_ms:
            lines.append(f"deadline_ms = {self.deadline_ms}")
        return "\n".join([*lines, "[inference]", f"threads = {self.choice.threads}"])

    def plain(self) -> dict[str, Any]:
        """As values for JSON."""
        parameters = {"engine": self.choice.engine, "passes": self.passes, "deadline_ms": self.deadline_ms}
        return {
            "parameters": parameters,
            "inference": {"threads": self.choice.threads},
            "frame_ms": round(self.frame_ms, 2),
            "rate_hz": round(self.rate_hz, 3),
            "reached": self.reached,
        }


def choose_threads(cores: int) -> list[int]:
    """The numbers of threads to try on so many cores: 1, 2, 4, ... and all of them."""
    return sorted({2**power for power in range(7) if 2**power <= cores} | {min(cores, 64)})


def measure(
    bundle: Bundle, mode: str, threads: Sequence[int], rounds: int, tell: Callable[[str], None]
) -> list[Figures]:
    """Measure every engine of a bundle with every number of threads.

    Args:
        bundle: a validated bundle.
        mode: in which frames are processed.
        threads: numbers of them.
        rounds: frames of each kind.
        tell: told how far it is.

    Raises:
        BundleError, LibraryError: see Engine.
    """
    before, free_mib = resident_memory_bytes(), read_memory_mib().get("MemAvailable", 0)
    bench = _Bench(bundle, mode, rounds, tell)
    bench.load(threads[0])
    each = max(resident_memory_bytes() - before, _MIB)
    together = each * len(threads) <= _MEMORY_SHARE * free_mib * _MIB
    if together:
        for number in threads[1:]:
            bench.load(number)
        bench.run_rounds()
        return bench.figures
    tell(f"with {free_mib} MiB of memory free, numbers of threads are measured one after the other")
    for number in threads:
        if number != threads[0]:
            bench.load(number)
        bench.run_rounds()
        bench.unload()
    return bench.figures


class _Bench:
    """The engines that are loaded, and the figures so far."""

    def __init__(self, bundle: Bundle, mode: str, rounds: int, tell: Callable[[str], None]) -> None:
        self._bundle, self._rounds, self._tell = bundle, rounds, tell
        self._settings = replace(default_settings(bundle), mode=mode)
        self._image = decode_test_image(bundle, bundle.self_test.image, "image")
        self._loaded: list[tuple[Engine, Figures]] = []
        self.figures: list[Figures] = []

    def load(self, threads: int) -> None:
        """Load the engines for so many threads; a first frame of each warms it up."""
        self._tell(f"loading for {threads} thread{'s' if threads > 1 else ''}")
        began = time.perf_counter()
        engine, kinds = Engine(self._bundle, threads), set[str]()
        for name in engine.kinds:
            if name == "passes":
                began = time.perf_counter()
                engine.load_whole_passes()
            load_ms = 1e3 * (time.perf_counter() - began)
            _, kind, passes = _process(engine, self._image, replace(self._settings, engine=name, passes=2))
            # Where the mode has no closed form, both names mean whole passes.
            if kind in kinds:
                continue
            kinds.add(kind)
            numbers = {1, self._bundle.orientations, self._bundle.orientations + _MORE_PASSES} if passes > 1 else {1}
            figures = Figures(Choice(name, kind, threads), load_ms, {number: [] for number in sorted(numbers)})
            self._loaded.append((engine, figures))
            self.figures.append(figures)

    def unload(self) -> None:
        """Give the engines back."""
        for engine, _ in self._loaded:
            engine.close()
        self._loaded = []

    def run_rounds(self) -> None:
        """Process a frame of each kind in every round, in turn from either end."""
        began = time.monotonic()
        for number in range(self._rounds):
            for engine, figures in self._loaded[:: 1 if number % 2 == 0 else -1]:
                settings = replace(self._settings, engine=figures.choice.engine)
                for passes, taken in figures.times.items():
                    taken.append(_process(engine, self._image, replace(settings, passes=passes))[0])
            left = (time.monotonic() - began) / (number + 1) * (self._rounds - number - 1)
            self._tell(f"round {number + 1} of {self._rounds}, {left:.0f} s left")


def _process(engine: Engine, image: NDArray[np.uint8], settings: Settings) -> tuple[float, str, int]:
    """Process a frame: the ms that it took, what ran the passes, and how many there were."""
    began = time.perf_counter()
    maps = engine.segment(image, bit_depth=8, centered=True, seed=1, settings=settings)
    return 1e3 * (time.perf_counter() - began), maps.engine, maps.passes_used


def propose(
    figures: Sequence[Figures], passes: int, rate_hz: float | None = None, deadline_ms: float | None = None
) -> Proposal:
    """Propose parameters.

    Most passes within the time, then the closed form, whose passes are worth more, then the shorter time, then fewer
    threads.

    Args:
        figures: of every choice.
        passes: of the bundle; more are not proposed.
        rate_hz: frames per second wanted, None for no wish.
        deadline_ms: time from a frame's arrival to its maps wanted, None for no wish.
    """
    wishes = [1e3 / rate_hz if rate_hz else math.inf, deadline_ms or math.inf]
    wanted = min(wishes)
    within = (1.0 - RESERVE) * wanted

    def fitting(each: Figures) -> int:
        return next((number for number in range(passes, 0, -1) if each.frame_ms(number) <= within), 0)

    def worth(each: Figures) -> tuple[int, bool]:
        return fitting(each), each.choice.kind == "closed_form"

    best = max(worth(each) for each in figures)
    candidates = [each for each in figures if worth(each) == best]
    if best[0] == 0:
        candidates = list(figures)
    count = max(best[0], 1)
    shortest = min(each.frame_ms(count) for each in candidates)
    chosen = min(
        (each for each in candidates if each.frame_ms(count) <= (1.0 + _SAME) * shortest),
        key=lambda each: each.choice.threads,
    )
    # Passes end then; what comes after them, and the way to the consumer, is in the rest.
    reached = best[0] > 0
    deadline = min(max(math.floor(within), 1), 60_000) if reached and math.isfinite(wanted) else 0
    return Proposal(chosen.choice, count, deadline, chosen.frame_ms(count), reached)


def describe_wish(rate_hz: float | None, deadline_ms: float | None) -> str:
    """What is wanted, in words; "" for no wish."""
    rate = "" if rate_hz is None else f"{rate_hz:g} frames/s"
    deadline = "" if deadline_ms is None else f"maps {deadline_ms:g} ms after a frame"
    return ", ".join(filter(None, (rate, deadline)))


def describe(proposal: Proposal, wish: str) -> Iterator[str]:
    """What is proposed, in lines. wish: in words, "" for none."""
    took = f"{proposal.frame_ms:.0f} ms a frame with P = {proposal.passes}, {proposal.rate_hz:.2f} frames/s"
    if not proposal.reached:
        yield f"{wish}: out of reach of this board, by the engine alone. The fastest: {took}"
    else:
        yield f"proposed for {wish or 'the passes of the bundle'}: {took}"
    yield f"({100 * RESERVE:.0f} % of the time are left to the service and to what else the board does)"
    yield "in flight.toml:"
    yield from (f"  {line}" for line in proposal.snippet().splitlines())
    yield "or, but for the threads, at once:"
    values = {"engine": proposal.choice.engine, "passes": proposal.passes, "deadline_ms": proposal.deadline_ms}
    yield f"  flight command set_parameters 'values={json.dumps(values)}'"


def table(figures: Sequence[Figures], passes: int) -> Iterator[str]:
    """The figures in lines. passes: of the frame whose time is stated."""
    heads = ("engine", "threads", "P = 1, ms", f"P = {passes}, ms", "one more, ms", "spread", "frames/s")
    rows = [heads]
    for each in figures:
        least, most = each.spread
        frame = each.frame_ms(passes)
        rate = 1e3 * (1.0 - RESERVE) / max(frame, 1e-3)
        numbers = (f"{each.frame_ms(1):.1f}", f"{frame:.1f}", f"{each.pass_ms:.1f}")
        spread = f"{100 * (least - 1):+.0f} to {100 * (most - 1):+.0f} %"
        kind = "closed form" if each.choice.kind == "closed_form" else "whole passes"
        rows.append((kind, str(each.choice.threads), *numbers, spread, f"{rate:.2f}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join(cells)


def _tell_disturbances(workers: list[int], load: float, cores: int, tell: Callable[[str], None]) -> None:
    """Say what else takes the processor. workers: of services that run. load: programs in the last minute."""
    if workers:
        tell(f"a flight service is running (worker {workers[0]}): it takes its part of the processor, and the figures")
        tell("are those of what is left; to be undisturbed: systemctl stop rubblemap-flight")
    if load > _QUIET * cores:
        tell(f"programs have used {load:.1f} of {cores} cores in the last minute: figures are of what they leave")


def run_tune(
    bundle: Bundle,
    mode: str | None,
    threads: Sequence[int] | None,
    rounds: int,
    rate_hz: float | None,
    deadline_ms: float | None,
    report: Path | None,
    tell: Callable[[str], None],
) -> int:
    """Measure, propose, and write both.

    Args:
        bundle: a validated bundle.
        mode: in which frames are processed; None for the bundle's.
        threads: numbers of them; None for all that make sense here.
        rounds: frames of each kind.
        rate_hz, deadline_ms: wanted, see propose.
        report: JSON file for programs; "-" for the standard output in place of the tables; None for none.
        tell: told how far it is, and what disturbs the figures.

    Returns:
        The exit code: 1 where the wish is out of reach.

    Raises:
        BundleError, LibraryError: see Engine.
        ValueError: the bundle does not have the mode.
        OSError: the file cannot be written.
    """
    check(mode or bundle.modes[0], {"enum": list(bundle.modes)}, "--mode")
    workers = find_workers()
    machine, begin_c, load = describe_machine(), cpu_temperature_c(), os.getloadavg()[0]
    _tell_disturbances(workers, load, machine.cores, tell)
    figures = measure(bundle, mode or bundle.modes[0], threads or choose_threads(machine.cores), rounds, tell)
    proposal = propose(figures, bundle.passes, rate_hz, deadline_ms)
    throttling = read_throttling()[1]
    if throttling:
        tell(f"the board slows itself down now: {', '.join(throttling)}; see power supply and cooling")
    plain = {
        "bundle": bundle.identity,
        "mode": mode or bundle.modes[0],
        "machine": asdict(machine) | {"features": sorted(machine.features)},
        "rounds": rounds,
        "service_running": bool(workers),
        "load": round(load, 2),
        "temperature": {"begin_c": begin_c, "end_c": cpu_temperature_c(), "throttling": throttling},
        "engines": [each.plain(bundle.passes) for each in figures],
        "wish": {"rate_hz": rate_hz, "deadline_ms": deadline_ms},
        "proposal": proposal.plain(),
    }
    if report == Path("-"):
        print(json.dumps(plain))
    else:
        wish = describe_wish(rate_hz, deadline_ms)
        print("\n".join([*table(figures, bundle.passes), "", *describe(proposal, wish)]))
        if report is not None:
            write_whole(report, (json.dumps(plain, indent=1) + "\n").encode())
    return 0 if proposal.reached else 1
