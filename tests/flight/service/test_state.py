"""The state: one table of transitions."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.icd.catalogue import STATES
from flight.service.state import TRANSITIONS, State, Trigger, format_transitions
from tests.flight.service.scenarios import RecordingSink

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


def state(told: list[str] | None = None) -> State:
    made = State(RecordingSink())
    if told is not None:
        made.call_on_change(lambda: told.append(made.name))
    return made


@pytest.mark.parametrize(
    ("triggers", "names"),
    [
        ("WORKER_READY", "ready"),
        ("WORKER_READY WORKER_LOST WORKER_READY", "ready degraded ready"),
        ("WORKER_LOST WORKER_LOST WORKERS_EXHAUSTED RECOVERY WORKER_READY", "degraded safe starting ready"),
        # Damaged files: a fresh worker over good ones ends it, and no other.
        ("WORKER_READY FILES_DAMAGED WORKER_LOST WORKER_READY", "ready degraded"),
        ("WORKER_READY FILES_DAMAGED FILES_GOOD", "ready degraded"),
        ("WORKER_READY FILES_DAMAGED FILES_GOOD WORKER_READY", "ready degraded ready"),
        # Damaged while there is no worker: it counts when there is one.
        ("FILES_DAMAGED WORKER_READY", "degraded"),
        # Nothing but the command ends the safe state.
        ("WORKERS_EXHAUSTED FILES_DAMAGED FILES_GOOD WORKER_READY WORKER_LOST", "safe"),
        ("WORKERS_EXHAUSTED FILES_DAMAGED RECOVERY WORKER_READY", "safe starting degraded"),
        # The command is refused in other states, and leads nowhere there.
        ("WORKER_READY RECOVERY", "ready"),
    ],
)
def test_what_happens_leads_to_these_states(triggers: str, names: str) -> None:
    told: list[str] = []
    made = state(told)
    for trigger in triggers.split():
        made.apply(Trigger[trigger])
    assert told == names.split()
    assert made.name == told[-1]


@given(st.lists(st.sampled_from(Trigger), max_size=30))
def test_whatever_happens(triggers: list[Trigger]) -> None:
    told: list[str] = []
    made = state(told)
    damaged = False
    for trigger in triggers:
        before, changes = made.name, len(told)
        made.apply(trigger)
        damaged = (damaged or trigger is Trigger.FILES_DAMAGED) and trigger is not Trigger.FILES_GOOD
        assert made.files_damaged == damaged
        assert told[changes:] == ([made.name] if made.name != before else [])
        if before == "safe":
            assert made.name == ("starting" if trigger is Trigger.RECOVERY else "safe")
        if made.name == "ready":
            assert not damaged
            assert before == "ready" or trigger is Trigger.WORKER_READY
        assert made.safe == (made.name == "safe")


def test_the_table_is_unambiguous_and_reaches_every_state() -> None:
    for trigger in Trigger:
        for source in STATES:
            for damaged in (False, True):
                rows = [
                    row
                    for row in TRANSITIONS
                    if row.trigger is trigger and source in row.sources and row.damaged in (None, damaged)
                ]
                assert len(rows) <= 1
    assert {row.target for row in TRANSITIONS} == set(STATES)
    assert {source for row in TRANSITIONS for source in row.sources} == set(STATES)


def test_docs_operations_quotes_the_table() -> None:
    assert format_transitions() in OPERATIONS.read_text(encoding="utf-8")
