"""The part of the agent that measures a board: its engines without the service, and what the service takes. Standard
library only, but for board_files, which is sent along.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hil.deploy.board_files import AgentError, read_or_none, run

UNIT = "rubblemap-flight.service"
USER = "rubblemap"
_MEGABYTE = 1e6


class Measuring:
    """Measures. The service that is halted for it starts again when the link is lost.

    Attributes:
        releases: folder, of the agent.
        halted: whether the service was stopped, and not started again so far.
    """

    releases: Path
    halted = False

    def halt(self) -> dict[str, Any]:
        """Stop the service, so that it does not disturb."""
        self.halted = True
        run("systemctl", "stop", UNIT)
        return {}

    def resume(self) -> None:
        """Start the service if it is halted."""
        if self.halted:
            self.halted = False
            run("systemctl", "start", "--no-block", UNIT, check=False)

    def tune(self, id: str, rounds: int, timeout_s: float) -> dict[str, Any]:
        """Run `flight tune` of a release as the user of the service; returns its figures."""
        release = self.releases / id
        options = ("--bundle", release / "bundle", "--rounds", rounds, "--json", "-")
        command = ("runuser", "-u", USER, "--", release / "bin/flight", "tune", *options)
        said = run(*command, timeout_s=timeout_s)
        figures: dict[str, Any] = json.loads(said.splitlines()[-1])
        return figures

    def memory(self) -> dict[str, Any]:
        """What service and worker hold in memory, MB: resident, and with shared pages shared out."""
        shown = run("systemctl", "show", "-p", "MainPID", UNIT)
        pid = shown.partition("=")[2].strip()
        if not pid.isdecimal() or pid == "0":
            raise AgentError("memory: expected a running service, got none")
        children = (read_or_none(Path("/proc", pid, "task", pid, "children")) or b"").decode().split()
        service, workers = _read_memory(pid), [_read_memory(child) for child in children]
        return {
            "service_rss_mb": service["Rss"],
            "worker_rss_mb": round(sum(worker["Rss"] for worker in workers), 1),
            "pss_mb": round(service["Pss"] + sum(worker["Pss"] for worker in workers), 1),
        }


def _read_memory(pid: str) -> dict[str, float]:
    text = (read_or_none(Path("/proc", pid, "smaps_rollup")) or b"").decode()
    found = {
        name: round(int(kib) * 1024 / _MEGABYTE, 1) for name, kib in re.findall(r"^(Rss|Pss): +(\d+) kB", text, re.M)
    }
    if set(found) != {"Rss", "Pss"}:
        raise AgentError(f"/proc/{pid}/smaps_rollup: expected Rss and Pss, got none")
    return found
