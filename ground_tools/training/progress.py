"""What a training shows while it runs: a bar within the epoch, a line after it, learning curves as a picture."""

from __future__ import annotations

import csv
import math
import sys
import time
from pathlib import Path
from typing import Any

import keras
from tqdm import tqdm

LOG_FILE = "log.csv"
CURVES_FILE = "curves.png"
_SECONDS_BETWEEN_PICTURES = 10.0


class StepBar(keras.callbacks.Callback):
    """A bar over the steps of an epoch, where people look: on stderr, if that is a terminal."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._epochs = epochs
        self._bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._bar = tqdm(
            total=self.params.get("steps"),
            desc=f"epoch {epoch + 1}/{self._epochs}",
            unit="step",
            file=sys.stderr,
            leave=False,
            disable=None,  # unless it is a terminal
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._bar.update()
        if logs and "loss" in logs and not self._bar.disable:
            self._bar.set_postfix(loss=f"{float(logs['loss']):.4g}", refresh=False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._bar.close()


class EpochLine(keras.callbacks.Callback):
    """Prints one line per epoch with what was measured and the time left."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._epochs, self._began = epochs, 0.0
        self._seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._seconds.append(time.monotonic() - self._began)
        each = sum(self._seconds) / len(self._seconds)
        if logs is not None:
            logs["seconds"] = self._seconds[-1]
        shown = "  ".join(
            f"{name} {value:.4g}"
            for name, value in (logs or {}).items()
            if not name.startswith("val_iou_") and name != "seconds"
        )
        print(
            f"epoch {epoch + 1}/{self._epochs}  {shown}  {each:.0f} s/epoch, "
            f"{each * (self._epochs - epoch - 1) / 60:.1f} min left",
            flush=True,
        )


class Curves(keras.callbacks.Callback):
    """Draws the log's curves after an epoch, at most every ten seconds, and at the end of the training.

    A picture takes a fifth of a second, more than an epoch of a small network. To come after the callback that writes
    the log.
    """

    def __init__(self, out: Path) -> None:
        super().__init__()
        self._out = out
        self._drawn = -math.inf
        self._outdated = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._outdated = True
        if time.monotonic() - self._drawn >= _SECONDS_BETWEEN_PICTURES:
            self._draw()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._outdated:
            self._draw()

    def _draw(self) -> None:
        draw_curves(read_log(self._out), self._out / CURVES_FILE)
        self._drawn = time.monotonic()
        self._outdated = False


def read_log(out: Path) -> list[dict[str, str]]:
    """The rows of a training's log, one per epoch done; none before the first.

    An epoch that was logged and lost before its checkpoint was written is logged again: the later row counts.
    """
    path = out / LOG_FILE
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list({row["epoch"]: row for row in csv.DictReader(file)}.values())


def draw_curves(rows: list[dict[str, str]], path: Path) -> None:
    """Learning curves as PNG: the loss on the left, what was measured on the validation split on the right."""
    from matplotlib.figure import Figure

    from ground_tools.labels.classes import COLORS

    epochs = [int(row["epoch"]) + 1 for row in rows]
    measured = [name for name in rows[0] if name.startswith("val_") and name != "val_loss"]
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in ("loss", "val_loss"):
        if name in rows[0]:
            left.plot(epochs, [float(row[name]) for row in rows], marker=".", label=name)
    for name in measured:
        of_class = name.removeprefix("val_iou_")
        red, green, blue = COLORS.get(of_class, (190, 30, 45))
        right.plot(
            epochs,
            [float(row[name]) for row in rows],
            marker=".",
            color=f"#{red:02x}{green:02x}{blue:02x}",
            linewidth=1.2 if of_class in COLORS else 2.2,
            label=of_class.removeprefix("val_"),
        )
    left.set(xlabel="epoch", ylabel="loss")
    right.set(xlabel="epoch", ylabel="validation", ylim=(0.0, 1.0))
    for axis in (left, right):
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8, frameon=False)
        axis.xaxis.get_major_locator().set_params(integer=True)
    part = path.with_name(f".{path.name}.part.png")
    figure.savefig(part, dpi=110)
    part.replace(path)
