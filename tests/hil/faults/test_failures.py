"""A fault that cannot be carried out, or that the service does not stand, fails the run that it is of."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flight.keys import make_client_keys, make_service_keys
from hil.faults import peers, service
from hil.faults.driver import HANDLERS, Driver
from hil.faults.scene import Clock, Scene
from hil.runs.judge import judge_faults
from hil.runs.link import Link
from hil.runs.record import RunRecord
from hil.runs.target import LocalTarget
from hil.scenarios import fault_tables as tables
from hil.sources.frames import Frame
from tests.flight.service_process import running_service
from tests.hil.runs.records import fault, frame, record

AT = {"at_s": 0.0}
DURING = {"at_s": 0.0, "for_s": 0.05}


class Gone(LocalTarget):
    """A service that was started here and is no more: nobody answers, and its process has ended."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.folder, self.state, self.uplink, self.bundle = folder, folder / "state", folder / "uplink", bundle
        self.endpoints = {name: f"ipc://{folder}/{name}" for name in ("frames", "products", "telemetry", "commands")}
        self.keys, self.link = {}, None
        self.process = subprocess.Popen(["true"])
        self.process.wait()

    def status(self, timeout_s: float = 0.2) -> dict[str, Any]:
        return super().status(0.2)


def carry_out(target: LocalTarget, wanted: tables.Fault) -> RunRecord:
    """What a run notes of a fault."""
    picture = Frame(np.zeros((32, 32), np.uint8), 8)
    link = Link("rmhil_none", "rmhil_none_v", "198.18.0.2")
    clock, seen = Clock(1.0), RunRecord("own", "a test's", False)
    driver = Driver(Scene(target, link, 1, clock, lambda: picture), seen, clock.now)
    clock.start()
    driver.start([wanted], [])
    for thread in driver._threads:
        thread.join(30.0)
    driver.stop()
    return seen


# Of each kind: what is tried at a service that is gone, and how the note of the failure reads.
FAILURES: dict[str, tuple[tables.Fault, str]] = {
    "worker_killed": (tables.WorkerKilled(**AT), "TimeoutError"),
    "worker_stopped": (tables.WorkerStopped(**AT), "TimeoutError"),
    "worker_corrupted": (tables.WorkerCorrupted(**AT), "TimeoutError"),
    "service_killed": (tables.ServiceKilled(**AT), "ProcessLookupError: the service has ended"),
    "power_cut": (tables.PowerCut(**DURING), "FaultFailed: expected the virtual board, got service on this computer"),
    "storage_full": (tables.StorageFull(**DURING), "ProcessLookupError"),
    "bundle_damaged": (tables.BundleDamaged(**AT), "expected a copy of the bundle, got none"),
    "bundle_updated": (tables.BundleUpdated(**AT), "TimeoutError"),
    "second_camera_floods": (tables.SecondCameraFloods(**DURING), "messages was taken by the frames socket"),
    "second_camera_babbles": (tables.SecondCameraBabbles(**DURING), "messages was taken by the frames socket"),
    "commander_floods": (tables.CommanderFloods(**DURING), "messages was taken by the commands socket"),
    "commander_babbles": (tables.CommanderBabbles(**DURING), "messages was taken by the commands socket"),
    "link_cut": (tables.LinkCut(**DURING), "LinkError: link: "),
    "link_impaired": (tables.LinkImpaired(**DURING, rate_kbit=9), "LinkError: link: "),
}
# Of these a test of their own says how they fail: it is what they do that must not succeed.
ELSEWHERE = {"commander_with_wrong_key", *(kind.kind for kind in tables.CAMERA_FAULTS)}


def test_each_kind_of_fault_has_a_test_in_which_it_fails() -> None:
    assert FAILURES.keys() | ELSEWHERE == HANDLERS.keys()


@pytest.mark.parametrize("kind", FAILURES)
def test_a_fault_that_cannot_be_carried_out_fails_the_run(
    kind: str, tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_COMMAND_TIMEOUT_S", 0.2)
    (tmp_path / "uplink").mkdir()
    wanted, note = FAILURES[kind]
    seen = carry_out(Gone(tmp_path, tiny_bundle), wanted)
    (noted,) = seen.faults
    assert noted.failed
    assert note in noted.note
    outcome = judge_faults(seen)
    assert not outcome.passed
    assert outcome.got.startswith(f"{kind}: ")


def test_a_wrong_key_that_opens_fails_the_run(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that lets a stranger in is what the fault looks for; one that turns it away is as it should be."""
    monkeypatch.setattr(peers, "_WRONG_KEY_TIMEOUT_S", 2.0)
    keys = tmp_path / "service_keys"
    make_service_keys(keys)
    clients = {role: tmp_path / f"{role}_keys" for role in ("commander", "stranger")}
    make_client_keys(keys, "commander", ["commander"], clients["commander"])
    make_client_keys(keys, "stranger", ["commander"], clients["stranger"])
    settings = f'[security]\nkeys = "{keys}"\n'
    with running_service(tmp_path, tiny_bundle, settings, keys={"commander": clients["commander"]}):
        seen = carry_out(Gone(tmp_path, tiny_bundle), tables.CommanderWithWrongKey(**DURING))
    (noted,) = seen.faults
    assert noted.note == "FaultFailed: a command under a wrong key was carried out"
    assert not judge_faults(seen).passed


@pytest.mark.parametrize("kind", tables.CAMERA_FAULTS)
def test_a_fault_of_the_camera_without_a_frame_fails_the_run(kind: Callable[..., Any]) -> None:
    noted = fault(kind.kind, 1.6, until_s=1.9)
    outcome = judge_faults(record(*map(frame, range(10)), faults=[noted]))
    assert not outcome.passed
    assert outcome.got == f"{kind.kind}: no frame was sent meanwhile"
    assert judge_faults(record(*map(frame, range(10)), faults=[fault(kind.kind, 1.4, until_s=1.9)])).passed
    unsent = [frame(index, sent_s=None) for index in range(10)]
    assert not judge_faults(record(*unsent, faults=[fault(kind.kind, 1.4, until_s=1.9)])).passed
