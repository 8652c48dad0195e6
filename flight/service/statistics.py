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
    """All counters, named as in housekeeping."""

    frames_received: int = 0
    frames_accepted: int = 0
    frames_superseded: int = 0
    frames_processed: int = 0
    commands_accepted: int = 0
    commands_rejected: int = 0
    worker_restarts: int = 0
    self_tests_passed: int = 0
    self_tests_failed: int = 0
    upsets_found: int = 0
    file_checks_passed: int = 0
    file_checks_failed: int = 0
    bundle_activations: int = 0
    bundle_fall_backs: int = 0
    handshakes_failed: int = 0
    events_suppressed: int = 0
    frames_rejected: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REJECTION_REASONS, 0))
    products_published: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PRODUCT_TOPICS, 0))

    def count(self, name: str, key: str | None = None, number: int = 1) -> None:
        """Add to a counter.

        Args:
            name: of the counter.
            key: of a counter by reason or by topic.
            number: to add.

        Raises:
            KeyError: there is no such counter or key.
        """
        if key is None:
            vars(self)[name] += number
        else:
            vars(self)[name][key] += number

    def reset(self) -> None:
        """Set every counter to zero."""
        vars(self).update(vars(Counters()))

    def values(self) -> dict[str, Any]:
        """A copy of the counters by name."""
        return {name: dict(value) if isinstance(value, dict) else value for name, value in vars(self).items()}


class Latencies:
    """Milliseconds per stage of the last 100 frames that were answered."""

    def __init__(self) -> None:
        self._stages = {stage: deque[float](maxlen=_KEPT) for stage in STAGES}

    def add(self, timing_ms: dict[str, float]) -> None:
        """Add one frame. timing_ms: a value for every stage."""
        for stage, kept in self._stages.items():
            kept.append(timing_ms[stage])

    def reset(self) -> None:
        """Forget every frame."""
        for kept in self._stages.values():
            kept.clear()

    def values(self) -> dict[str, dict[str, float]]:
        """Per stage: median, 99th percentile (nearest rank) and maximum; zeros before the first frame."""
        return {stage: _summarize(sorted(kept)) for stage, kept in self._stages.items()}


def _summarize(ordered: list[float]) -> dict[str, float]:
    if not ordered:
        return {"p50": 0.0, "p99": 0.0, "max": 0.0}
    last = len(ordered) - 1
    return {"p50": ordered[round(0.5 * last)], "p99": ordered[round(0.99 * last)], "max": ordered[last]}


def resident_memory_bytes(pid: int | str = "self") -> int:
    """Resident memory of a process; 0 if /proc does not say."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_temperature_c(root: Path = Path("/")) -> float | None:
    """Temperature of the hottest thermal zone, degrees Celsius; None if the board has none. root: of system's files."""
    readings = []
    # Listing the folder fails too when connections use up all file handles, which must not end the service.
    with contextlib.suppress(OSError):
        for zone in (root / "sys/class/thermal").glob("thermal_zone*/temp"):
            with contextlib.suppress(OSError, ValueError):
                readings.append(int(zone.read_text(encoding="ascii")) / 1000.0)
    plausible = [reading for reading in readings if -100.0 <= reading <= 300.0]
    return max(plausible, default=None)
