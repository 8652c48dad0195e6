"""Boards that are much slower than any default limit: waited for without a setting, and a worker that hangs is not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

from flight.bundle import load_bundle
from flight.client import CommandFailed
from flight.inference import engine as engine_module
from flight.inference.engine import Engine
from flight.inference.uncertainty import Accumulator
from flight.service import self_tests as self_tests_module
from flight.service.configuration import WorkerSection, load_configuration
from flight.service.pace import Course, Pace
from flight.service.parameters import Parameters
from flight.service.protocol import FrameJob, Ready, SelfTestAnswer, SelfTestJob
from flight.service.record import Record
from flight.service.restarts import Restarts
from flight.service.self_tests import SelfTests
from flight.service.statistics import Counters
from flight.service.worker_limits import WorkerLimits
from flight.settings import default_parameters, default_settings
from tests.flight.service.scenarios import FRAME, Journal, answer, command, journaled_service
from tests.flight.service.test_faults import changed_python
from tests.flight.service.test_systemd import listening
from tests.flight.service_process import RunningService
from tests.tiny_bundle import write_tiny_bundle

BUNDLE = "ab" * 32
OTHER = "cd" * 32
DIGEST = "ef" * 32
# What a pass takes, in processor time, and the limits that are far below it: those of a board that takes a minute for a
# pass, made 60 times shorter.
PASS_S = 1.1
LIMITS = {"start_timeout_s": 1.0, "answer_timeout_s": 1.0, "hang_timeout_s": 0.5}
SLOW_WORKER = f"""
import time
import flight.inference.network as network
right = network.Network.run
def run(self, number):
    began = time.thread_time()
    while time.thread_time() - began < {PASS_S}:
        pass
    return right(self, number)
network.Network.run = run
"""
SHORT_DEFAULTS = f"""
from flight.service.fields import SECTIONS
for name, value in {LIMITS}.items():
    SECTIONS["worker"]["properties"][name]["default"] = value
"""


def section(text: str = "", folder: Path | None = None) -> WorkerSection:
    """[worker] of a configuration with these lines."""
    if folder is None:
        return load_configuration(None).worker
    path = folder / "flight.toml"
    path.write_text(f"[worker]\n{text}\n")
    return load_configuration(path).worker


def frame_job(bundle: Path, engine: str = "auto", passes: int = 20) -> FrameJob:
    settings = default_settings(load_bundle(bundle))
    changed = {**vars(settings), "engine": engine, "passes": passes}
    fields = (5, 40, 60, 1, "u8", 8, True, 7, type(settings)(**changed), 1.5, ("map.navigation",), 0, b"")
    return FrameJob(*fields)


# The limits


def test_a_first_start_may_be_silent_for_a_minute_or_ten_while_it_computes() -> None:
    limits = WorkerLimits(section(), Pace())
    assert limits.find_silence(BUNDLE, None, starting=True).seconds == 60.0
    assert limits.find_silence(BUNDLE, None, starting=True, computing=True).seconds == 600.0
    assert limits.find_whole(BUNDLE, None).seconds == 1800.0


def test_later_starts_are_measured_by_the_good_ones_of_the_same_bundle() -> None:
    pace = Pace()
    limits = WorkerLimits(section(), pace)
    pace.note_course(BUNDLE, "start", Course(longest_pause_s=2.0, total_s=9.0))
    limit = limits.find_silence(BUNDLE, None, starting=True, computing=True)
    assert (limit.seconds, limit.field) == (60.0, "start_timeout_s")
    assert limits.find_whole(BUNDLE, None).seconds == 60.0
    pace.note_course(BUNDLE, "start", Course(longest_pause_s=40.0, total_s=500.0))
    assert limits.find_silence(BUNDLE, None, starting=True).seconds == 200.0
    assert limits.find_whole(BUNDLE, None).seconds == 2500.0
    # Of another bundle nothing is known.
    assert limits.find_silence(OTHER, None, starting=True, computing=True).seconds == 600.0


def test_what_is_configured_holds(tiny_bundle: Path, tmp_path: Path) -> None:
    pace = Pace()
    limits = WorkerLimits(section("start_timeout_s = 8\nanswer_timeout_s = 5", tmp_path), pace)
    job = frame_job(tiny_bundle)
    assert limits.find_silence(BUNDLE, None, starting=True, computing=True).seconds == 8.0
    for _ in range(2):
        whole = [limits.find_whole(BUNDLE, None), limits.find_whole(BUNDLE, job)]
        assert [limit.seconds for limit in whole] == [8.0, 5.0]
        pace.note_course(BUNDLE, "start", Course(40.0, 500.0))
        pace.note_pass(BUNDLE, "passes", 1, 60.0)


def test_a_frame_may_take_what_its_steps_usually_take_times_the_factor(tiny_bundle: Path) -> None:
    pace = Pace()
    limits, job = WorkerLimits(section(), pace), frame_job(tiny_bundle)
    for _ in range(10):
        pace.note_pass(BUNDLE, "closed_form", 1, 20.0)
        pace.note_pass(BUNDLE, "closed_form", 2, 3.0)
        pace.note_rest(BUNDLE, "closed_form", 1.0)
    # What comes before the first pass is many times longer than a pass: it is no hang.
    limit = limits.find_silence(BUNDLE, job)
    assert (limit.seconds, limit.field) == (100.0, "hang_timeout_s")
    assert limits.find_whole(BUNDLE, job).seconds == 5.0 * (20.0 + 19 * 3.0 + 1.0)
    # Until it is centred a large frame may take a step more for each megapixel.
    assert limits.find_silence(BUNDLE, job, megapixels=4.0).seconds == 180.0
    # Whole passes have never been seen; they are not those that are known.
    whole = frame_job(tiny_bundle, "passes")
    assert limits.find_silence(BUNDLE, whole, computing=True).seconds == 600.0
    assert limits.find_whole(BUNDLE, whole).seconds == 1800.0


def test_on_a_fast_board_limits_are_the_configured_ones(tiny_bundle: Path) -> None:
    pace = Pace()
    limits, job = WorkerLimits(section(), pace), frame_job(tiny_bundle)
    pace.note_course(BUNDLE, "start", Course(0.2, 1.0))
    pace.note_pass(BUNDLE, "passes", 1, 0.02)
    pace.note_pass(BUNDLE, "passes", 2, 0.01)
    assert limits.find_silence(BUNDLE, job).seconds == 1.5
    assert limits.find_silence(BUNDLE, None).seconds == 1.5
    assert limits.find_silence(BUNDLE, SelfTestJob(1)).seconds == 1.5
    assert limits.find_whole(BUNDLE, job).seconds == limits.find_whole(BUNDLE, SelfTestJob(1)).seconds == 60.0


def test_a_self_test_is_measured_by_the_start_until_one_was_carried_out() -> None:
    """It loads whole passes, for which a frame's passes are no measure."""
    pace = Pace()
    limits = WorkerLimits(section(), pace)
    pace.note_course(BUNDLE, "start", Course(12.0, 90.0))
    pace.note_pass(BUNDLE, "closed_form", 1, 0.5)
    assert limits.find_silence(BUNDLE, SelfTestJob(1)).seconds == 60.0
    assert limits.find_whole(BUNDLE, SelfTestJob(1)).seconds == 450.0
    pace.note_course(BUNDLE, "self_test", Course(30.0, 200.0))
    assert limits.find_silence(BUNDLE, SelfTestJob(1)).seconds == 150.0
    assert limits.find_whole(BUNDLE, SelfTestJob(1)).seconds == 1000.0


def test_of_many_bundles_the_latest_are_remembered() -> None:
    pace = Pace()
    for number in range(20):
        sha256 = f"{number:064x}"
        pace.note_course(sha256, "start", Course(1.0, 2.0))
        pace.note_pass(sha256, "passes", 1, 1.0)
    assert not pace.knows(f"{0:064x}", "auto")
    assert pace.find_course(f"{0:064x}", "start") is None
    assert pace.usual_pause_s(f"{19:064x}") == 1.0


def test_one_long_pause_does_not_raise_a_limit_for_long() -> None:
    pace = Pace()
    for _ in range(20):
        pace.note_pass(BUNDLE, "passes", 2, 0.1)
    pace.note_pass(BUNDLE, "passes", 2, 30.0)
    assert pace.usual_pause_s(BUNDLE) == 0.1


def test_the_window_of_restarts_holds_as_many_as_are_allowed() -> None:
    """A start takes two minutes: without it six of them would never be within a minute."""
    restarts = Restarts(limit=5, window_s=60.0)
    for number in range(5):
        restarts.note_ready(120.0)
        assert restarts.plan_start(130.0 * number) is not None
    restarts.note_ready(120.0)
    assert restarts.plan_start(130.0 * 5) is None
    assert restarts.window_s == 1800.0
    # On a fast board it stays as it was.
    restarts.note_ready(1.5)
    assert restarts.window_s == 60.0


# Self-tests


class Clock:
    """In place of the service's clock."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return int(1e9 * self.now)


def test_self_tests_by_the_number_of_frames_take_a_twentieth_of_the_time(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a deadline, a hundred frames of one pass are done sooner than the test of all passes."""
    clock, bundle = Clock(), load_bundle(tiny_bundle)
    monkeypatch.setattr(self_tests_module, "time", clock)
    parameters = Mock()
    parameters.current = Parameters(**{**default_parameters(bundle), "self_test_interval": 10})
    records = Mock()
    records.record = Record()
    tests = SelfTests(records, parameters, Mock(), Counters())
    tests.choose_engine()
    assert tests.check_answer(bundle, Ready(bundle.sha256, "x", 1.0, DIGEST))
    for _ in range(10):
        tests.count_frame()
    assert tests.is_due(idle=True)
    tests.choose_engine()
    clock.now += 60.0
    assert tests.check_answer(bundle, SelfTestAnswer(1, bundle.sha256, "x", 1.0, DIGEST))
    for _ in range(100):
        tests.count_frame()
    clock.now += 60.0 / 0.05 - 1.0
    assert not tests.is_due(idle=True)
    assert not tests.is_due(idle=False)
    tests.request()
    assert tests.is_due(idle=False)
    tests.withdraw_request()
    clock.now += 1.0
    assert tests.is_due(idle=True)


# The deadline


def test_passes_end_before_the_deadline_on_one_core(plain_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the fusion of a pass and the next pass take their time from each other: the clock counts both."""
    now = [100.0]
    monkeypatch.setattr(
        engine_module,
        "time",
        SimpleNamespace(perf_counter=lambda: now[0], monotonic=lambda: now[0]),
    )
    engine = Engine(load_bundle(plain_bundle), threads=1)
    ends: list[float] = []
    (network,) = engine._networks
    right_run, right_add = network.run, Accumulator.add

    def run(number: int) -> np.ndarray:
        now[0] += 3.0
        ends.append(now[0])
        return right_run(number)

    def add(self: Accumulator, scores: np.ndarray) -> None:
        now[0] += 2.0
        right_add(self, scores)

    monkeypatch.setattr(network, "run", run)
    monkeypatch.setattr(type(network), "stochastic", property(lambda _: True))
    monkeypatch.setattr(Accumulator, "add", add)
    settings = {**vars(default_settings(engine.bundle)), "passes": 50, "deadline_ms": 37_500}
    maps = engine.segment(
        FRAME,
        bit_depth=8,
        centered=True,
        seed=1,
        settings=type(default_settings(engine.bundle))(**settings),
        started=100.0,
    )
    # 3 s for the first pass, 5 s for each further one: the eighth would end after 38 s.
    assert maps.passes_used == 7
    assert len(ends) == 7
    assert "deadline" in maps.flags


# Processes


@contextmanager
def on_a_slow_board(folder: Path, settings: str = "") -> Iterator[tuple[RunningService, Journal]]:
    """A service whose worker takes longer for each step than the whole of its defaults allows."""
    bundle = write_tiny_bundle(folder / "slow", ("Only",))
    workers = changed_python(folder / "worker", "flight.service.worker", SLOW_WORKER)
    service = changed_python(folder / "service", "serve", SHORT_DEFAULTS)
    text = (folder / "service" / "sitecustomize.py").read_text()
    with (folder / "worker" / "sitecustomize.py").open("a") as both:
        both.write(text)
    assert workers.keys() == service.keys()
    # No rehearsal of frames: it takes as long as another start.
    settings = f"[worker]\nmemory_check_share = 0\n[parameters]\nentropy_factor = 100\npasses = 2\n{settings}"
    with journaled_service(folder, bundle, settings, environment=workers) as running:
        yield running


def test_a_board_slower_than_every_limit_starts_answers_and_tests_itself(tmp_path: Path) -> None:
    """And replaces a worker that hangs, by the same measure. Some twenty passes in real time: less says nothing."""
    with listening(f"{tmp_path}/notify") as systemd, pytest.MonkeyPatch.context() as patch:
        for name, value in systemd.environment.items():
            patch.setenv(name, value)
        with on_a_slow_board(tmp_path) as (service, journal):
            assert journal.messages("worker_timeout") == []
            # While it started, systemd was asked for time; then it was told once.
            assert set(systemd.extensions) == {"EXTEND_TIMEOUT_USEC=60000000"}
            assert [message.partition("\n")[0] for message in systemd.messages].count("READY=1") == 1
            (product,) = answer(service, "slow")
            assert product.status == "valid"
            assert product.header["passes_used"] == 2
            assert product.header["timing_ms"]["passes"] > 1e3 * 2 * PASS_S
            assert command(service, "self_test") == {"passed": True}
            status = service.command("get_status")
            assert status["counters"]["worker_restarts"] == 0
            assert journal.messages("worker_timeout") == []
            assert systemd.messages.count("WATCHDOG=1") > 0
            hangs_and_is_replaced(service, journal, status["worker_pid"])


def hangs_and_is_replaced(service: RunningService, journal: Journal, pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    message = journal.wait_for("worker_timeout")
    assert f"pid {pid}: idle, no heartbeat for" in message
    # Five times what its passes take, which is hardly less than their processor time.
    assert float(message.partition("limit ")[2].partition(" s")[0]) >= 5.0 * PASS_S
    service.wait_for(lambda status: status["worker_pid"] not in (None, pid))


def test_a_worker_that_waits_for_nothing_in_its_first_start_is_replaced(tiny_bundle: Path, tmp_path: Path) -> None:
    """It sleeps, as in a driver that hangs: it does not get the time of one that computes."""
    worker = changed_python(tmp_path / "worker", "flight.service.worker", "import time\ntime.sleep(3600)")
    service = changed_python(tmp_path / "service", "serve", SHORT_DEFAULTS)
    with (tmp_path / "worker" / "sitecustomize.py").open("a") as both:
        both.write((tmp_path / "service" / "sitecustomize.py").read_text())
    assert worker.keys() == service.keys()
    settings = "[worker]\nrestart_limit = 1\n"
    with journaled_service(tmp_path, tiny_bundle, settings, "safe", worker) as (running, journal):
        messages = journal.messages("worker_timeout")
        assert len(messages) == 2
        for message in messages:
            assert "starting, no heartbeat for" in message
            assert message.endswith("limit 1.0 s (start_timeout_s)")
        with pytest.raises(CommandFailed) as caught:
            running.command("self_test")
        assert caught.value.code == "wrong_state"
