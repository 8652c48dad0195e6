"""The state folder: for one service alone, its record and nobody else's, and a storage that is slow or forgets."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from flight.bundle import load_bundle
from flight.service.assembly import lock_state
from flight.service.folder_lock import FolderLock
from flight.service.record import COPIES, IDENTITY
from flight.service.sockets import ServiceError
from tests.flight.service.peers import free_endpoints
from tests.flight.service.scenarios import FRAME, answer, command, journaled_service, storage, variant
from tests.flight.service.test_faults import changed_python
from tests.flight.service_process import SOCKETS, RunningService, running_service

QUIET = "[parameters]\nentropy_factor = 100.0\n"


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def write_configuration(path: Path, endpoints: dict[str, str], state: Path) -> Path:
    lines = "\n".join(f'{name} = "{endpoint}"' for name, endpoint in endpoints.items())
    path.write_text(f'[endpoints]\n{lines}\n[storage]\nstate = "{state}"\n')
    return path


def assert_refused(bundle: Path, configuration: Path, message: str) -> None:
    words = [sys.executable, "-m", "flight.cli", "serve", "--bundle", str(bundle), "--config", str(configuration)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


# One service alone


@pytest.mark.parametrize("named", ["as it is", "by a link"])
@pytest.mark.parametrize("ports", ["the same", "others"])
def test_a_second_service_on_a_state_folder_is_refused_and_changes_nothing(
    tiny_bundle: Path, plain_bundle: Path, tmp_path: Path, ports: str, named: str
) -> None:
    state = tmp_path / "state"
    with running_service(tmp_path, tiny_bundle, storage(tmp_path) + QUIET) as service:
        service.command("set_parameter", name="passes", value=9)
        variant(tiny_bundle, tmp_path / "uplink" / "next", "2.0")
        command(service, "load_bundle", path="next")
        before = contents(state)
        (tmp_path / "link").symlink_to(state)
        endpoints = service.endpoints if ports == "the same" else free_endpoints("127.0.0.1")
        path = tmp_path / "link" if named == "by a link" else state
        configuration = write_configuration(tmp_path / "second.toml", endpoints, path)
        assert_refused(
            plain_bundle, configuration, f"storage.state: expected a folder of this service alone, got {path}"
        )
        assert contents(state) == before
        # What was staged is still there.
        assert command(service, "validate_bundle")["version"] == "2.0"
        assert answer(service, "after")[0].status == "valid"


def test_a_service_that_gets_no_port_changes_nothing(tiny_bundle: Path, plain_bundle: Path, tmp_path: Path) -> None:
    """The folder is free, and what is in it is of another bundle, with a damaged copy: all to be changed at a start."""
    with running_service(tmp_path, tiny_bundle, storage(tmp_path)) as service:
        service.command("set_parameter", name="passes", value=9)
        (tmp_path / "other").mkdir()
        shutil.copytree(tmp_path / "state", tmp_path / "other" / "state")
        state = tmp_path / "other" / "state"
        (state / COPIES[0]).write_bytes(b"damaged")
        (state / "bundles" / f".{'ab' * 32}.part").mkdir()
        before = contents(state)
        configuration = write_configuration(tmp_path / "other.toml", service.endpoints, state)
        assert_refused(plain_bundle, configuration, "endpoints.frames: cannot bind")
        assert contents(state) == before


def test_a_killed_service_leaves_no_lock(tiny_bundle: Path, tmp_path: Path) -> None:
    """Its worker may live a moment longer, stopped even: it does not hold the folder."""
    with running_service(tmp_path, tiny_bundle, storage(tmp_path)) as service:
        worker = service.command("get_status")["worker_pid"]
        os.kill(worker, signal.SIGSTOP)
        service.process.kill()
        service.process.wait()
        try:
            (tmp_path / "second").mkdir()
            endpoints = {name: f"ipc://{tmp_path}/second/{name}" for name in SOCKETS}
            with running_service(tmp_path, tiny_bundle, storage(tmp_path), endpoints=endpoints) as second:
                assert second.command("no_op") == {}
        finally:
            os.kill(worker, signal.SIGKILL)


def test_the_lock_is_given_back(tmp_path: Path) -> None:
    lock = lock_state(tmp_path / "made" / "anew")
    assert lock is not None
    with pytest.raises(ServiceError, match="expected a folder of this service alone"):
        lock_state(tmp_path / "made" / "anew")
    lock.close()
    FolderLock(tmp_path / "made" / "anew").close()
    assert lock_state(None) is None


def test_what_is_not_the_stores_own_is_not_removed(tiny_bundle: Path, tmp_path: Path) -> None:
    """Bundles to be loaded, in the folder in which the service keeps its copies."""
    mine = variant(tiny_bundle, tmp_path / "state" / "bundles" / "mine", "2.0")
    leftover = tmp_path / "state" / "bundles" / f".{'ab' * 32}.part"
    leftover.mkdir()
    with running_service(tmp_path, tiny_bundle, storage(tmp_path)) as service:
        service.wait_for(lambda _: not leftover.exists())
        assert load_bundle(mine).version == "2.0"


# The record of this service


@contextmanager
def with_passes(bundle: Path, folder: Path, passes: int | None = None) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """A service with its state in `folder`; its parameter `passes`, and its events."""
    folder.mkdir(exist_ok=True)
    with journaled_service(folder, bundle, storage(folder)) as (service, journal):
        if passes is not None:
            service.command("set_parameter", name="passes", value=passes)
        yield service.command("get_parameters")["passes"], journal.events()


def two_services(bundle: Path, folder: Path) -> tuple[Path, Path]:
    """The folders of two services that have run, with 21 and 22 passes."""
    for name, passes in (("one", 21), ("two", 22)):
        with with_passes(bundle, folder / name, passes):
            pass
    return folder / "one" / "state", folder / "two" / "state"


def swap(first: Path, second: Path) -> None:
    first.rename(first.with_name("between"))
    second.rename(first)
    first.with_name("between").rename(second)


def test_the_records_of_two_services_swapped_are_not_adopted(tiny_bundle: Path, tmp_path: Path) -> None:
    one, two = two_services(tiny_bundle, tmp_path)
    for name in COPIES:
        swap(one / name, two / name)
    with with_passes(tiny_bundle, tmp_path / "one") as (passes, events):
        assert passes == load_bundle(tiny_bundle).passes
        (lost,) = [message for name, message in events if name == "record_lost"]
        assert "written by another service, in " in lost
        assert str(two.resolve()) in lost
    # They were put aside.
    shutil.copy(one / f"{COPIES[0]}.other", two / COPIES[0])
    (two / COPIES[1]).unlink()
    with with_passes(tiny_bundle, tmp_path / "two") as (passes, events):
        assert passes == 22
        assert "record_copy_damaged" in [name for name, _ in events]


def test_one_copy_of_another_service_does_not_count_however_new_it_is(tiny_bundle: Path, tmp_path: Path) -> None:
    one, two = two_services(tiny_bundle, tmp_path)
    with with_passes(tiny_bundle, tmp_path / "two", 23):
        pass
    shutil.copy(two / COPIES[1], one / COPIES[1])
    with with_passes(tiny_bundle, tmp_path / "one") as (passes, events):
        assert passes == 21
        (damaged,) = [message for name, message in events if name == "record_copy_damaged"]
        assert "written by another service" in damaged
    with with_passes(tiny_bundle, tmp_path / "one") as (passes, events):
        assert passes == 21
        assert not {"record_copy_damaged", "record_lost", "record_moved"} & {name for name, _ in events}


@pytest.mark.parametrize("how", ["swapped", "moved", "copies alone"])
def test_a_state_folder_in_another_place_is_used_and_told(tiny_bundle: Path, tmp_path: Path, how: str) -> None:
    one, two = two_services(tiny_bundle, tmp_path)
    if how == "swapped":
        swap(one, two)
    else:
        shutil.rmtree(one)
        shutil.copytree(two, one)
        if how == "copies alone":
            (one / IDENTITY).unlink()
    with with_passes(tiny_bundle, tmp_path / "one") as (passes, events):
        assert passes == 22
        (moved,) = [message for name, message in events if name == "record_moved"]
        assert str(two.resolve()) in moved
    with with_passes(tiny_bundle, tmp_path / "one") as (passes, events):
        assert passes == 22
        assert "record_moved" not in [name for name, _ in events]


# A storage that forgets


@pytest.mark.parametrize("harm", ["removed", "damaged", "older"])
def test_copies_that_are_lost_while_the_service_runs_do_not_count_and_are_written_again(
    tiny_bundle: Path, tmp_path: Path, harm: str
) -> None:
    state = tmp_path / "state"
    with journaled_service(tmp_path, tiny_bundle, storage(tmp_path)) as (service, journal):
        service.command("set_parameter", name="passes", value=21)
        older = {name: (state / name).read_bytes() for name in COPIES}
        service.command("set_parameter", name="passes", value=22)
        newest = {name: (state / name).read_bytes() for name in COPIES}
        assert service.command("get_status")["record_copies"] == 2
        for name in COPIES:
            if harm == "removed":
                (state / name).unlink()
            else:
                (state / name).write_bytes(older[name] if harm == "older" else newest[name][:-1])
        service.wait_for(lambda status: status["record_copies"] == 2, 10)
        assert len(journal.messages("record_copy_damaged")) >= 2
        service.process.kill()
        service.process.wait()
    with journaled_service(tmp_path, tiny_bundle, storage(tmp_path)) as (service, journal):
        assert service.command("get_parameters")["passes"] == 22


def test_copies_that_cannot_be_written_again_are_not_counted(tiny_bundle: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with journaled_service(tmp_path, tiny_bundle, storage(tmp_path)) as (service, journal):
        state.rename(tmp_path / "gone")
        service.wait_for(lambda status: status["record_copies"] == 0, 5)
        journal.wait_for("record_not_written")
        assert service.command("get_status")["record_copies"] == 0
        (tmp_path / "gone").rename(state)


# A slow storage

SLOW_S = 0.6


@contextmanager
def on_slow_storage(bundle: Path, folder: Path) -> Iterator[tuple[RunningService, Path]]:
    """Every flush takes so long while the file `slow` is there."""
    slow = folder / "slow"
    environment = changed_python(
        folder / "python",
        "serve",
        f"""
import os, time
flush = os.fsync
def fsync(descriptor):
    if os.path.exists({str(slow)!r}):
        time.sleep({SLOW_S})
    flush(descriptor)
os.fsync = fsync
""",
    )
    with journaled_service(folder, bundle, storage(folder) + QUIET, environment=environment) as (service, _):
        slow.touch()
        yield service, slow


def longest_wait(service: RunningService, stop: threading.Event) -> float:
    """The longest wait for the answer to a command that needs no storage."""
    longest = 0.0
    with service.commander(timeout_s=30.0) as commander:
        # The test may have failed, and not say so.
        while not stop.wait(0.02) and service.process.poll() is None:
            began = time.monotonic()
            commander.send("no_op")
            longest = max(longest, time.monotonic() - began)
    return longest


@pytest.mark.parametrize("what", ["parameters", "activation", "fall back", "repair"])
def test_a_slow_storage_holds_nothing_up(tiny_bundle: Path, tmp_path: Path, what: str) -> None:
    variant(tiny_bundle, tmp_path / "uplink" / "next", "2.0")
    # The pool is waited for once the service has ended, whatever happened.
    with ThreadPoolExecutor(4) as pool, on_slow_storage(tiny_bundle, tmp_path) as (service, slow):
        if what in ("activation", "fall back"):
            slow.unlink()
            command(service, "load_bundle", path="next")
            command(service, "validate_bundle")
            if what == "fall back":
                command(service, "activate_bundle")
            slow.touch()
        stop = threading.Event()
        waited = pool.submit(longest_wait, service, stop)
        began = time.monotonic()
        if what == "parameters":
            sent = [pool.submit(command, service, "set_parameter", name="passes", value=value) for value in (21, 22)]
            for future in sent:
                future.result()
            # Two copies, each with its file and its folder to be flushed, twice.
            assert time.monotonic() - began > 7 * SLOW_S
            assert service.command("get_parameters")["passes"] in (21, 22)
        elif what == "activation":
            assert command(service, "activate_bundle")["version"] == "2.0"
            assert time.monotonic() - began > 3 * SLOW_S
        else:
            pid = service.command("get_status")["worker_pid"]
            if what == "repair":
                (copy,) = (tmp_path / "state" / "bundles").iterdir()
                (copy / "First.tflite").write_bytes(b"")
            os.kill(pid, signal.SIGKILL)
            service.wait_for(lambda status: status["state"] == "ready" and status["worker_pid"] not in (None, pid))
            assert service.command("get_status")["bundle"]["version"] == "1.0"
        stop.set()
        assert waited.result() < SLOW_S
        slow.unlink()
    with running_service(tmp_path, tiny_bundle, storage(tmp_path)) as service:
        status = service.command("get_status")
        assert status["bundle"]["version"] == ("2.0" if what == "activation" else "1.0")
        assert status["record_copies"] == 2


def test_changes_that_wait_for_the_storage_are_carried_out_in_order_beside_other_commands(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    """Each keeps what the one before it has set, and a command that takes time does not make them wait."""
    with on_slow_storage(tiny_bundle, tmp_path) as (service, _), ThreadPoolExecutor(4) as pool:
        test = pool.submit(command, service, "self_test")
        sent = []
        for values in ({"passes": 21}, {"gamma": 2.5}, {"mode": "First", "passes": 22}):
            sent.append(pool.submit(command, service, "set_parameters", values=values))
            time.sleep(0.2)
        assert test.result(timeout=20) == {"passed": True}
        for future in sent:
            future.result()
        after = service.command("get_parameters")
        assert (after["passes"], after["gamma"], after["mode"]) == (22, 2.5, "First")
        service.process.kill()
        service.process.wait()
    with running_service(tmp_path, tiny_bundle, storage(tmp_path)) as service:
        after = service.command("get_parameters")
        assert (after["passes"], after["gamma"], after["mode"]) == (22, 2.5, "First")


# A network that refuses frames


def test_a_frame_that_a_network_refuses_does_not_spoil_the_next(tiny_bundle: Path, tmp_path: Path) -> None:
    """The first network ends with an error at once while the second is still at work, in a thread of its own."""
    environment = changed_python(
        tmp_path / "python",
        "flight.service.worker",
        """
import time
import flight.inference.network as network
run = network.Network.run
def refuse(self, number):
    image = self._images[0]
    if self.name == "First" and image.min() == image.max():
        raise RuntimeError("refused")
    if self.name == "Second":
        time.sleep(0.05)
    return run(self, number)
network.Network.run = refuse
""",
    )
    with (
        journaled_service(tmp_path, tiny_bundle, QUIET, environment=environment) as (service, _),
        service.subscriber("map.navigation") as products,
        service.camera(source="some") as camera,
    ):
        for number in range(20):
            bad = number % 2 == 0
            camera.send(np.full_like(FRAME, 77) if bad else FRAME, centered=True)
            product = products.receive(20)
            assert product is not None
            assert product.header["flags"] == (["frame_refused"] if bad else []), number
