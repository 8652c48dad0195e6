"""Records of runs that never were, for the tests of criteria and reports."""

from __future__ import annotations

from typing import Any

from hil.runs.record import EventRecord, FaultRecord, FrameRecord, HousekeepingRecord, RunRecord

NAMES = ["background", "surface", "craters", "boulders", "terminator"]
ROLES = ["background", "safe", "hazard", "hazard", "terminator"]


def frame(index: int, **values: Any) -> FrameRecord:
    """A frame of 2 Hz that was answered after 0.1 s; `values` in place of that."""
    at = index / 2.0
    usual: dict[str, Any] = {
        "acquired_s": at,
        "sent_s": at,
        "answered_s": at + 0.1,
        "status": "valid",
        "entropy": 0.3,
        "bundle": "b",
    }
    return FrameRecord(index, at, 1, index, **{**usual, **values})


def lost(index: int, **values: Any) -> FrameRecord:
    return frame(index, **{"answered_s": None, "status": "", "entropy": None, **values})


def fault(kind: str = "worker_killed", at_s: float = 1.0, **values: Any) -> FaultRecord:
    usual = {"began_s": at_s, "ended_s": at_s, "note": "done"}
    return FaultRecord(kind, at_s, **{**usual, **values})


def event(name: str, **values: Any) -> EventRecord:
    return EventRecord(**{"seconds": 1.0, "severity": "info", "message": "it happened", **values}, name=name)


def record(*frames: FrameRecord, **values: Any) -> RunRecord:
    usual: dict[str, Any] = {
        "states": [(0.0, "ready")],
        "classes": NAMES,
        "roles": ROLES,
        "truth_classes": NAMES,
        "truth_roles": ROLES,
        "housekeeping": [HousekeepingRecord(0.5, "ready", 150 << 20)],
        "streamed_s": 5.0,
        "runner_cpu_s": 0.1,
        "environment": {"bundle": "unet_h 1"},
    }
    return RunRecord("own", "a test's", False, frames=list(frames), **{**usual, **values})


def confusion(*right: int, wrong: int = 0) -> list[list[int]]:
    """Counts of a map of five classes: `right` of each on the diagonal, and background taken for surface."""
    rows = [[0] * 6 for _ in range(5)]
    for index, count in enumerate(right):
        rows[index][index] = count
    rows[0][1] += wrong
    return rows
