"""The service's state, and the table of transitions that alone changes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from flight.service.events import EventSink


class Trigger(Enum):
    """What can change the state."""

    WORKER_READY = "a worker has passed its self-test, and serves"
    WORKER_LOST = "the worker was lost, and another is to start"
    WORKERS_EXHAUSTED = "the worker was lost, and no more restarts are allowed"
    FILES_DAMAGED = "a file of the serving bundle has changed on the storage"
    FILES_GOOD = "the serving bundle was written again, or another one serves"
    RECOVERY = "the command `recover`"


@dataclass(frozen=True)
class Transition:
    """One row of the table.

    Attributes:
        trigger: what happens.
        sources: states in which the row applies.
        damaged: whether files of the serving bundle must be damaged, or must not; None if it does not matter.
        target: the next state.
    """

    trigger: Trigger
    sources: tuple[str, ...]
    damaged: bool | None
    target: str


# Any other combination leaves the state as it is. FILES_GOOD only clears `files_damaged`: a fresh worker over the good
# files then leads back to ready.
TRANSITIONS = (
    Transition(Trigger.WORKER_READY, ("starting", "ready", "degraded"), False, "ready"),
    Transition(Trigger.WORKER_READY, ("starting", "ready", "degraded"), True, "degraded"),
    Transition(Trigger.WORKER_LOST, ("starting", "ready", "degraded"), None, "degraded"),
    Transition(Trigger.WORKERS_EXHAUSTED, ("starting", "ready", "degraded"), None, "safe"),
    Transition(Trigger.FILES_DAMAGED, ("ready",), None, "degraded"),
    Transition(Trigger.RECOVERY, ("safe",), None, "starting"),
)


class State:
    """Holds the state and applies triggers to it.

    Attributes:
        events: the sink for the service's events.
        name: one of flight.icd.catalogue.STATES.
        files_damaged: whether a file of the serving bundle is known to have changed on the storage.
    """

    def __init__(self, events: EventSink) -> None:
        self.events = events
        self.name = "starting"
        self.files_damaged = False
        self._callback: Callable[[], None] = lambda: None

    @property
    def safe(self) -> bool:
        """Whether there is no worker until a recover command."""
        return self.name == "safe"

    def call_on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every change of the state."""
        self._callback = callback

    def apply(self, trigger: Trigger) -> None:
        """Apply a trigger: change the state as the table says."""
        if trigger in (Trigger.FILES_DAMAGED, Trigger.FILES_GOOD):
            self.files_damaged = trigger is Trigger.FILES_DAMAGED
        for row in TRANSITIONS:
            fits = row.damaged in (None, self.files_damaged)
            if row.trigger is trigger and self.name in row.sources and fits:
                if row.target != self.name:
                    self.name = row.target
                    self._callback()
                return


def format_transitions() -> str:
    """The table in Markdown."""
    facts = {None: "", True: "files of the serving bundle are damaged", False: "its files are good"}
    rows = ["| in | when | and | the state becomes |", "|---|---|---|---|"]
    for row in TRANSITIONS:
        rows.append(f"| {', '.join(row.sources)} | {row.trigger.value} | {facts[row.damaged]} | {row.target} |")
    return "\n".join(rows)
