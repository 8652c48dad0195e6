"""Carries out a scenario's faults and commands at their times, each in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from flight.client import CommandFailed
from flight.icd.catalogue import REPLY_CODES
from hil.faults import peers, service
from hil.faults.scene import Scene
from hil.runs.record import CommandRecord, FaultRecord, RunRecord
from hil.scenarios.fault_tables import CAMERA_FAULTS, DEGRADING_FAULTS, Fault, LinkCut, LinkImpaired
from hil.scenarios.scenario import Command

_REPLY_TIMEOUT_S = 120.0
# As long as a board may take to start, which is not left without power.
_JOIN_S = 700.0


def cut_link(fault: LinkCut, scene: Scene) -> str:
    """See LinkCut."""
    assert scene.link is not None
    scene.link.cut()
    try:
        scene.clock.wait_until(fault.at_s + fault.for_s, scene.ending)
    finally:
        scene.link.restore()
    return "the link was down"


def impair_link(fault: LinkImpaired, scene: Scene) -> str:
    """See LinkImpaired."""
    assert scene.link is not None
    scene.link.impair(fault)
    try:
        scene.clock.wait_until(fault.at_s + fault.for_s, scene.ending)
    finally:
        scene.link.restore()
    return "the link was impaired"


def await_end(fault: Any, scene: Scene) -> str:
    """Of a fault that the camera loop carries out on its frames: nothing is to be done but to wait."""
    scene.clock.wait_until(fault.at_s + fault.for_s, scene.ending)
    return "in the camera's frames"


# Kind -> how it is carried out: returns a note when the fault is over.
HANDLERS: dict[str, Callable[[Any, Scene], str]] = {
    "worker_killed": service.kill_worker,
    "worker_stopped": service.stop_worker,
    "worker_corrupted": service.corrupt_worker,
    "service_killed": service.kill_service,
    "power_cut": service.cut_power,
    "storage_full": service.fill_storage,
    "bundle_damaged": service.damage_bundle,
    "bundle_updated": service.update_bundle,
    "second_camera_floods": peers.flood_frames,
    "second_camera_babbles": peers.babble_frames,
    "commander_floods": peers.flood_commands,
    "commander_babbles": peers.babble_commands,
    "commander_with_wrong_key": peers.try_wrong_key,
    "link_cut": cut_link,
    "link_impaired": impair_link,
    **{fault.kind: await_end for fault in CAMERA_FAULTS},
}


class Driver:
    """The faults and commands of a run.

    Args:
        scene: that faults are carried out on.
        record: that they are noted in.
        seconds: tells the time since the run's begin.
    """

    def __init__(self, scene: Scene, record: RunRecord, seconds: Callable[[], float]) -> None:
        self._scene, self._record, self._seconds = scene, record, seconds
        self._threads: list[threading.Thread] = []

    def start(self, faults: Sequence[Fault], commands: Sequence[Command]) -> None:
        """Let them wait for their times."""
        for fault in faults:
            length = getattr(fault, "for_s", None)
            until = None if length is None else fault.at_s + length
            noted = FaultRecord(fault.kind, fault.at_s, until, degrades=isinstance(fault, DEGRADING_FAULTS))
            self._record.faults.append(noted)
            self._begin(self._carry_out, fault, noted)
        for command in commands:
            asked = CommandRecord(command.name, command.at_s, command.expect)
            self._record.commands.append(asked)
            self._begin(self._send, command, asked)

    def stop(self) -> None:
        """End what is under way, and undo it."""
        self._scene.ending.set()
        deadline = time.monotonic() + _JOIN_S
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def _begin(self, run: Callable[[Any, Any], None], *arguments: Any) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _carry_out(self, fault: Fault, noted: FaultRecord) -> None:
        if not self._scene.clock.wait_until(fault.at_s, self._scene.ending):
            noted.failed, noted.note = True, "the run ended before it was due"
            return
        noted.began_s = self._seconds()
        try:
            noted.note = HANDLERS[fault.kind](fault, self._scene)
        except (RuntimeError, OSError, ValueError) as error:  # of services, links and boards
            noted.failed, noted.note = True, f"{type(error).__name__}: {error}"
        noted.ended_s = self._seconds()

    def _send(self, command: Command, asked: CommandRecord) -> None:
        if not self._scene.clock.wait_until(command.at_s, self._scene.ending):
            asked.outcome = "not sent"
            return
        asked.sent_s = self._seconds()
        try:
            with self._scene.target.commander(_REPLY_TIMEOUT_S) as commander:
                commander.send(command.name, **(command.arguments or {}))
            asked.outcome = "completed"
        except CommandFailed as error:
            asked.outcome = REPLY_CODES[error.code].status if error.code in REPLY_CODES else "failed"
            asked.message = str(error)
        except (TimeoutError, ValueError) as error:
            asked.outcome, asked.message = "timeout", str(error)
        asked.seconds = self._seconds() - asked.sent_s
