"""Tells whoever streams what the service made of the frames: the frames socket itself says nothing."""

from __future__ import annotations

import re
import sys
import time

from flight.client import CameraReport, FrameSender
from flight.icd.limits import DEFAULT_ENDPOINTS

# Housekeeping comes every second: how long to wait for the first of all, and on a busy computer for the last frame's.
FIRST_REPORT_S = 1.5
_LAST_REPORT_S = 5.0
_PORT = re.compile(r"(tcp://.+:)([0-9]+)")
_FRAMES_PATH = re.compile(r"(ipc://(?:.*[/_.@-])?)frames((?:[._-][^/]*)?)")
_ADVICE = {
    "not_increasing": "another camera of this name has a newer epoch; give one of them another --name",
    "too_many_sources": "restart the service, which forgets cameras that are gone",
}


def find_telemetry(frames: str) -> str | None:
    """Find the telemetry socket beside a frames socket, as far apart as the default ones or named alike.

    Args:
        frames: endpoint of the frames socket.

    Returns:
        tcp://HOST:PORT two ports on, or ipc:// with `telemetry` in place of `frames`; None where neither fits.
    """
    port = _PORT.fullmatch(frames)
    if port is not None:
        ahead = _find_port(DEFAULT_ENDPOINTS["telemetry"]) - _find_port(DEFAULT_ENDPOINTS["frames"])
        number = int(port[2]) + ahead
        return f"{port[1]}{number}" if number <= 65535 else None
    path = _FRAMES_PATH.fullmatch(frames)
    return f"{path[1]}telemetry{path[2]}" if path is not None else None


def _find_port(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


def await_report(sender: FrameSender, sent: int) -> CameraReport | None:
    """Wait until the service has told what became of all frames, at most a few seconds.

    Args:
        sender: opened with a telemetry endpoint.
        sent: number of frames that it has sent.

    Returns:
        The newest report; None if none came, or from a service that makes none.
    """
    deadline = time.monotonic() + (FIRST_REPORT_S if sender.report() is None else _LAST_REPORT_S)
    while True:
        report = sender.report(max(deadline - time.monotonic(), 0.0))
        known = report is not None and report.accepted + sum(report.rejected.values()) >= sent
        if known or time.monotonic() >= deadline:
            return report


def describe_report(report: CameraReport, sent: int) -> str:
    """What became of so many frames that were sent, for one line: counts, and the reasons of rejections."""
    rejected = sum(report.rejected.values())
    parts = [f"{report.accepted} accepted", f"{rejected} rejected"]
    if rejected:
        parts[-1] += f" ({', '.join(f'{reason} {count}' for reason, count in sorted(report.rejected.items()))})"
    if (unknown := sent - report.accepted - rejected) > 0:
        parts.append(f"{unknown} not heard of (lost on the way, or rejected unread: limits.frames_per_second)")
    return ", ".join(parts)


class RejectionTeller:
    """Says on standard error, while frames are sent, that the service rejects some: once for each reason."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def look(self, report: CameraReport | None) -> None:
        """Say what is new in a report."""
        for reason in sorted(set(report.rejected if report is not None else ()) - self._told):
            self._told.add(reason)
            advice = f": {_ADVICE[reason]}" if reason in _ADVICE else ""
            print(f"rejected by the service, {reason}{advice}", file=sys.stderr, flush=True)
