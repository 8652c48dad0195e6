"""What a stage goes on from: weights of earlier stages, the best of several, teachers; and their designs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from ground_tools.foundation.json_records import read_json
from ground_tools.networks.designs import Design
from ground_tools.training.chain.plan import Plan, Stage
from ground_tools.training.outcome import ENCODER_WEIGHTS, RECORD_FILE, UNET_WEIGHTS


class Lineage:
    """The stages of a run that have weights by now, and those of an earlier run."""

    def __init__(self, plan: Plan, work: Path, trained: Path | None) -> None:
        """work: folder of the run's stages. trained: that of an earlier run's.

        Raises ValueError when the plan needs a stage of an earlier run that is not there.
        """
        self._plan, self._bases = plan, [base for base in (work, trained) if base is not None]
        # Designs that are known before weights are: of stages whose recipe has one, and of those that were chosen.
        self._designs: dict[str, Design | None] = {
            stage.name: stage.recipe.design
            for stage in plan.stages
            if stage.recipe.network == "unet" and not stage.best_of
        }
        for name in plan.trained:
            if self._weights(name, UNET_WEIGHTS) is None:
                raise ValueError(f"--trained: expected a folder with stage {name}, as plan {plan.name} needs it")

    def find_start(self, stage: Stage) -> Path | None:
        """The weights that a stage starts from: of the first stage it names that has any, or of the best of several."""
        file = ENCODER_WEIGHTS if stage.encoder else UNET_WEIGHTS
        found = [path for name in stage.starts if (path := self._weights(name, file)) is not None]
        if stage.best_of and found:
            return max(found, key=lambda path: float(_record(path)["validation"]["miou"]))
        return found[0] if found else None

    def take_design(self, stage: Stage, start: Path) -> Stage:
        """The stage with the design of the network that it goes on from."""
        self._designs[stage.name] = design = _design(start)
        return replace(stage, recipe=msgspec.structs.replace(stage.recipe, design=design))

    def foresee(self, stage: Stage) -> Stage | None:
        """The stage with the design that it is going to have; None where that is not known yet."""
        if not stage.best_of:
            return stage
        if stage.name in self._designs:
            possible = {self._designs[stage.name]}
        elif all(name in self._designs for name in stage.best_of):
            possible = {self._designs[name] for name in stage.best_of}
        else:
            return None
        if len(possible) > 1:
            return None
        return replace(stage, recipe=msgspec.structs.replace(stage.recipe, design=possible.pop()))

    def find_teachers(self, stage: Stage) -> dict[str, Path]:
        """The weights of those of a stage's teachers that have any."""
        found = {name: self._weights(name, UNET_WEIGHTS) for name in stage.all_teachers}
        return {name: path for name, path in found.items() if path is not None}

    def _weights(self, name: str, file: str) -> Path | None:
        for base in self._bases:
            if (base / name / file).is_file() and (base / name / RECORD_FILE).is_file():
                return base / name / file
        return None


def _record(weights: Path) -> dict[str, Any]:
    return read_json(weights.with_name(RECORD_FILE))


def _design(weights: Path) -> Design | None:
    described = _record(weights)["recipe"].get("design")
    return None if described is None else msgspec.convert(described, Design)
