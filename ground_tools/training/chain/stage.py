"""One stage of a chain: rounds of steps and validation until the schedule or the time is over, best weights kept."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from ground_tools.foundation.files import write_whole
from ground_tools.metrics.iou import mean_iou, paper_iou
from ground_tools.networks.unet import build_encoder_cnn, take_encoder
from ground_tools.training.chain.mixture import StageData
from ground_tools.training.chain.pace import Pace, learning_rate
from ground_tools.training.chain.plan import Stage
from ground_tools.training.chain.program import Network, Program, State, build_network
from ground_tools.training.origins import describe_origin, start_digest
from ground_tools.training.outcome import (
    ENCODER_WEIGHTS,
    STARTED_FILE,
    UNET_WEIGHTS,
    count_bodies,
    save_weights,
    validation_figures,
    write_best,
    write_record,
)
from ground_tools.training.progress import LOG_FILE, read_log

# Better weights are written so many seconds apart at least, and at the end.
_SAVE_EVERY = 5.0
# Steps to measure the pace by, after a first one; where that takes so many seconds, it must do.
_MEASURED_STEPS, _LONG_STEP = 10, 2.0
# How often a training whose loss is no number goes back to its best weights, at half the learning rate each time.
_RETRIES = 3


@dataclass(frozen=True)
class ChainContext:
    """What a stage is told of the chain.

    plan: its name. deadline: when it is to be over, by the monotonic clock. say: prints a line. kept: called whenever
    better weights were written. origins: for the stage's record, other sets and teachers.
    """

    plan: str
    deadline: float
    say: Callable[[str], None]
    kept: Callable[[], None]
    origins: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Validation:
    """A validation. value: the larger, the better. columns: of the log. per_class: (K,) IoU of a UNet, or empty."""

    value: float
    columns: dict[str, float]
    per_class: np.ndarray


@dataclass(frozen=True)
class Best:
    """The state of the best validation so far, and its epoch, counted from 1."""

    state: State
    epoch: int
    validation: Validation


def weights_file(stage: Stage, folder: Path) -> Path:
    """Where a stage's weights are in its folder."""
    return folder / (ENCODER_WEIGHTS if stage.recipe.network == "encoder_cnn" else UNET_WEIGHTS)


def start_network(stage: Stage, start: Path | None, size: int, bodies: int) -> Network:
    """The network of a stage with the weights that it starts from. bodies: that an encoder CNN is to tell apart."""
    recipe = stage.recipe
    network = build_network(recipe, size, bodies)
    if start is not None and stage.encoder:
        cnn = build_encoder_cnn(count_bodies(start), size=size)
        cnn.load_weights(start)
        take_encoder(network.network, cnn, freeze=recipe.freeze_encoder)
    elif start is not None:
        network.network.load_weights(start)
    return network


def validate_sets(figures: np.ndarray, sets: Sequence[tuple[str, int]]) -> Validation:
    """The validation of a UNet: the mean over the sets, so that a small one counts as much.

    figures: (N, K, K) confusion matrices of the images, set after set. sets: name and number of images of each.
    """
    ends = np.cumsum([count for _, count in sets])
    each = [paper_iou(figures[end - count : end]) for end, (_, count) in zip(ends, sets, strict=True)]
    mious = {f"val_miou_{name}": mean_iou(iou) for (name, _), iou in zip(sets, each, strict=True)}
    miou, per_class = float(np.mean(list(mious.values()))), np.nanmean(np.stack(each), axis=0)
    return Validation(miou, validation_figures(miou, per_class) | (mious if len(sets) > 1 else {}), per_class)


class Training:
    """A stage under way."""

    def __init__(
        self, stage: Stage, program: Program, network: Network, data: StageData, context: ChainContext
    ) -> None:
        self._stage, self._program, self._network = stage, program, network
        self._data, self._context = data, context
        self._first = self._state = program.begin(network.model)
        self._best: Best | None = None
        self._written_at, self._unwritten = -math.inf, False
        self._rate = stage.recipe.learning_rate
        self._steps_per_epoch = data.steps_per_epoch

    def run(self, out: Path, provenance: dict[str, Any], start: Path | None, deadline: float) -> Best:
        """Train until `deadline`, by the monotonic clock; leaves in `out` what `ground-tools train` leaves, but the
        picture of the curves, which is drawn where time costs less.

        provenance: of the set, for the record. start: the weights that the network was given. Raises ValueError when
        no step had a loss that is a number.
        """
        self._out, self._provenance = out, provenance
        self._origin = None if start is None else describe_origin(start)
        self._begin_folder(start)
        epochs, every = self._stage.recipe.epochs, self._stage.validate_every * self._steps_per_epoch
        pace = Pace(epochs * self._steps_per_epoch, deadline, self._seconds_of_step())
        warm_up = pace.warm_up(time.monotonic())
        retries = 0
        while True:
            began = time.monotonic()
            steps, progress = pace.next_round(began, every)
            if steps == 0:
                break
            loss = self._round(pace, steps, progress, warm_up)
            if not math.isfinite(loss):
                retries += 1
                if retries > _RETRIES:
                    self._context.say(f"{self._stage.name}: the loss is no number again; ends with what it has")
                    break
                self._go_back()
                pace.record(steps, progress, time.monotonic() - began)
                continue
            validation = self._validate()
            seconds = time.monotonic() - began
            pace.record(steps, progress, seconds)
            epoch = math.ceil(pace.done / self._steps_per_epoch)
            self._log(epoch, loss, validation, seconds)
            self._keep(epoch, validation)
            self._say_round(pace, epoch, loss, validation)
        return self._finish()

    def _begin_folder(self, start: Path | None) -> None:
        """Make the folder, and say in it what it is of: `ground-tools train` is not to go on there."""
        self._out.mkdir(parents=True)
        identity = {
            "plan": self._context.plan,
            "recipe": self._stage.recipe.record(),
            "dataset": self._provenance,
            "beside": None,
            "origin_sha256": start_digest(start) if start else None,
        }
        write_whole(self._out / STARTED_FILE, json.dumps(identity).encode())

    def _seconds_of_step(self) -> float:
        """Measured on a state that is thrown away."""
        order = self._program.order(self._stage.recipe.seed, 0, self._data.parts[0].images)

        def timed(steps: int) -> float:
            began = time.monotonic()
            state, loss = self._first, jnp.float32(0.0)
            for step in range(steps):
                state, loss = self._program.train(state, loss, order, step, 1e-9, self._data.train)
            loss.block_until_ready()
            return (time.monotonic() - began) / steps

        each = timed(1)
        if each < _LONG_STEP:
            each = timed(min(_MEASURED_STEPS, self._steps_per_epoch))
        self._context.say(f"{self._stage.name}: {each * 1e3:.1f} ms a step")
        return each

    def _round(self, pace: Pace, steps: int, progress: float, warm_up: float) -> float:
        """Train so many steps, from the progress of the pace to another. Returns the mean loss."""
        recipe = self._stage.recipe
        loss = jnp.float32(0.0)
        order, last_epoch = None, -1
        for done in range(steps):
            epoch, step = divmod(pace.done + done, self._steps_per_epoch)
            if order is None or epoch != last_epoch:
                order, last_epoch = self._program.order(recipe.seed, epoch, self._data.parts[0].images), epoch
            at = pace.progress + (progress - pace.progress) * done / steps
            rate = self._rate * learning_rate(recipe, at, warm_up)
            self._state, loss = self._program.train(self._state, loss, order, step, rate, self._data.train)
        return float(loss) / steps

    def _go_back(self) -> None:
        """To the best weights so far, with an optimizer that remembers nothing and half the learning rate."""
        state = self._first if self._best is None else self._best.state
        self._state = State(state.trainable, state.fixed, self._first.optimizer)
        self._rate /= 2.0
        self._context.say(
            f"{self._stage.name}: the loss is no number; back to the best weights, half the learning rate"
        )

    def _validate(self) -> Validation:
        figures = self._program.validate(self._state, self._data.validation)
        if self._stage.recipe.network == "encoder_cnn":
            loss, accuracy = (float(value) for value in figures.mean(axis=0))
            return Validation(-loss, {"val_loss": loss, "val_accuracy": accuracy}, np.empty(0))
        return validate_sets(figures, self._data.validated)

    def _log(self, epoch: int, loss: float, validation: Validation, seconds: float) -> None:
        """Add a line to log.csv, where epochs count from 0."""
        row = {"epoch": epoch - 1, "loss": loss, "seconds": seconds, **validation.columns}
        path = self._out / LOG_FILE
        begun = path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if not begun:
                writer.writeheader()
            writer.writerow(row)

    def _keep(self, epoch: int, validation: Validation) -> None:
        if self._best is None or validation.value > self._best.validation.value:
            self._best, self._unwritten = Best(self._state, epoch, validation), True
        if self._unwritten and time.monotonic() - self._written_at > _SAVE_EVERY:
            self._write(self._best)
            self._context.kept()

    def _write(self, best: Best) -> None:
        """Write the best weights and all that goes with them: the folder is a finished training's from now on."""
        path = weights_file(self._stage, self._out)
        self._network.put(best.state)
        save_weights(self._network.network, path)
        images = {"train": len(self._data.train.images), "validation": len(self._data.validation.images)}
        measured: dict[str, Any] = {"images": images, "plan": self._context.plan, **self._context.origins}
        if self._stage.recipe.network == "encoder_cnn":
            measured |= best.validation.columns
        else:
            measured["validation"] = write_best(path, best.epoch, best.validation.value, best.validation.per_class)
        if self._origin is not None:
            measured["began_from"] = self._origin
        write_record(self._stage.recipe, self._provenance, self._out, path, read_log(self._out), measured)
        self._written_at, self._unwritten = time.monotonic(), False

    def _finish(self) -> Best:
        if self._best is None:
            raise ValueError(f"stage {self._stage.name}: expected a step whose loss is a number, got none")
        self._write(self._best)
        return self._best

    def _say_round(self, pace: Pace, epoch: int, loss: float, validation: Validation) -> None:
        left = pace.left(time.monotonic())
        last = math.ceil((pace.done + left) / self._steps_per_epoch)
        columns = {name: value for name, value in validation.columns.items() if not name.startswith("val_iou_")}
        figures = "  ".join(f"{name} {value:.4f}" for name, value in columns.items())
        better = " (best)" if self._best is not None and self._best.epoch == epoch else ""
        self._context.say(
            f"{self._stage.name} epoch {epoch}/{last}  loss {loss:.4f}  {figures}{better}  "
            f"{self._stage.recipe.batch / pace.seconds:.0f} images/s, {left * pace.seconds:.0f} s left of the stage, "
            f"{self._context.deadline - time.monotonic():.0f} s of all"
        )
