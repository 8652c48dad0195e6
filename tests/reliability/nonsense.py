"""Campaign: frames without a body, or with one that is spoiled beyond use, against a bundle's input monitor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flight.bundle import load_bundle
from ground_tools.monitoring.judging import MonitorResult, judge_bodies, judge_nonsense
from ground_tools.monitoring.nonsense import KINDS
from ground_tools.monitoring.spoiling import can_be_spoiled
from ground_tools.monitoring.tables import summary
from hil.sources.folder import open_source

_PASSES = 4


def run(_folder: Path, path: Path, count: int) -> dict[str, Any]:
    """Try `count` frames, as many of each kind, and the frames of the flyby."""
    bundle = load_bundle(path)
    source = open_source("flyby")
    flyby = [source.frame(number) for number in range(len(source.files))]
    bodies = judge_bodies(bundle, ((frame, 8, False) for frame in flyby), "flyby", len(flyby))
    nonsense = judge_nonsense(bundle, [frame for frame in flyby if can_be_spoiled(frame)], count // len(KINDS), _PASSES)
    return summary(MonitorResult(bundle.name, _PASSES, nonsense, {"flyby": bodies}))
