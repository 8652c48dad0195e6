"""Standstills: no healthy worker is lost because the machine, or the service, could not run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flight.service import silence
from flight.service.silence import RunningClock, SilenceTimer
from tests.flight.service.scenarios import (
    FRAME,
    Stream,
    answer,
    command,
    journaled_service,
    storage,
    variant,
)
from tests.flight.service_process import RunningService

# Much shorter than the standstills below; a computer that others use may still take this long.
IMPATIENT = "[worker]\nhang_timeout_s = 1.0\n[parameters]\nentropy_factor = 100.0\nself_test_interval = 0\n"
STANDSTILL_S = 2.5


class Time:
    """In place of the monotonic clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def fake_time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def test_of_a_standstill_one_turn_counts(fake_time: Time) -> None:
    clock = RunningClock()
    for step in (0.05, 0.1, 0.01):
        fake_time.now += step
        clock.read()
    assert clock.read() == pytest.approx(0.16)
    fake_time.now += 3600.0
    assert clock.read() == pytest.approx(0.21)
    assert clock.read() == pytest.approx(0.21)


def test_a_machine_that_stands_still_again_and_again_does_not_hide_a_hanging_worker(fake_time: Time) -> None:
    timer = SilenceTimer(RunningClock())
    for _ in range(20):
        for step in (0.5, 0.05, 0.05):
            fake_time.now += step
            timer.silence_s()
    assert timer.silence_s() == pytest.approx(3.0)


def test_what_a_process_waits_for_the_processor_is_not_its_silence(
    fake_time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = {"runnable": True, "ran_s": 5.0, "waited_s": 1.0}
    monkeypatch.setattr(silence, "_read_threads", lambda _: {"1": silence._Thread(**thread)})
    timer = SilenceTimer(RunningClock())

    def pass_time(seconds: float, **changes: float) -> None:
        for _ in range(round(10 * seconds)):
            fake_time.now += 0.1
            timer.look(1)
        thread.update(changes)

    pass_time(1.0)
    # Before the first look nothing is known; from then on it could run, and did not.
    assert timer.silence_s(60.0) == pytest.approx(0.3)
    # It sleeps.
    thread.update(runnable=False)
    pass_time(2.0)
    assert timer.silence_s(60.0) == pytest.approx(2.3)
    assert timer.job_s(60.0) == pytest.approx(2.3)
    # It waits, but ten times the limit is enough.
    thread.update(runnable=True)
    pass_time(30.0)
    assert timer.silence_s(60.0) == pytest.approx(2.4)
    assert timer.silence_s(1.0) == pytest.approx(33.0 - 10.0)
    timer.begin_silence()
    assert timer.silence_s(1.0) == 0.0
    assert timer.job_s(60.0) == pytest.approx(2.4)


def test_waits_are_estimated_where_the_kernel_does_not_count_them(
    fake_time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = {"runnable": True, "ran_s": 5.0, "waited_s": None}
    monkeypatch.setattr(silence, "_read_threads", lambda _: {"1": silence._Thread(**thread)})
    timer = SilenceTimer(RunningClock())
    for _ in range(100):  # it gets a tenth of a processor
        fake_time.now += 0.1
        thread["ran_s"] += 0.01
        timer.look(1)
    assert timer.silence_s(60.0) == pytest.approx(0.3 + 0.1 * 9.7)
    thread["runnable"] = False
    for _ in range(20):
        fake_time.now += 0.1
        timer.look(1)
    assert timer.silence_s(60.0) == pytest.approx(0.3 + 0.1 * 9.7 + 2.0)


def test_looking_takes_a_small_share_of_a_slow_processor(fake_time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    thread = {"runnable": True, "ran_s": 5.0, "waited_s": 1.0}
    looks = []

    def read_slowly(_: int) -> dict[str, Any]:
        looks.append(fake_time.now)
        fake_time.now += 0.1
        return {"1": silence._Thread(**thread)}

    monkeypatch.setattr(silence, "_read_threads", read_slowly)
    timer = SilenceTimer(RunningClock())
    began = fake_time.now
    while fake_time.now < began + 60.0:
        fake_time.now += 0.05
        timer.look(1)
    assert 20 <= len(looks) <= 0.06 * 60.0 / 0.1
    # All the same what it waited is known: all of it, but before the first look and since the last one.
    assert timer.silence_s(60.0) < 0.3 + 2.5


@pytest.mark.parametrize("text", [None, "0 0 0\n", "nonsense"])
def test_threads_are_found_without_the_kernels_count_of_waits(
    monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    read_text = Path.read_text

    def read(path: Path, *arguments: object, **keywords: object) -> str:
        if path.name != "schedstat":
            return read_text(path, *arguments, **keywords)
        if text is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr(Path, "read_text", read)
    mine = silence._read_threads(os.getpid())[str(os.getpid())]
    assert mine.runnable
    assert mine.waited_s is None
    assert 0.0 < mine.ran_s <= time.process_time() + 0.02


def test_the_threads_of_a_process_are_found() -> None:
    threads = silence._read_threads(os.getpid())
    mine = threads[str(os.getpid())]
    assert mine.runnable
    assert mine.ran_s > 0.0
    assert silence._read_threads(2**22 + 1) == {}


def stand_still(*pids: int) -> None:
    """Stop the processes for a while; the first one goes on before the others."""
    for pid in reversed(pids):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(STANDSTILL_S)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.05)


def children(pid: int) -> set[int]:
    """The workers of a service."""
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def no_worker_is_lost(service: RunningService, disturb: Callable[[], None], settle_s: float = 2.0) -> None:
    before = service.command("get_status")
    disturb()
    time.sleep(settle_s)
    after = service.command("get_status")
    assert after["worker_pid"] == before["worker_pid"]
    assert after["counters"]["worker_restarts"] == before["counters"]["worker_restarts"]
    assert after["state"] == "ready"


def test_a_standstill_costs_no_worker(tiny_bundle: Path, tmp_path: Path) -> None:
    """Idle, busy, and in the self-test; whoever goes on first."""
    with journaled_service(tmp_path, tiny_bundle, IMPATIENT) as (service, journal):
        pid, worker = service.process.pid, service.command("get_status")["worker_pid"]
        for order in ((pid, worker), (worker, pid), (pid,)):
            no_worker_is_lost(service, lambda order=order: stand_still(*order))
        service.command("set_parameter", name="passes", value=100)
        with Stream(service, per_second=20.0):
            for order in ((pid, worker), (worker, pid)):
                no_worker_is_lost(service, lambda order=order: stand_still(*order))
        service.command("set_parameter", name="passes", value=4)
        assert journal.messages("worker_timeout") == []
        assert answer(service, "after")[0].status == "valid"


def test_a_standstill_while_a_worker_starts_costs_no_worker(tiny_bundle: Path, tmp_path: Path) -> None:
    """The start takes less than its limit, the standstill more."""
    settings = IMPATIENT.replace("hang_timeout_s = 1.0", "hang_timeout_s = 1.0\nstart_timeout_s = 8.0")
    with journaled_service(tmp_path, tiny_bundle, settings) as (service, journal):
        pid = service.process.pid
        os.kill(service.command("get_status")["worker_pid"], signal.SIGKILL)
        worker = service.wait_for(lambda status: status["worker_pid"] is not None and status["state"] != "ready")
        os.kill(worker["worker_pid"], signal.SIGSTOP)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(10.0)
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.05)
        os.kill(worker["worker_pid"], signal.SIGCONT)
        after = service.wait_for(lambda status: status["state"] == "ready")
        assert after["worker_pid"] == worker["worker_pid"]
        assert journal.messages("worker_timeout") == []


def test_a_standstill_during_validation_and_on_probation_costs_no_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    variant(tiny_bundle, tmp_path / "uplink" / "next", "2.0")
    with journaled_service(tmp_path, tiny_bundle, storage(tmp_path) + IMPATIENT) as (service, journal):
        pid, worker = service.process.pid, service.command("get_status")["worker_pid"]
        command(service, "load_bundle", path="next")
        with ThreadPoolExecutor(1) as pool:
            validation = pool.submit(command, service, "validate_bundle")
            while not (candidates := children(pid) - {worker}):
                time.sleep(0.01)
            stand_still(pid, worker, *candidates)
            assert validation.result()["version"] == "2.0"
        command(service, "activate_bundle")
        status = service.command("get_status")
        assert status["bundle_on_probation"]
        no_worker_is_lost(service, lambda: stand_still(pid, status["worker_pid"]))
        assert service.command("get_status")["bundle"]["version"] == "2.0"
        assert journal.messages("bundle_fell_back") == []


def _use_processor(core: int) -> None:
    os.sched_setaffinity(0, {core})
    while True:
        pass


@contextmanager
def starved(service: int, worker: int) -> Iterator[None]:
    """Leave a worker next to no processor, and its service one of its own."""
    cores = sorted(os.sched_getaffinity(0))
    # To whom each step of niceness gives a fifth less: as many as weigh what six do that are not nice.
    count = min(250, round(6 * 1.25 ** max(os.getpriority(os.PRIO_PROCESS, 0), 0)))
    for task in Path(f"/proc/{worker}/task").iterdir():
        os.sched_setaffinity(int(task.name), {cores[0]})
        os.setpriority(os.PRIO_PROCESS, int(task.name), 19)
    os.sched_setaffinity(service, set(cores[1:]))
    hogs = [multiprocessing.get_context("fork").Process(target=_use_processor, args=(cores[0],)) for _ in range(count)]
    for hog in hogs:
        hog.start()
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
        for hog in hogs:
            hog.join()
        for task in Path(f"/proc/{worker}/task").iterdir():
            os.sched_setaffinity(int(task.name), set(cores))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_a_worker_without_a_processor_is_waited_for(tiny_bundle: Path, tmp_path: Path) -> None:
    """A frame takes it several times the limit, in which it gets a 400th of a core; then it answers."""
    settings = IMPATIENT.replace("hang_timeout_s = 1.0", "hang_timeout_s = 0.5")
    with journaled_service(tmp_path, tiny_bundle, settings) as (service, journal):
        service.command("set_parameter", name="passes", value=50)
        before = service.command("get_status")
        with service.subscriber("map.navigation") as products, service.camera(source="starved") as camera:
            with starved(service.process.pid, before["worker_pid"]):
                camera.send(FRAME, centered=True)
                assert products.receive(3.0) is None
            product = products.receive(120)  # Nice as it stays, it has little of a busy computer.
        assert product is not None
        assert product.status != "invalid"
        assert journal.messages("worker_timeout") == []
        assert service.command("get_status")["worker_pid"] == before["worker_pid"]
