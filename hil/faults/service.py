"""Faults of the service: its processes, its storage, its bundle."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

from flight.bundle import write_sums
from flight.client import CommandFailed
from hil.faults.memory import flip_random_bits
from hil.faults.scene import FaultFailed, Scene
from hil.scenarios.fault_tables import (
    BundleDamaged,
    BundleUpdated,
    PowerCut,
    ServiceKilled,
    StorageFull,
    WorkerCorrupted,
    WorkerKilled,
    WorkerStopped,
)

_COMMAND_TIMEOUT_S = 180.0
_NO_LIMIT = -1


def kill_worker(fault: WorkerKilled, scene: Scene) -> str:
    """See WorkerKilled."""
    return _signal_worker(scene, signal.SIGKILL)


def stop_worker(fault: WorkerStopped, scene: Scene) -> str:
    """See WorkerStopped."""
    return _signal_worker(scene, signal.SIGSTOP)


def corrupt_worker(fault: WorkerCorrupted, scene: Scene) -> str:
    """See WorkerCorrupted."""
    pid = scene.local.worker_pid()
    return f"{flip_random_bits(pid, fault.bits, scene.seed)} bits flipped in worker {pid}"


def kill_service(fault: ServiceKilled, scene: Scene) -> str:
    """See ServiceKilled."""
    scene.target.kill()
    return "SIGKILL to the service"


def cut_power(fault: PowerCut, scene: Scene) -> str:
    """See PowerCut."""
    from hil.runs.board_target import BoardTarget

    if not isinstance(scene.target, BoardTarget):
        raise FaultFailed(f"expected the virtual board, got {scene.target.describe()}")
    until = fault.at_s + fault.for_s
    seconds = scene.target.cut_power(lambda: scene.clock.wait_until(until, scene.ending))
    return f"power off for {fault.for_s:g} s of the scenario; ssh answered {seconds:.0f} s after it was back"


def fill_storage(fault: StorageFull, scene: Scene) -> str:
    """See StorageFull."""
    scene.local.limit_files(0)
    try:
        scene.clock.wait_until(fault.at_s + fault.for_s, scene.ending)
    finally:
        scene.local.limit_files(_NO_LIMIT)
    return "no file could be written meanwhile"


def damage_bundle(fault: BundleDamaged, scene: Scene) -> str:
    """See BundleDamaged."""
    copies = sorted((scene.local.state / "bundles").glob("*/*.tflite"), key=lambda path: path.stat().st_size)
    if not copies:
        raise FaultFailed(f"{scene.local.state}: expected a copy of the bundle, got none")
    _damage(copies[-1])
    return f"a bit flipped in {copies[-1].name}"


def update_bundle(fault: BundleUpdated, scene: Scene) -> str:
    """See BundleUpdated."""
    assert scene.target.bundle is not None
    folder = _make_version(scene.target.bundle, scene.local.uplink, len(scene.bundles))
    if fault.broken:
        _damage(max(folder.glob("*.tflite"), key=lambda path: path.stat().st_size))
    with scene.target.commander(_COMMAND_TIMEOUT_S) as commander:
        try:
            commander.send("load_bundle", path=folder.name)
        except CommandFailed as error:
            if fault.broken and error.code == "not_valid":
                return f"rejected: {error}"
            raise  # a command that was busy, say, has not looked at it
        if fault.broken:
            raise FaultFailed("load_bundle took a bundle with a damaged file")
        scene.bundles.append(folder)
        commander.send("validate_bundle")
        done = commander.send("activate_bundle")
    return f"activated {done['name']} {done['version']}"


def _signal_worker(scene: Scene, number: signal.Signals) -> str:
    return f"{number.name} to worker {scene.target.signal_worker(number)}"


def _damage(path: Path) -> None:
    """Flip one bit in the middle of a file, leaving its length."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0x10]))


def _make_version(bundle: Path, uplink: Path, number: int) -> Path:
    """A copy of a bundle with a version of its own: another identity, the same networks."""
    folder = uplink / f"update_{number}"
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["version"] = f"{manifest['version']}+{number + 1}"
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    write_sums(folder)
    return folder
