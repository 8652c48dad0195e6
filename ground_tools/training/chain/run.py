"""A chain from packed sets to results: its stages one after the other, whatever becomes of each, in a given time."""

from __future__ import annotations

import json
import shutil
import time
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import keras

from ground_tools.training.chain.archive import PackedSet
from ground_tools.training.chain.data import SetsOnDevice
from ground_tools.training.chain.lineage import Lineage
from ground_tools.training.chain.mixture import StageData
from ground_tools.training.chain.pace import stage_seconds
from ground_tools.training.chain.plan import Plan, Stage
from ground_tools.training.chain.program import Program, compilation_key
from ground_tools.training.chain.results import pack_results
from ground_tools.training.chain.stage import ChainContext, Training, start_network
from ground_tools.training.chain.teachers import describe_teachers
from ground_tools.training.hardware import hardware, set_precision

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


class Chain:
    """A chain of trainings under way.

    out: where logs and results go, complete at any moment. work: for the stages' folders.
    """

    def __init__(self, plan: Plan, packed: dict[str, PackedSet], out: Path, work: Path, trained: Path | None) -> None:
        """trained: folder of stages of an earlier run, from which stages may start.

        Raises ValueError when the sets are not what the plan needs.
        """
        self._plan, self._packed, self._out, self._work = plan, packed, out, work
        self._lineage = Lineage(plan, work, trained)
        self._sets = SetsOnDevice(packed)
        self._reports: list[Report] = []
        self._began = time.monotonic()
        out.mkdir(parents=True, exist_ok=True)
        (out / LOG_NAME).unlink(missing_ok=True)
        for stage in plan.stages:
            self._sets.take(stage)
        # Two threads build and compile what the stages need, in their order, beside the training: the first stage is
        # over before the second one's functions are compiled.
        precision = keras.config.dtype_policy().name
        self._compiler = ThreadPoolExecutor(2, initializer=set_precision, initargs=(precision,))
        self._programs: dict[Any, Future[Program]] = {}
        self._compile_known()

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
        start = self._lineage.find_start(stage)
        if start is None and (not stage.encoder or stage.recipe.freeze_encoder) and stage.starts:
            return Report(stage.name, "skipped", 0.0, f"(nothing to start from: {', '.join(stage.starts)})")
        if start is None and stage.starts:
            self.say(f"{stage.name}: no weights of {', '.join(stage.starts)}; trains its encoder from the beginning")
        try:
            if stage.best_of and start is not None:
                stage = self._lineage.take_design(stage, start)
                self.say(f"{stage.name}: goes on from {start.parent.name}")
                self._compile_known()
            teachers = self._lineage.find_teachers(stage)
            if missing := [name for name in stage.all_teachers if name not in teachers]:
                self.say(f"{stage.name}: learns without {', '.join(missing)}")
            data = self._sets.take(stage, teachers)
            network = start_network(stage, start, data.train.images.shape[1], data.bodies)
            waited = time.monotonic()
            program = self._compile(stage, data).result(max(0.0, deadline - _RESERVE - time.monotonic()))
            now = time.monotonic()
            self.say(f"{stage.name}: waited {now - waited:.1f} s for its functions to be compiled")
            left = deadline - _RESERVE - now
            if left < _LEAST:
                return Report(stage.name, "skipped", 0.0, "(no time left)")
            stage_deadline = now + stage_seconds(shares, left)
            context = ChainContext(self._plan.name, deadline, self.say, self._keep, self._origins(stage, teachers))
            training = Training(stage, program, network, data, context)
            provenance = self._packed[stage.dataset].provenance
            best = training.run(self._work / stage.name, provenance, start, stage_deadline)
            return Report(stage.name, "trained", 0.0, "", best.epoch, best.validation.columns)
        except TimeoutError:
            return Report(stage.name, "skipped", 0.0, "(no time left)")
        except Exception as error:
            # Whatever it was: later stages are worth more than a clean end.
            self.say("".join(traceback.format_exception(error)).rstrip())
            return Report(stage.name, "failed", 0.0, f"({type(error).__name__}: {error})")

    def _origins(self, stage: Stage, teachers: dict[str, Path]) -> dict[str, Any]:
        """What else than its own set a stage's network comes from, for its record."""
        mixed = [self._packed[name].provenance for name in stage.mix]
        taught = describe_teachers(teachers)
        return ({"mixed": mixed} if mixed else {}) | ({"teachers": taught} if taught else {})

    def _compile_known(self) -> None:
        """Begin to compile for all stages of which the design is known, in their order."""
        for stage in self._plan.stages:
            known = self._lineage.foresee(stage)
            if known is not None:
                self._compile(known, self._sets.take(known, self._lineage.find_teachers(known)))

    def _compile(self, stage: Stage, data: StageData) -> Future[Program]:
        """The program of a stage, compiled once for all that it serves."""
        recipe = compilation_key(stage.recipe)
        key = (recipe, data.parts, data.bodies, stage.distillation)
        if key not in self._programs:
            self._programs[key] = self._compiler.submit(Program, recipe, data, stage.distillation)
        return self._programs[key]

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
