"""The service's state: one table of transitions, and the one sink for events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from flight.service.events import EventSink

STATES = ("starting", "ready", "degraded", "safe")


class Trigger(Enum):
    """What happens to a service that its state depends on."""

    WORKER_READY = "a worker has passed its self-test, and serves"
    WORKER_LOST = "the worker was lost, and another is to start"
    WORKERS_EXHAUSTED = "the worker was lost, and no more restarts are allowed"
    FILES_DAMAGED = "a file of the serving bundle has changed on the storage"
    FILES_GOOD = "the serving bundle was written anew, or another one serves"
    RECOVERY = "the command `recover`"


@dataclass(frozen=True)
class Transition:
    """One row of the table. damaged: whether files of the serving bundle are, where that matters; None: either."""

    trigger: Trigger
    sources: tuple[str, ...]
    damaged: bool | None
    target: str


# What is not in here leaves the state as it is. FILES_GOOD changes a fact alone: a fresh worker over the good files
# follows it.
TRANSITIONS = (
    Transition(Trigger.WORKER_READY, ("starting", "ready", "degraded"), False, "ready"),
    Transition(Trigger.WORKER_READY, ("starting", "ready", "degraded"), True, "degraded"),
    Transition(Trigger.WORKER_LOST, ("starting", "ready", "degraded"), None, "degraded"),
    Transition(Trigger.WORKERS_EXHAUSTED, ("starting", "ready", "degraded"), None, "safe"),
    Transition(Trigger.FILES_DAMAGED, ("ready",), None, "degraded"),
    Transition(Trigger.RECOVERY, ("safe",), None, "starting"),
)


class State:
    """The state, which only triggers change.

    name: of STATES. files_damaged: whether a file of the serving bundle is known to have changed on the storage.
    events: the sink in which everything that happens in the service is told.
    """

    def __init__(self, events: EventSink) -> None:
        self.events = events
        self.name = "starting"
        self.files_damaged = False
        self._told: Callable[[], None] = lambda: None

    @property
    def safe(self) -> bool:
        """Whether there is no worker until a recover command."""
        return self.name == "safe"

    def tell_changes(self, told: Callable[[], None]) -> None:
        """Call `told` after every change of the state from now on."""
        self._told = told

    def apply(self, trigger: Trigger) -> None:
        """Let the table say what a trigger leads to."""
        if trigger in (Trigger.FILES_DAMAGED, Trigger.FILES_GOOD):
            self.files_damaged = trigger is Trigger.FILES_DAMAGED
        for row in TRANSITIONS:
            fits = row.damaged in (None, self.files_damaged)
            if row.trigger is trigger and self.name in row.sources and fits:
                if row.target != self.name:
                    self.name = row.target
                    self._told()
                return


def transitions_table() -> str:
    """The table in Markdown."""
    facts = {None: "", True: "files of the serving bundle are damaged", False: "its files are good"}
    rows = ["| in | when | and | the state becomes |", "|---|---|---|---|"]
    for row in TRANSITIONS:
        rows.append(f"| {', '.join(row.sources)} | {row.trigger.value} | {facts[row.damaged]} | {row.target} |")
    return "\n".join(rows)
