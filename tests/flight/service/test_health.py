"""The service watching itself: safe state, self-tests, the bundle's files, counters."""

from __future__ import annotations

import ast
import ctypes
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import zmq

from flight.bundle import Bundle, load_bundle
from flight.client import CommandFailed
from flight.service.restarts import Restarts
from flight.service.statistics import Counters
from tests.flight.service.scenarios import (
    FRAME,
    Journal,
    answer,
    assert_offline_answer,
    command,
    damage,
    journaled_service,
    storage,
)
from tests.flight.service_process import RunningService

# The tiny networks are never sure.
QUIET = "[parameters]\nentropy_factor = 100.0\n"


def kill_worker(service: RunningService, number: int = signal.SIGKILL) -> int:
    """Send the worker a signal; its process id."""
    pid: int = service.command("get_status")["worker_pid"]
    os.kill(pid, number)
    return pid


def own_copy(folder: Path) -> Path:
    """The service's own copy of the one bundle that it has, with storage(folder)."""
    (copy,) = (folder / "state" / "bundles").iterdir()
    return copy


@contextmanager
def in_safe_state(bundle: Path, folder: Path, settings: str = "") -> Iterator[tuple[RunningService, Journal]]:
    """A service whose worker was killed once more often than it may be restarted."""
    settings += QUIET + "[worker]\nrestart_limit = 2\n"
    with journaled_service(folder, bundle, settings) as (service, journal):
        for _ in range(2):
            pid = kill_worker(service)
            service.wait_for(lambda s, pid=pid: s["state"] == "ready" and s["worker_pid"] not in (None, pid))
        kill_worker(service)
        service.wait_for(lambda s: s["state"] == "safe", 60)
        yield service, journal


def test_too_many_restarts_lead_to_the_safe_state_and_recover_out_of_it(tiny_bundle: Path, tmp_path: Path) -> None:
    with in_safe_state(tiny_bundle, tmp_path) as (service, journal):
        assert "more than 2 worker restarts" in journal.wait_for("safe_state_entered")
        status = service.command("get_status")
        assert (status["worker_pid"], status["counters"]["worker_restarts"]) == (None, 2)
        with (
            service.subscriber("map.navigation", "map.hazard", newest=False) as products,
            service.camera(source="safe") as camera,
        ):
            for _ in range(3):
                frame_id = camera.send(FRAME, centered=True)
                for topic in ("map.navigation", "map.hazard"):
                    product = products.receive(30)
                    assert (product.topic, product.header["frame_id"]) == (topic, frame_id)
                    assert (product.status, product.header["flags"]) == ("invalid", ["safe_state"])
                    assert product.planes == {}
        with service.telemetry("telemetry.housekeeping") as telemetry:
            assert [telemetry.receive(30)[1]["state"] for _ in range(3)] == ["safe"] * 3
        assert service.command("set_parameter", name="passes", value=5)["value"] == 5
        with pytest.raises(CommandFailed) as caught:
            command(service, "self_test")
        assert caught.value.code == "wrong_state"
        assert service.command("get_status")["counters"]["frames_processed"] == 0
        assert service.command("recover") == {}
        service.wait_for(lambda s: s["state"] == "ready")
        journal.wait_for("safe_state_left")
        assert answer(service, "recovered")[0].status == "valid"
        # The allowance begins anew.
        kill_worker(service)
        assert answer(service, "once more")[0].status == "valid"


def test_recover_in_another_state_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    with journaled_service(tmp_path, tiny_bundle) as (service, _):
        before = service.command("get_status")["worker_pid"]
        with pytest.raises(CommandFailed, match="expected the safe state, got ready") as caught:
            service.command("recover")
        assert caught.value.code == "wrong_state"
        assert service.command("get_status")["worker_pid"] == before


def test_a_repair_does_not_end_the_safe_state(tiny_bundle: Path, tmp_path: Path) -> None:
    settings = storage(tmp_path) + "[integrity]\nfile_check_interval_s = 0.2\n"
    with in_safe_state(tiny_bundle, tmp_path, settings) as (service, journal):
        damage(own_copy(tmp_path) / "First.tflite")
        journal.wait_for("bundle_repaired")
        status = service.command("get_status")
        assert (status["state"], status["worker_pid"]) == ("safe", None)
        service.command("recover")
        service.wait_for(lambda s: s["state"] == "ready")
        assert_offline_answer(answer(service, "recovered")[0], load_bundle(tiny_bundle))


def test_an_idle_worker_that_hangs_is_replaced_without_any_frame(tiny_bundle: Path, tmp_path: Path) -> None:
    with journaled_service(tmp_path, tiny_bundle) as (service, journal):
        pid = kill_worker(service, signal.SIGSTOP)
        assert f"pid {pid}: idle, no heartbeat" in journal.wait_for("worker_timeout")
        status = service.wait_for(lambda s: s["state"] == "ready" and s["worker_pid"] not in (None, pid))
        assert status["counters"]["frames_received"] == 0
        assert status["counters"]["worker_restarts"] == 1


def test_a_self_test_by_command_passes_and_is_counted(tiny_bundle: Path, tmp_path: Path) -> None:
    with journaled_service(tmp_path, tiny_bundle) as (service, journal):
        before = service.command("get_status")
        assert before["self_test"]["passed"] is True
        assert command(service, "self_test") == {"passed": True}
        assert journal.wait_for("self_test_passed") == "100.00 % of the pixels as recorded"
        after = service.command("get_status")
        assert after["counters"]["self_tests_passed"] == before["counters"]["self_tests_passed"] + 1
        assert after["counters"]["self_tests_failed"] == 0
        assert after["self_test"]["time_ns"] > before["self_test"]["time_ns"]


def test_a_self_test_runs_by_itself_after_the_interval(tiny_bundle: Path, tmp_path: Path) -> None:
    with journaled_service(tmp_path, tiny_bundle, "[parameters]\nself_test_interval = 5\n") as (service, journal):
        answer(service, "few", 4)
        assert journal.messages("self_test_passed") == []
        answer(service, "one more", 1)
        journal.wait_for("self_test_passed")
        answer(service, "again", 5)
        journal.wait_for("self_test_passed", 2)
        service.command("set_parameter", name="self_test_interval", value=0)
        answer(service, "never", 6)
        assert len(journal.messages("self_test_passed")) == 2


# The worker's memory, from outside


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_LIBC = ctypes.CDLL(None, use_errno=True)


def _transfer(name: str, pid: int, address: int, buffer: ctypes.Array) -> int:
    local, remote = _Vector(ctypes.addressof(buffer), len(buffer)), _Vector(address, len(buffer))
    call = getattr(_LIBC, name)
    call.restype = ctypes.c_ssize_t
    return int(call(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0))


def writable_memory(pid: int) -> Iterator[tuple[int, bytes]]:
    """Address and content of every readable and writable mapping of a process."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, rights = line.split()[:2]
        first, last = (int(number, 16) for number in span.split("-"))
        if not rights.startswith("rw") or last - first > 1 << 28:
            continue
        buffer = ctypes.create_string_buffer(last - first)
        count = _transfer("process_vm_readv", pid, first, buffer)
        if count > 0:
            yield first, buffer.raw[:count]


def flip_bits(pid: int, patterns: list[bytes], bit: int) -> int:
    """Flip a bit in every copy of each pattern in a process's memory; how many were found."""
    found = 0
    for base, content in writable_memory(pid):
        for pattern in patterns:
            place = content.find(pattern)
            while place >= 0:
                flipped = ctypes.create_string_buffer(bytes([content[place + bit // 8] ^ (1 << bit % 8)]), 1)
                assert _transfer("process_vm_writev", pid, base + place + bit // 8, flipped) == 1
                found += 1
                place = content.find(pattern, place + len(pattern))
    return found


def weights(bundle: Bundle) -> list[bytes]:
    """The tiny network's last convolution as the .tflite file holds it, and as packed for the kernels."""
    scores = np.random.default_rng(0)
    scores.normal(0.0, 0.5, (3, 3, bundle.channels, 8))
    last = scores.normal(0.0, 1.0, (8, len(bundle.classes))).astype("<f4")
    in_file = last.T.tobytes()
    assert in_file in bundle.networks[0].content
    return [in_file, *(row.tobytes() for row in last)]


def test_an_upset_in_the_workers_memory_is_found_and_a_fresh_worker_answers(tiny_bundle: Path, tmp_path: Path) -> None:
    """Bits of the live worker's memory are flipped from outside, as radiation would."""
    bundle = load_bundle(tiny_bundle)
    with journaled_service(tmp_path, tiny_bundle, QUIET) as (service, journal):
        before = service.command("get_status")
        pid = before["worker_pid"]
        # The sign of a weight.
        assert flip_bits(pid, weights(bundle), 31) > 0
        with pytest.raises(CommandFailed) as caught:
            command(service, "self_test")
        assert caught.value.code == "not_valid"
        journal.wait_for("self_test_failed")
        status = service.wait_for(lambda s: s["state"] == "ready" and s["worker_pid"] not in (None, pid))
        assert status["counters"]["self_tests_failed"] == 1
        assert status["counters"]["worker_restarts"] == 1
        assert_offline_answer(answer(service, "after")[0], bundle)
        assert command(service, "self_test") == {"passed": True}


# Files


def test_a_changed_file_of_the_bundle_is_found_and_repaired(tiny_bundle: Path, tmp_path: Path) -> None:
    settings = storage(tmp_path) + QUIET + "[integrity]\nfile_check_interval_s = 0.2\n"
    with journaled_service(tmp_path, tiny_bundle, settings) as (service, journal):
        copy = own_copy(tmp_path)
        service.wait_for(lambda s: s["counters"]["file_checks_passed"] >= 1)
        assert service.command("get_status")["counters"]["file_checks_failed"] == 0
        pid = service.command("get_status")["worker_pid"]
        damage(copy / "Second.tflite")
        assert str(copy / "Second.tflite") in journal.wait_for("bundle_damaged")
        journal.wait_for("bundle_repaired")
        status = service.wait_for(lambda s: s["state"] == "ready")
        assert status["counters"]["file_checks_failed"] == 1
        assert status["worker_pid"] != pid
        assert status["counters"]["worker_restarts"] == 0
        assert_offline_answer(answer(service, "repaired")[0], load_bundle(tiny_bundle))
        kill_worker(service)
        assert_offline_answer(answer(service, "replaced")[0], load_bundle(tiny_bundle))
        passed = service.command("get_status")["counters"]["file_checks_passed"]
        service.wait_for(lambda s: s["counters"]["file_checks_passed"] > passed)
        # What was written again is watched like what was there before.
        damage(copy / "First.tflite")
        assert str(copy / "First.tflite") in journal.wait_for("bundle_damaged", 2)
        journal.wait_for("bundle_repaired", 2)
        kill_worker(service)
        assert_offline_answer(answer(service, "twice")[0], load_bundle(tiny_bundle))
    assert (copy / "First.tflite").read_bytes() == (tiny_bundle / "First.tflite").read_bytes()


def test_a_change_of_the_factory_folder_is_told_once_and_changes_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))
    settings = QUIET + "[integrity]\nfile_check_interval_s = 0.2\n"
    with journaled_service(tmp_path, bundle, settings) as (service, journal):
        damage(bundle / "Second.tflite")
        assert f"{bundle / 'Second.tflite'}: sha256" in journal.wait_for("bundle_damaged")
        passed = service.command("get_status")["counters"]["file_checks_passed"]
        status = service.wait_for(lambda s: s["counters"]["file_checks_passed"] > passed + 1)
        assert status["state"] == "ready"
        assert status["counters"]["file_checks_failed"] == status["counters"]["worker_restarts"] == 0
        assert len(journal.messages("bundle_damaged")) == 1
        assert_offline_answer(answer(service, "after")[0], load_bundle(tiny_bundle))


def test_a_fresh_worker_that_finds_its_files_changed_gets_good_ones(tiny_bundle: Path, tmp_path: Path) -> None:
    """Without periodic checks and without a state folder: the files come from the service's memory."""
    (tmp_path / "scratch").mkdir()
    settings = QUIET + "[integrity]\nfile_check_interval_s = 0\n"
    environment = {"TMPDIR": str(tmp_path / "scratch")}
    with journaled_service(tmp_path, tiny_bundle, settings, environment=environment) as (service, journal):
        (copy,) = (tmp_path / "scratch").glob("rubblemap_bundles_*/bundles/*")
        shutil.rmtree(copy)
        pid = kill_worker(service)
        journal.wait_for("bundle_refused")
        service.wait_for(lambda s: s["state"] == "ready" and s["worker_pid"] not in (None, pid))
        assert_offline_answer(answer(service, "after")[0], load_bundle(tiny_bundle))


# Telemetry


def test_counters_begin_anew_on_command(tiny_bundle: Path, tmp_path: Path) -> None:
    with journaled_service(tmp_path, tiny_bundle) as (service, journal):
        answer(service, "before", 3)
        before = service.command("get_status")
        assert before["counters"]["frames_processed"] == 3
        assert before["counters"]["frames_received"] == before["counters"]["frames_accepted"] == 3
        assert before["counters"]["products_published"] == {"map.navigation": 3, "map.hazard": 3, "map.full": 0}
        assert before["latency_ms"]["total"]["max"] > 0
        assert service.command("reset_counters") == {}
        after = service.command("get_status")
        # The reply to the command is the first to be counted.
        assert after["counters"] == {**Counters().values(), "commands_accepted": 1}
        assert {value for stage in after["latency_ms"].values() for value in stage.values()} == {0.0}
        journal.wait_for("counters_reset")
        assert answer(service, "after")[0].header["sequence"] == 3


def test_events_beyond_their_limit_are_held_back_and_counted(tiny_bundle: Path, tmp_path: Path) -> None:
    with journaled_service(tmp_path, tiny_bundle) as (service, journal):
        socket = zmq.Context.instance().socket(zmq.PUSH)
        socket.connect(service.endpoints["frames"])
        for _ in range(13):
            socket.send_multipart([b"no frame"])
        status = service.wait_for(lambda s: s["counters"]["frames_rejected"]["wrong_parts"] == 13, 10)
        socket.close()
        assert status["counters"]["events_suppressed"] == 3
        assert len(journal.messages("frame_rejected")) == 10


def test_housekeeping_tells_the_state_of_everything(tiny_bundle: Path, tmp_path: Path) -> None:
    with journaled_service(tmp_path, tiny_bundle, storage(tmp_path)) as (service, _):
        answer(service, "one")
        status = service.command("get_status")
        with service.telemetry("telemetry.housekeeping") as telemetry:
            _, housekeeping = telemetry.receive(30)
        assert set(status) | {"schema", "type"} == set(housekeeping)
        assert housekeeping["bundle"] == load_bundle(tiny_bundle).identity
        assert Path(f"/proc/{housekeeping['worker_pid']}").exists()
        assert 0 <= housekeeping["worker_last_answer_age_s"] < 10
        assert abs(housekeeping["time_ns"] - time.time_ns()) < 5e9
        assert 0 < housekeeping["uptime_s"] < 300
        assert housekeeping["parameters"] == service.command("get_parameters")
        assert housekeeping["self_test"]["passed"] is True
        assert housekeeping["record_copies"] == 2
        assert housekeeping["staged_bundle"] is None
        assert housekeeping["bundle_on_probation"] is False
        assert set(housekeeping["counters"]) == {field.name for field in fields(Counters)}


# Counter -> a test that asserts that it moves.
MOVED_BY = {
    "frames_received": "test_counters_begin_anew_on_command",
    "frames_accepted": "test_counters_begin_anew_on_command",
    "frames_superseded": "test_the_newest_frame_wins",
    "frames_processed": "test_counters_begin_anew_on_command",
    "commands_accepted": "test_counters_begin_anew_on_command",
    "commands_rejected": "test_a_refused_command_says_why_and_changes_nothing",
    "worker_restarts": "test_the_next_frame_after_the_workers_death_is_answered",
    "self_tests_passed": "test_a_self_test_by_command_passes_and_is_counted",
    "self_tests_failed": "test_an_upset_in_the_workers_memory_is_found_and_a_fresh_worker_answers",
    "file_checks_passed": "test_a_changed_file_of_the_bundle_is_found_and_repaired",
    "file_checks_failed": "test_a_changed_file_of_the_bundle_is_found_and_repaired",
    "bundle_activations": "test_another_bundle_is_activated_without_losing_a_frame",
    "bundle_fall_backs": "test_a_failing_bundle_falls_back_and_its_frame_is_answered",
    "upsets_found": "test_an_upset_costs_the_worker_and_its_frame_is_answered_by_the_next",
    "handshakes_failed": "test_nobody_else_gets_through",
    "events_suppressed": "test_events_beyond_their_limit_are_held_back_and_counted",
    "frames_rejected": "test_a_bad_frame_moves_its_counter_sends_an_event_and_changes_nothing",
    "products_published": "test_counters_begin_anew_on_command",
}


def test_every_counter_is_moved_by_a_test_that_names_it() -> None:
    assert set(MOVED_BY) == {field.name for field in fields(Counters)}
    bodies = {}
    for path in Path(__file__).parent.glob("test_*.py"):
        source = path.read_text()
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef):
                bodies[node.name] = ast.get_source_segment(source, node)
    for counter, test in MOVED_BY.items():
        assert counter in bodies[test], (counter, test)


def test_workers_that_never_become_ready_lead_to_the_safe_state_however_slowly() -> None:
    restarts = Restarts(limit=5, window_s=60.0)
    assert [restarts.plan_start(1000.0 * number) is None for number in range(6)] == [False] * 5 + [True]
    assert restarts.unready_workers == 6
    restarts.reset()
    assert restarts.unready_workers is None
    for number in range(50):
        assert restarts.plan_start(1000.0 * number) is not None
        restarts.note_ready()


def test_too_many_restarts_in_the_window_are_not_taken_for_workers_that_never_become_ready() -> None:
    restarts = Restarts(limit=5, window_s=60.0)
    for number in range(5):
        assert restarts.plan_start(float(number)) is not None
        restarts.note_ready()
    assert restarts.plan_start(5.0) is None
    assert restarts.unready_workers is None
