"""Figures of a board over ssh: what its engines take without the service, and what the deployed service takes."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

from flight import __version__
from hil.board.progress import Progress
from hil.deploy.connection import DeployError, Link, read_source

_KEPT = ("board", "architecture", "bundle", "mode")


@dataclass(frozen=True)
class Extent:
    """How much to measure, and for how long to wait.

    Attributes:
        rounds: frames of each kind through each engine.
        frames: through the service.
        timeout_s: for the engines all together, for the start, and for each frame.
        note: of the person, for the table.
    """

    rounds: int
    frames: int
    timeout_s: float
    note: str = ""


def measure_board(link: Link, extent: Extent, progress: Progress) -> dict[str, Any]:
    """Measure a board on which the service is deployed. It stands still for as long as the engines are measured.

    Args:
        link: to the board.
        extent: see there.
        progress: told every step.

    Returns:
        The row for docs/boards.json.

    Raises:
        DeployError: nothing is deployed, or a step failed, with the reason. The service is started again.
    """
    release = link.ask("probe")["current"]
    if release is None:
        raise DeployError("expected a deployed release on the board, got none: `hil deploy TARGET` first")
    link.ask("begin")
    progress.begin(f"[1/3] engines of {release}, the service stands still")
    secured = bool(link.ask("chosen")["secured"])
    link.ask("halt")
    if secured:
        link.ask("admit", id=release)
    try:
        tuned = link.ask("tune", id=release, rounds=extent.rounds, timeout_s=extent.timeout_s)
    except DeployError as error:
        raise DeployError(f"flight tune on the board: {error}") from error
    progress.end(f"{len(tuned['engines'])} choices of engine and threads")
    progress.begin("[2/3] start")
    ready_s = float(link.ask("start", timeout_s=extent.timeout_s)["seconds"])
    progress.end(f"ready after {ready_s:.1f} s")
    progress.begin(f"[3/3] {extent.frames} frames through the service")
    script = f"{read_source('health')}\nmeasure({extent.frames})\n"
    # All frames are answered before the agent says anything.
    answers: Any = link.ask(
        "health", id=release, script=script, secured=secured, timeout_s=extent.timeout_s, frames=extent.frames
    )
    memory = link.ask("memory")
    times = [1e3 * answer["seconds"] for answer in answers]
    progress.end(f"{statistics.median(times):.0f} ms a frame")
    return make_row(tuned, times, ready_s, memory, extent.note)


def make_row(
    tuned: dict[str, Any], times_ms: list[float], ready_s: float, memory: dict[str, float], note: str
) -> dict[str, Any]:
    """A row for docs/boards.json.

    Args:
        tuned: what `flight tune --json` wrote.
        times_ms: from a frame sent to its map received, on the board itself.
        ready_s: from the start of the service until systemd said that it was ready.
        memory: of service and worker.
        note: of the person.
    """
    machine, bundle = tuned["machine"], tuned["bundle"]
    return {
        "board": machine["model"] or "unnamed computer",
        "virtual": machine["virtual"],
        **{name: machine[name] for name in ("processor", "architecture", "cores", "memory_mib", "system", "kernel")},
        "rubblemap": __version__,
        "bundle": f"{bundle['name']} {bundle['version']}",
        "sha256": bundle["sha256"],
        "mode": tuned["mode"],
        "measured": time.strftime("%Y-%m-%d", time.gmtime()),
        "rounds": tuned["rounds"],
        "engines": tuned["engines"],
        "service": {
            "frames": len(times_ms),
            "frame_ms": round(statistics.median(times_ms), 1),
            "least_ms": round(min(times_ms), 1),
            "most_ms": round(max(times_ms), 1),
            "ready_s": ready_s,
            **memory,
        },
        "temperature": tuned["temperature"],
        "note": note,
    }


def add_row(rows: list[dict[str, Any]], row: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows with one more, in place of one of the same board and bundle; by board and bundle."""
    key = [row[name] for name in _KEPT]
    others = [each for each in rows if [each[name] for name in _KEPT] != key]
    return sorted([*others, row], key=lambda each: [each["virtual"] == "emulated", *(each[name] for name in _KEPT)])
