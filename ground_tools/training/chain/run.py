"""A chain from packed sets to results: its stages one after the other, whatever becomes of each, in a given time."""

from __future__ import annotations

import json
import os
import shutil
import time
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np

from ground_tools.datasets.noise import network_inputs
from ground_tools.training.chain.archive import PackedSet
from ground_tools.training.chain.pace import stage_seconds
from ground_tools.training.chain.plan import Plan, Stage
from ground_tools.training.chain.program import Data, Program, compilation_key
from ground_tools.training.chain.results import pack_results
from ground_tools.training.chain.stage import ChainContext, Training, start_network
from ground_tools.training.hardware import hardware, set_precision
from ground_tools.training.outcome import ENCODER_WEIGHTS, RECORD_FILE, UNET_WEIGHTS
from ground_tools.training.recipes import Recipe

LOG_NAME = "chain.log"
SUMMARY_NAME = "summary.json"
# Seconds kept for what comes after the last stage, and the least with which a stage is begun.
_RESERVE, _LEAST = 8.0, 3.0


@dataclass
class Report:
    """What became of a stage. outcome: "trained", "failed" or "skipped". best: its best validation."""

    stage: str
    outcome: str
    seconds: float
    why: str = ""
    epoch: int = 0
    best: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StageData:
    """What a stage is trained and validated with. bodies: how many there are to tell apart, 0 for a UNet."""

    train: Data
    validation: Data
    bodies: int


def _bodies(packed: PackedSet) -> StageData:
    c1 = packed.body_set()
    train = _to_device(c1.images[c1.train], c1.labels[c1.train])
    inputs = _inputs(c1.images[c1.validation], packed.noise)
    return StageData(train, _to_device(inputs, c1.labels[c1.validation]), len(c1.names))


def _masks(packed: PackedSet, rule: int) -> StageData:
    train, validation = packed.pixels("train", rule), packed.pixels("validation", rule)
    inputs = _inputs(validation.images, packed.noise)
    return StageData(_to_device(train.images, train.masks), _to_device(inputs, validation.masks), 0)


def _check(recipe: Recipe, train: Data) -> None:
    """Raise ValueError for a recipe that does not fit the images."""
    count, size = train.images.shape[:2]
    if recipe.network == "unet" and recipe.head == "windowed" and recipe.window != size:
        raise ValueError(f"recipe {recipe.name}: window: expected {size}, the whole image, got {recipe.window}")
    if recipe.batch > count:
        raise ValueError(f"recipe {recipe.name}: batch: expected at most {count}, the images, got {recipe.batch}")


def _to_device(images: np.ndarray, truth: np.ndarray) -> Data:
    return Data(jax.device_put(images), jax.device_put(truth))


def _inputs(images: np.ndarray, noise: dict[str, Any] | None) -> np.ndarray:
    """Network inputs with the noise that is theirs in flight, too; by all cores, since it takes a millisecond each."""
    parts = np.array_split(images, max(1, min(len(images), 4 * (os.cpu_count() or 1))))
    with ThreadPoolExecutor() as pool:
        return np.concatenate(list(pool.map(lambda part: network_inputs(part, noise), parts)))


class Chain:
    """A chain of trainings under way.

    out: where logs and results go, complete at any moment. work: for the stages' folders.
    """

    def __init__(self, plan: Plan, packed: dict[str, PackedSet], out: Path, work: Path, trained: Path | None) -> None:
        """trained: folder of stages of an earlier run, from which stages may start.

        Raises ValueError when the sets are not what the plan needs.
        """
        self._plan, self._packed, self._out, self._work, self._trained = plan, packed, out, work, trained
        self._reports: list[Report] = []
        self._began = time.monotonic()
        out.mkdir(parents=True, exist_ok=True)
        (out / LOG_NAME).unlink(missing_ok=True)
        self._data: dict[tuple[str, int], StageData] = {}
        for stage in plan.stages:
            _check(stage.recipe, self._stage_data(stage).train)
        # Two threads build and compile what the stages need, in their order, beside the training: the first stage is
        # over before the second one's functions are compiled.
        precision = keras.config.dtype_policy().name
        self._compiler = ThreadPoolExecutor(2, initializer=set_precision, initargs=(precision,))
        self._programs: dict[Any, Future[Program]] = {}
        for stage in plan.stages:
            key, arguments = self._program_key(stage)
            if key not in self._programs:
                self._programs[key] = self._compiler.submit(Program, *arguments)

    def run(self, deadline: float) -> list[Report]:
        """Run all stages until `deadline`, by the monotonic clock. Returns what became of each."""
        self.say(f"training plan {self._plan.name} on {hardware()}, {keras.config.dtype_policy().name}")
        try:
            for number, stage in enumerate(self._plan.stages):
                began = time.monotonic()
                report = self._stage(stage, [other.share for other in self._plan.stages[number:]], deadline)
                report.seconds = round(time.monotonic() - began, 1)
                self._reports.append(report)
                self.say(f"stage {stage.name}: {report.outcome} in {report.seconds:.0f} s {report.why}".rstrip())
                self._keep()
        finally:
            # What is interrupted is not to wait for functions that nothing will call.
            self._compiler.shutdown(wait=False, cancel_futures=True)
        self.say(f"training plan {self._plan.name} ended with {deadline - time.monotonic():.0f} s to spare")
        return self._reports

    def say(self, line: str) -> None:
        """Print a line with the seconds since the start; it goes to the log, too."""
        line = f"{time.monotonic() - self._began:6.1f}  {line}"
        print(line, flush=True)
        with (self._out / LOG_NAME).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _stage(self, stage: Stage, shares: list[float], deadline: float) -> Report:
        """Train a stage; what goes wrong in one is told, and the others go on.

        shares: of this stage and the later ones. They divide the time that is left when this one can begin: where
        functions took long to compile, all stages are the shorter.
        """
        start = self._start(stage)
        if start is None and (stage.start_from or stage.recipe.freeze_encoder) and stage.starts:
            return Report(stage.name, "skipped", 0.0, f"(nothing to start from: {', '.join(stage.starts)})")
        if start is None and stage.starts:
            self.say(f"{stage.name}: no weights of {', '.join(stage.starts)}; trains its encoder from the beginning")
        try:
            data = self._stage_data(stage)
            network = start_network(stage, start, data.train.images.shape[1], data.bodies)
            waited = time.monotonic()
            program = self._programs[self._program_key(stage)[0]].result(
                max(0.0, deadline - _RESERVE - time.monotonic())
            )
            now = time.monotonic()
            self.say(f"{stage.name}: waited {now - waited:.1f} s for its functions to be compiled")
            left = deadline - _RESERVE - now
            if left < _LEAST:
                return Report(stage.name, "skipped", 0.0, "(no time left)")
            stage_deadline = now + stage_seconds(shares, left)
            context = ChainContext(self._plan.name, deadline, self.say, self._keep)
            training = Training(stage, program, network, data.train, data.validation, context)
            provenance = self._packed[stage.dataset].provenance
            best = training.run(self._work / stage.name, provenance, start, stage_deadline)
            return Report(stage.name, "trained", 0.0, "", best.epoch, best.validation.columns)
        except TimeoutError:
            return Report(stage.name, "skipped", 0.0, "(no time left)")
        except Exception as error:
            # Whatever it was: later stages are worth more than a clean end.
            self.say("".join(traceback.format_exception(error)).rstrip())
            return Report(stage.name, "failed", 0.0, f"({type(error).__name__}: {error})")

    def _start(self, stage: Stage) -> Path | None:
        """The weights that a stage starts from: of the first stage it names that has any, now or in the earlier run."""
        file = ENCODER_WEIGHTS if stage.encoder else UNET_WEIGHTS
        for name in stage.starts:
            for base in (self._work, self._trained):
                folder = None if base is None else base / name
                if folder is not None and (folder / file).is_file() and (folder / RECORD_FILE).is_file():
                    return folder / file
        return None

    def _stage_data(self, stage: Stage) -> StageData:
        """A stage's data, brought to the accelerator once for all stages that have it."""
        recipe, packed = stage.recipe, self._packed[stage.dataset]
        encoder = recipe.network == "encoder_cnn"
        key = (stage.dataset, 0 if encoder else recipe.minimum_boulder_pixels)
        if key not in self._data:
            self._data[key] = _bodies(packed) if encoder else _masks(packed, recipe.minimum_boulder_pixels)
        return self._data[key]

    def _program_key(self, stage: Stage) -> tuple[Any, tuple[Any, ...]]:
        """What the stage's program depends on, and what it is made of."""
        data, noisy = self._stage_data(stage), self._packed[stage.dataset].noise is not None
        recipe = compilation_key(stage.recipe)
        key = (recipe, stage.dataset, data.bodies)
        return key, (recipe, data.bodies, data.train, data.validation, noisy)

    def _keep(self) -> None:
        """Bring the results up to date: the stages so far, in the plan's order, and what became of them."""
        folders = [self._work / stage.name for stage in self._plan.stages if (self._work / stage.name).is_dir()]
        left_out = pack_results(folders, self._out)
        summary = {
            "plan": self._plan.name,
            "hardware": hardware(),
            "precision": keras.config.dtype_policy().name,
            "jax": jax.__version__,
            "keras": keras.__version__,
            "seconds": round(time.monotonic() - self._began, 1),
            "no_room_for": left_out,
            "stages": [asdict(report) for report in self._reports],
        }
        (self._out / SUMMARY_NAME).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def run_chain(
    plan: Plan, packed: dict[str, PackedSet], out: Path, work: Path, trained: Path | None, deadline: float
) -> list[Report]:
    """Run a plan on packed sets. deadline: by the monotonic clock. Raises ValueError when a set is missing."""
    missing = sorted(set(plan.wanted()) - set(packed))
    if missing:
        raise ValueError(f"--parts: expected the sets of plan {plan.name}, got no {missing[0]}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    return Chain(plan, packed, out, work, trained).run(deadline)
