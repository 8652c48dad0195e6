"""The steps of a deploy, in their order; what goes wrong in any of them is undone."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.board.progress import Progress
from hil.deploy.archive import Archive, Target, choose_target, make_archive, read_keys
from hil.deploy.connection import DeployError, Link, read_source

_MOST_THREADS = 4
# Of worker.start_timeout_s: the default, and the most.
_START_TIMEOUT_S = 60.0
_LONGEST_START_S = 600.0
# Of the whole service, on a board that is not slow.
_READY_S, _HEALTH_S = 180.0, 120.0


@dataclass(frozen=True)
class Wishes:
    """What is to be deployed.

    Attributes:
        bundle: folder of the model bundle.
        configuration: text of flight.toml; None to keep the board's, or else the default.
        keys: folder of the service's keys, None to keep the board's.
        cache: folder for wheels and archives.
        start_timeout_s: within which the service must be ready; None for what the board needs, see Limits.
        health_timeout_s: within which a frame must be answered; None likewise.
    """

    bundle: Path
    configuration: str | None
    keys: Path | None
    cache: Path
    start_timeout_s: float | None = None
    health_timeout_s: float | None = None


@dataclass(frozen=True)
class Limits:
    """How long a deploy waits for a board: at least as long as is enough for most, longer where the board is slow.

    Attributes:
        start_s: until the service is ready, seconds.
        health_s: until a frame is answered, seconds.
    """

    start_s: float
    health_s: float

    @staticmethod
    def choose(wishes: Wishes, worker_s: float) -> Limits:
        """The limits of a board on which a worker may take worker_s to start, unless others are wished."""
        # A worker that fails at its start is followed by another one: the second may still make it.
        start_s = max(_READY_S, _READY_S + 2.0 * (worker_s - _START_TIMEOUT_S))
        health_s = max(_HEALTH_S, 2.0 * worker_s)
        return Limits(wishes.start_timeout_s or start_s, wishes.health_timeout_s or health_s)


def start_timeout_s(check_s: float) -> float:
    """The time that a worker of a board may take to start, seconds: longer where `flight check` took long.

    Args:
        check_s: that `flight check --short` took, which loads the bundle and tests it; a worker does so, too, runs a
            few frames, and shares the processor with the service.
    """
    return max(_START_TIMEOUT_S, min(_LONGEST_START_S, 10.0 * math.ceil(0.4 * check_s)))


def default_configuration(cpus: int, secured: bool) -> str:
    """The configuration of a board that has none: what survives a restart is stored, and its processors are used."""
    text = (
        '[storage]\nstate = "/var/lib/rubblemap"\nbundles = "/srv/rubblemap/uplink"\n'
        f"[inference]\nthreads = {max(1, min(cpus, _MOST_THREADS))}\n"
    )
    return text + ('[security]\nkeys = "/etc/rubblemap/keys"\n' if secured else "")


def describe_plan(probe: dict[str, Any], target: Target, wishes: Wishes) -> list[str]:
    """What a deploy would do, in lines."""
    present = probe["current"] or "nothing"
    kept = "kept" if probe["configuration"] and wishes.configuration is None else "the default"
    python = ".".join(map(str, target.python))
    return [
        f"board: {probe['system']}, {target.machine}, Python {python}, glibc 2.{target.glibc}, {probe['cpus']} CPUs",
        f"free there: {probe['free'] >> 20} MiB; serving now: {present}",
        f"bundle: {wishes.bundle}",
        f"configuration: {'the one given' if wishes.configuration is not None else kept}",
        f"keys: {wishes.keys or 'as they are there'}",
        "steps: wheels, archive, copy, unpack, flight check, switch, start, one frame, confirm; back if one fails",
    ]


def deploy(link: Link, wishes: Wishes, progress: Progress) -> dict[str, Any]:
    """Deploy to a board.

    Args:
        link: to the board.
        wishes: what.
        progress: told every step.

    Returns:
        release, previous, health and, in seconds, start.

    Raises:
        DeployError: it failed, with the reason; what served before serves again.
    """
    probe = link.ask("probe")
    target = choose_target(probe)
    keys = read_keys(wishes.keys) if wishes.keys is not None else None
    progress.begin(f"[1/6] archive for {probe['system']}, {target.machine}")
    archive = make_archive(target, wishes.bundle, wishes.cache, progress.update)
    progress.end(f"{archive.path.stat().st_size >> 20} MiB, release {archive.release}")
    undone = link.ask("begin")["undone"]
    if undone:
        progress.begin(f"an earlier deploy had ended in the middle: back to {undone}")
        progress.end()
    _copy(link, archive, progress)
    progress.begin("[3/6] flight check")
    checked = link.ask("check", id=archive.release)
    progress.end(checked["said"])
    needed_s = start_timeout_s(checked["seconds"])
    prepared = link.ask(
        "prepare",
        configuration=wishes.configuration,
        default_configuration=default_configuration(probe["cpus"], keys is not None),
        keys=keys,
    )
    configured_s = prepared["start_timeout_s"]
    # Unless it is configured, the service finds out itself.
    if configured_s is not None and configured_s < needed_s:
        progress.begin(f"worker.start_timeout_s is {configured_s:g}: this board may need {needed_s:g}")
        progress.end()
    previous = link.ask("switch", id=archive.release)["previous"]
    limits = Limits.choose(wishes, max(needed_s, configured_s or 0.0))
    started, health = _prove(link, archive.release, prepared["secured"], limits, progress, "[4/6]", "[5/6]")
    progress.begin("[6/6] confirmed")
    removed = link.ask("confirm")["removed"]
    progress.end(f"removed {', '.join(removed)}" if removed else "")
    return {"release": archive.release, "previous": previous, "start_s": started, "health": health}


def _copy(link: Link, archive: Archive, progress: Progress) -> None:
    size = archive.path.stat().st_size
    progress.begin("[2/6] copy and unpack")
    offered = link.ask("offer", sha256=archive.sha256, size=size, unpacked=archive.unpacked, id=archive.release)
    if offered["installed"]:
        progress.end("it is there already")
        return
    have = int(offered["have"])
    link.send_file(archive.path, archive.sha256, have, lambda sent: progress.update(f"{100 * sent // size} %"))
    progress.update("unpacking")
    link.ask("install", sha256=archive.sha256, id=archive.release)
    progress.end(f"the first {have >> 20} MiB were there" if have else "")


def _prove(
    link: Link, release: str, secured: bool, limits: Limits, progress: Progress, first: str, second: str
) -> tuple[float, dict[str, Any]]:
    """Start what was switched to, and send a frame through it; back to what served before if that fails."""
    try:
        progress.begin(f"{first} start")
        if secured:
            link.ask("admit", id=release)
        ready = link.ask("start", timeout_s=limits.start_s)
        started = float(ready["seconds"])
        # Without the kernel's memory controller MemoryHigh and MemoryMax do nothing.
        void = "" if ready["memory_limited"] else "; the unit's limits of memory are void: docs/hil.md"
        progress.end(f"ready after {started:.1f} s{void}")
        progress.begin(f"{second} one frame")
        health = link.ask(
            "health",
            id=release,
            script=read_source("health") + "\nmain()\n",
            secured=secured,
            timeout_s=limits.health_s,
        )
        progress.end(f"a {health['status']} product after {health['seconds']} s")
    except DeployError as error:
        back = ""
        with contextlib.suppress(DeployError):  # with a broken link the agent goes back by itself
            back = f"; back to {link.ask('undo')['to']}"
        raise DeployError(f"{error}{back}") from error
    return started, health


def roll_back(link: Link, wishes: Wishes, progress: Progress) -> dict[str, Any]:
    """Go back to the release before the present one, with its unit, configuration and keys.

    Raises:
        DeployError: there is none, or it does not serve: the present one goes on then.
    """
    link.ask("begin")
    release = link.ask("recall")["id"]
    link.ask("switch", id=release)
    chosen = link.ask("chosen")
    limits = Limits.choose(wishes, chosen["start_timeout_s"] or _LONGEST_START_S)
    started, health = _prove(link, release, chosen["secured"], limits, progress, "[1/2]", "[2/2]")
    link.ask("confirm")
    return {"release": release, "start_s": started, "health": health}
