"""All figures of `ground-tools benchmark`, as docs/performance.json holds them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from flight.bundle import load_bundle
from ground_tools.benchmark import costs
from ground_tools.benchmark.comparison import EngineRow, Task, compare_engines, error_curve
from ground_tools.benchmark.costs import Cost
from ground_tools.benchmark.engines import ENGINES, OURS
from ground_tools.benchmark.floor import Floor, measure_floor
from ground_tools.benchmark.peers.runners import float_runner
from ground_tools.benchmark.reference import Errors, make_references
from ground_tools.benchmark.service import Extent, ServiceFigures, measure_service
from ground_tools.benchmark.workload import WholePasses, read_frames
from ground_tools.foundation.machine import Machine, describe_machine


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        frames: of the folder of frames, with a reference each.
        reference_passes: of a reference.
        rounds: of the engines, and of the service beside its bare passes.
        float_passes: numbers of passes at which float32 passes' error is measured.
        passes: numbers of passes whose cost is measured, by the value of the setting `engine`.
        factors: of the image's height and width.
        repeats: frames at each size and number of threads.
        extent: of the service's figures.
    """

    frames: int
    reference_passes: int
    rounds: int
    float_passes: list[int]
    passes: dict[str, list[int]]
    factors: list[float]
    repeats: int
    extent: Extent


FULL = Plan(
    frames=2,
    reference_passes=400,
    rounds=5,
    float_passes=[2, 5, 10, 20, 40],
    passes={"auto": [1, 2, 5, 10, 20, 50, 100], "passes": [1, 2, 5, 10, 20, 100]},
    factors=[0.5, 1.0, 1.5, 2.0],
    repeats=1,
    extent=Extent(rounds=5, frames=200, starts=3),
)
# A first look: what it says of errors is rough.
QUICK = Plan(
    frames=1,
    reference_passes=40,
    rounds=1,
    float_passes=[5, 20],
    passes={"auto": [1, 5, 20], "passes": [1, 5]},
    factors=[0.5, 1.0],
    repeats=1,
    extent=Extent(rounds=1, frames=20, starts=1, flyby_frames=8),
)


@dataclass(frozen=True)
class Curves:
    """passes, size, threads: cost by these, for each of our engines; float32: error of float32 passes by number."""

    passes: dict[str, list[Cost]]
    size: dict[str, list[Cost]]
    threads: dict[str, list[Cost]]
    float32: dict[str, Errors]


@dataclass(frozen=True)
class Performance:
    """What was measured. frames, reference_passes, rounds: see Plan. reference_noise: what the reference is off."""

    bundle: str
    version: str
    networks: int
    passes: int
    threads: int
    frames: int
    reference_passes: int
    reference_noise: Errors
    rounds: int
    machine: Machine
    engines: dict[str, EngineRow]
    floor: Floor
    curves: Curves
    service: ServiceFigures


def measure_performance(
    bundle_path: Path, frame_folder: Path, names: list[str], plan: Plan, passes: int, threads: int, cache: Path
) -> Performance:
    """Measure all.

    Args:
        bundle_path: the bundle's folder.
        frame_folder: folder of images of a body.
        names: engines to compare with the default one.
        plan: how much.
        passes: P of our engines.
        threads: of every engine.
        cache: folder of references.

    Raises:
        ValueError: the bundle has no closed form, or its networks cannot be compared, see WholePasses and read_layers.
        RuntimeError: the service, or our engine, does not work.
    """
    bundle = load_bundle(bundle_path)
    without = [network.name for network in bundle.networks if network.closed_form is None]
    if without:
        raise ValueError(f"bundle {bundle_path}: expected closed-form heads, got none of {', '.join(without)}")
    machine = describe_machine()
    frames = read_frames(bundle, frame_folder, plan.frames)
    references = make_references(bundle, frames, plan.reference_passes, threads, cache)
    task = Task(bundle, frames, references, passes, threads, plan.rounds)
    runners = [float_runner(network, threads) for network in bundle.networks]
    float_errors = error_curve(WholePasses(bundle, list(runners)), task, plan.float_passes)
    chosen = [kind for kind in ENGINES if kind.name in {OURS, *names}]
    rows = compare_engines(task, chosen, {number: each.entropy for number, each in float_errors.items()}, machine)
    cores = sorted({1, *(2**power for power in range(8) if 2**power <= machine.cores), machine.cores})
    few = replace(task, frames=frames[:1], references=references[:1])
    return Performance(
        bundle=bundle.name,
        version=bundle.version,
        networks=len(bundle.networks),
        passes=passes,
        threads=threads,
        frames=len(frames),
        reference_passes=plan.reference_passes,
        reference_noise=Errors(
            round(float(np.mean([each.noise.probability for each in references])), 5),
            round(float(np.mean([each.noise.entropy for each in references])), 4),
        ),
        rounds=plan.rounds,
        machine=machine,
        engines=rows,
        floor=measure_floor(bundle, passes, threads),
        curves=Curves(
            costs.by_passes(few, plan.passes),
            costs.by_size(few, plan.factors, plan.repeats),
            costs.by_threads(few, cores, plan.repeats),
            {str(number): each for number, each in float_errors.items()},
        ),
        service=measure_service(bundle_path, frames[0], passes, threads, plan.extent),
    )
