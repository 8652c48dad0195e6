"""The missions by name, and which of them a set or a network belongs to: that whose classes it has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ground_tools.labels.class_table import read_class_table

MISSIONS = {name: Path(__file__).parent / name / "classes.toml" for name in ("moon", "mars", "spacecraft", "multitask")}


def mission_of(classes: Sequence[str]) -> str:
    """The mission that has these classes, others behind them not counted.

    Raises:
        ValueError: none has them.
    """
    for mission, path in MISSIONS.items():
        names = read_class_table(path).names
        if tuple(classes[: len(names)]) == names:
            return mission
    raise ValueError(f"classes: expected those of {' or '.join(MISSIONS)}, got {', '.join(classes)}")
