"""How fast a stage goes through its schedule, so that the schedule ends with the time that there is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ground_tools.training.recipes import Recipe

# As in `ground_tools.training.loop`: the share of a training in which the learning rate rises, and its steps at most.
WARM_UP_SHARE = 0.05
WARM_UP_STEPS = 200
# Of the learning rate: where its rise begins, and where its fall ends, as shares of it, as there.
_FIRST, _LAST = 0.05, 0.1


@dataclass
class Pace:
    """A stage in steps of which each takes some seconds, until all are done or the time is over.

    steps: as many as the recipe has. deadline: when the time is over, seconds by the clock that `next_round` is told.
    done: steps so far. progress: how much of the schedule has passed, 0 to 1. seconds: of a step, last measured.

    The learning rate follows the progress, not the step: should steps become slower than was measured at first, the
    schedule passes faster, and is at its end when the stage is.
    """

    steps: int
    deadline: float
    seconds: float
    done: int = 0
    progress: float = 0.0

    def left(self, now: float) -> int:
        """The steps that are still to come: those of the recipe, or fewer for which there is time.

        There is always time for a first one: weights that hardly began are better than none to go on from.
        """
        possible = int((self.deadline - now) / max(self.seconds, 1e-9))
        return min(self.steps - self.done, max(possible, 1 if self.done == 0 else 0))

    def next_round(self, now: float, steps: int) -> tuple[int, float]:
        """The steps of the next round, about `steps`, and the progress at its end; 0: it is over.

        What would be left for half a round or less is done in this one; where it is left all the same, because this one
        was quicker than expected, it is not worth a validation.
        """
        left = self.left(now)
        count = left if left < 1.5 * steps else steps
        if count == 0 or (self.done and count < 0.5 * steps):
            return 0, self.progress
        return count, self.progress + (1.0 - self.progress) * count / left

    def record(self, steps: int, progress: float, seconds: float) -> None:
        """Note a round that was done and how long it took, validation included."""
        self.done += steps
        self.progress = progress
        self.seconds = seconds / steps

    def warm_up(self, now: float) -> float:
        """The share of the schedule in which the learning rate rises, from 0 to 1."""
        return min(WARM_UP_SHARE, WARM_UP_STEPS / max(self.left(now), 1))


def stage_seconds(shares: list[float], left: float) -> float:
    """The time of the first of the stages that are still to come, of the seconds that are left for all of them.

    What a stage does not use, all later ones share.
    """
    return left * shares[0] / sum(shares)


def learning_rate(recipe: Recipe, progress: float, warm_up: float) -> float:
    """The share of the recipe's rate at a progress of 0 to 1. warm_up: the share of the schedule in which it rises."""
    if recipe.schedule == "constant":
        return 1.0
    if progress < warm_up:
        return _FIRST + (1.0 - _FIRST) * progress / warm_up
    fallen = min((progress - warm_up) / (1.0 - warm_up), 1.0)
    return _LAST + (1.0 - _LAST) * 0.5 * (1.0 + math.cos(math.pi * fallen))
