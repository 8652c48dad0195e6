"""Optimizers by recipe, and what a training does when the validation no longer improves."""

from __future__ import annotations

from typing import Any

import keras

from ground_tools.training.recipe_tables import Optimizer

# A value counts as better from this much on.
_LEAST_GAIN = 1e-4


def make_optimizer(optimizer: Optimizer, rate: Any, gradient_norm: float) -> keras.optimizers.Optimizer:
    """The optimizer of Keras.

    Args:
        optimizer: which.
        rate: learning rate, a number or a schedule of Keras.
        gradient_norm: to which larger gradients are scaled down; 0: never.
    """
    common: dict[str, Any] = {
        "learning_rate": rate,
        "global_clipnorm": gradient_norm or None,
        "weight_decay": optimizer.weight_decay or None,
        "gradient_accumulation_steps": optimizer.accumulate if optimizer.accumulate > 1 else None,
    }
    if optimizer.name == "sgd":
        return keras.optimizers.SGD(momentum=optimizer.momentum, **common)
    if optimizer.name == "rmsprop":
        return keras.optimizers.RMSprop(momentum=optimizer.momentum, **common)
    if optimizer.name == "adamw":
        # Without a decay of its own it is Adam.
        return keras.optimizers.AdamW(**{**common, "weight_decay": optimizer.weight_decay or 0.004})
    return keras.optimizers.Adam(**common)


def count_reductions(values: list[float], patience: int) -> int:
    """How often the rate has fallen after epochs of these values; each time the wait begins anew."""
    best, waited, reductions = float("-inf"), 0, 0
    for value in values:
        if value > best + _LEAST_GAIN:
            best, waited = value, 0
            continue
        waited += 1
        if waited >= patience:
            reductions, waited = reductions + 1, 0
    return reductions


def count_waited(values: list[float]) -> int:
    """Epochs since the best of these values."""
    best, waited = float("-inf"), 0
    for value in values:
        best, waited = (value, 0) if value > best + _LEAST_GAIN else (best, waited + 1)
    return waited


class Patience(keras.callbacks.Callback):
    """Lowers the learning rate, and ends the training, where the validation no longer improves.

    It goes by the values of all epochs, so that a training that was stopped goes on as if it had not been.
    """

    def __init__(self, optimizer: Optimizer, rate: float, before: list[float]) -> None:
        """optimizer: when. rate: the recipe's. before: mIoU of the epochs that were done before."""
        super().__init__()
        self._optimizer, self._rate, self._values = optimizer, rate, list(before)

    @property
    def over(self) -> bool:
        """Whether the epochs so far are enough."""
        return 0 < self._optimizer.stop_after <= count_waited(self._values)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._act()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs:
            self._values.append(float(logs["val_miou"]))
        self._act()

    def _act(self) -> None:
        chosen = self._optimizer
        if chosen.reduce_after:
            reductions = count_reductions(self._values, chosen.reduce_after)
            self.model.optimizer.learning_rate = self._rate * chosen.reduce_to**reductions
        if self.over:
            self.model.stop_training = True
