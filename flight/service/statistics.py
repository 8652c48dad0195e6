"""Counters and latencies for telemetry."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flight.icd.catalogue import REJECTION_REASONS
from flight.icd.limits import PRODUCT_TOPICS

STAGES = ("total", "queue", "center", "passes", "fuse", "publish")
_KEPT = 100


@dataclass
class Counters:
    """Everything that is counted; names as in telemetry.housekeeping."""

    frames_received: int = 0
    frames_accepted: int = 0
    frames_superseded: int = 0
    frames_processed: int = 0
    commands_accepted: int = 0
    commands_rejected: int = 0
    worker_restarts: int = 0
    self_tests_passed: int = 0
    self_tests_failed: int = 0
    file_checks_passed: int = 0
    file_checks_failed: int = 0
    bundle_activations: int = 0
    bundle_fall_backs: int = 0
    handshakes_failed: int = 0
    events_suppressed: int = 0
    frames_rejected: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REJECTION_REASONS, 0))
    products_published: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PRODUCT_TOPICS, 0))

    def count(self, name: str, key: str | None = None, number: int = 1) -> None:
        """Add to a counter. key: of one that counts by reason or by topic. Raises KeyError for an unknown one."""
        if key is None:
            vars(self)[name] += number
        else:
            vars(self)[name][key] += number

    def reset(self) -> None:
        """Let every counter begin anew."""
        vars(self).update(vars(Counters()))

    def values(self) -> dict[str, Any]:
        """The counters by name, copied."""
        return {name: dict(value) if isinstance(value, dict) else value for name, value in vars(self).items()}


class Latencies:
    """Milliseconds per stage of the last 100 answered frames."""

    def __init__(self) -> None:
        self._stages = {stage: deque[float](maxlen=_KEPT) for stage in STAGES}

    def add(self, timing_ms: dict[str, float]) -> None:
        """Record one frame; timing_ms has a value for every stage."""
        for stage, kept in self._stages.items():
            kept.append(timing_ms[stage])

    def reset(self) -> None:
        """Forget every frame."""
        for kept in self._stages.values():
            kept.clear()

    def values(self) -> dict[str, dict[str, float]]:
        """Per stage: median, 99th percentile (nearest rank) and maximum; zeros before the first frame."""
        return {stage: _summary(sorted(kept)) for stage, kept in self._stages.items()}


def _summary(ordered: list[float]) -> dict[str, float]:
    if not ordered:
        return {"p50": 0.0, "p99": 0.0, "max": 0.0}
    last = len(ordered) - 1
    return {"p50": ordered[round(0.5 * last)], "p99": ordered[round(0.99 * last)], "max": ordered[last]}


def resident_memory_bytes(pid: int | str = "self") -> int:
    """Resident memory of a process, 0 where /proc does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_temperature_c() -> float | None:
    """The hottest thermal zone in degrees Celsius, or None where the board tells none."""
    readings = []
    # Listing the folder fails too when strangers hold all file handles with connections: no reason to end.
    with contextlib.suppress(OSError):
        for zone in Path("/sys/class/thermal").glob("thermal_zone*/temp"):
            with contextlib.suppress(OSError, ValueError):
                readings.append(int(zone.read_text(encoding="ascii")) / 1000.0)
    plausible = [reading for reading in readings if -100.0 <= reading <= 300.0]
    return max(plausible, default=None)
