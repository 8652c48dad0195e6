"""Upsets in the worker's memory are found before an answer is handed over, and nothing else is taken for one."""

from __future__ import annotations

import mmap
import os
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from flight.bundle import Bundle, load_bundle
from flight.client import CommandFailed
from flight.inference.engine import Engine
from flight.service.job_handler import JobHandler
from flight.service.memory_guard import Findings, MemoryGuard
from flight.service.protocol import FrameJob, MapsAnswer, SelfTestAnswer, SelfTestJob, Upset
from flight.settings import default_settings
from tests.flight.service.scenarios import (
    FRAME,
    Journal,
    answer,
    assert_offline_answer,
    command,
    journaled_service,
    storage,
    variant,
)
from tests.flight.service.test_health import QUIET, flip_bits, weights
from tests.flight.service_process import RunningService

MIB = 1 << 20
AT_LEISURE = 60.0


def noise(nbytes: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, nbytes, dtype=np.uint8)


def settled(constants: list[np.ndarray]) -> MemoryGuard:
    """A guard of this process, which has learned what changes while nothing happens."""
    guard = MemoryGuard(constants)
    for _ in range(3):
        guard.learn()
        guard.check(AT_LEISURE)
    return guard


@pytest.mark.parametrize("bit", [0, 5, 7])
def test_a_flipped_bit_of_a_page_that_stays_the_same_is_found(bit: int) -> None:
    constant, other = noise(MIB), noise(MIB, 2)
    guard = settled([constant])
    assert guard.guarded_bytes >= 2 * MIB - 4 * mmap.PAGESIZE
    before = guard.check(AT_LEISURE).doubtful
    constant[MIB // 2] ^= 1 << bit
    assert guard.check(AT_LEISURE).upsets == 1
    other[MIB // 2 + 12345] ^= 1 << bit
    # This process may have changed a bit of its own meanwhile.
    assert 1 <= guard.check(AT_LEISURE).doubtful <= 1 + before + 5
    assert guard.check(AT_LEISURE).upsets == 0


def test_a_page_that_is_written_is_no_upset_and_guarded_no_more() -> None:
    """Also where the exclusive or of all words differs in one bit only."""
    written = [noise(MIB, seed) for seed in range(3)]
    guard = settled([])
    before = guard.guarded_bytes
    written[0][:] = noise(MIB, 9)
    words = written[1].view(np.uint64)
    step = np.uint64(0x123456789ABCDEF)
    words[::512] += step
    words[1::512] ^= (words[::512] - step) ^ words[::512] ^ np.uint64(1)
    written[2][:] = 0
    found = guard.check(AT_LEISURE)
    assert found.upsets == 0
    assert found.doubtful <= 5
    assert before - guard.guarded_bytes >= 3 * MIB - 6 * mmap.PAGESIZE


def test_memory_that_is_given_back_is_no_upset() -> None:
    area = mmap.mmap(-1, MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.write(noise(MIB).tobytes())
    guard = settled([])
    before = guard.guarded_bytes
    area.close()
    assert guard.check(AT_LEISURE).upsets == 0
    assert before - guard.guarded_bytes >= MIB - 2 * mmap.PAGESIZE


def test_a_check_ends_in_time_and_goes_on_where_it_ended() -> None:
    constant = noise(16 * MIB)
    guard = settled([constant])
    began = time.perf_counter()
    for _ in range(5):
        guard.check(0.0)
    assert time.perf_counter() - began < 0.1
    constant[MIB] ^= 1
    found = Findings(0, 0)
    for _ in range(100_000):
        found = guard.check(0.0)
        if found.upsets:
            break
    assert found.upsets == 1


def frame_job(engine: Engine, number: int, frame: np.ndarray = FRAME, **changes: Any) -> FrameJob:
    pixels = frame.tobytes()
    return replace(
        FrameJob(
            *(number, *frame.shape, 1, "u8", 8, True, number),
            settings=default_settings(engine.bundle),
            started=time.monotonic(),
            topics=("map.navigation", "map.hazard"),
            crc32=zlib.crc32(pixels),
            pixels=pixels,
        ),
        **changes,
    )


class Handler:
    """A job handler over a bundle, and how many self-tests it has run."""

    def __init__(self, bundle: Path) -> None:
        self.engine = Engine(load_bundle(bundle))
        self.begun = 0
        self.handler = JobHandler(self.engine, 0.5, self._count)
        self.ready = self.handler.start()
        # What is left of this process's own unrest.
        for number in range(5):
            assert isinstance(self.frame(number), MapsAnswer)
        self.begun = 0

    def _count(self, passes: int) -> None:
        self.begun += passes == 0

    def frame(self, number: int, **changes: Any) -> object:
        # As long as it takes: the frames of the tiny bundle leave no time.
        self.handler._check_share = 1e6
        return self.handler.answer(frame_job(self.engine, number, **changes))


@pytest.fixture
def handler(tiny_bundle: Path) -> Handler:
    return Handler(tiny_bundle)


def test_an_upset_of_the_masks_is_told_instead_of_an_answer(handler: Handler) -> None:
    assert handler.ready.guarded_bytes > MIB
    masks, passes = handler.engine._networks[0].masks, handler.engine.bundle.passes
    # A self-test, where the guard was in doubt, may have left another bank.
    masks.begin(1, passes)
    bank = masks.banks[0].reshape(-1)
    bank.view(np.uint8)[len(bank) // 2] ^= 1
    told = handler.frame(9)
    assert isinstance(told, Upset)
    assert (told.job, told.message[:33]) == (9, "dropout masks: expected checksum ")


@pytest.mark.parametrize("harmful", [True, False])
def test_where_it_may_have_been_no_upset_the_self_test_decides(tiny_bundle: Path, harmful: bool) -> None:
    harmless = noise(MIB)
    handler = Handler(tiny_bundle)
    if harmful:
        # The sign of a weight: the self-test's first image is enough.
        assert flip_bits(os.getpid(), weights(handler.engine.bundle), 31) > 0
    else:
        harmless[len(harmless) // 2] ^= 1
    told = handler.frame(9)
    assert isinstance(told, Upset if harmful else MapsAnswer)
    # The frame, and the five images of the self-test.
    assert handler.begun >= (2 if harmful else 6)
    if not harmful:
        # Once is enough; what the test's own process does meanwhile may need a few more.
        for number in range(10, 60):
            handler.begun = 0
            assert isinstance(handler.frame(number), MapsAnswer)
            if handler.begun == 1:
                break
        assert handler.begun == 1


def test_a_frame_that_fails_after_an_upset_is_not_refused(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = noise(MIB)
    handler = Handler(tiny_bundle)
    monkeypatch.setattr(handler.engine, "segment", lambda *_, **__: 1 / 0)
    guarded[len(guarded) // 2] ^= 1
    assert isinstance(handler.frame(9), Upset)


def test_pixels_that_changed_on_their_way_are_told(handler: Handler) -> None:
    changed = bytearray(FRAME.tobytes())
    changed[77] ^= 2
    told = handler.frame(9, pixels=bytes(changed))
    assert isinstance(told, Upset)
    assert told.message.startswith("pixels: crc32: expected 0x")


def test_a_self_test_that_passes_settles_what_it_changed(handler: Handler) -> None:
    assert isinstance(handler.handler.answer(SelfTestJob(3)), SelfTestAnswer)
    assert isinstance(handler.frame(4), MapsAnswer)


def test_without_a_share_of_the_time_nothing_is_guarded(tiny_bundle: Path) -> None:
    assert JobHandler(Engine(load_bundle(tiny_bundle)), 0.0, lambda _: None).start().guarded_bytes == 0


# The service

ALL_AT_ONCE = "[worker]\nmemory_check_share = 0.5\n"
# What has checksums of its own is found without the guard, whose doubts would start self-tests.
UNGUARDED = "[worker]\nmemory_check_share = 0\n"


def flip_masks(service: RunningService, pid: int, bundle: Bundle) -> None:
    """Flip a bit of the bank of masks that a frame leaves, with the bundle's number of passes."""
    network = Engine(bundle)._networks[0]
    network.begin(np.zeros((bundle.height, bundle.width, bundle.channels), dtype=np.float32), 1, bundle.passes)
    content = network.masks.banks[0].tobytes()
    answer(service, "before")
    assert flip_bits(pid, [content[4096:4352]], 22) > 0


def wait_for_upset(service: RunningService, journal: Journal) -> None:
    """Send a frame, which is answered in spite of the upset."""
    assert answer(service, "after")[0].status != "invalid"
    assert "dropout masks" in journal.wait_for("worker_upset")


def test_an_upset_costs_the_worker_and_its_frame_is_answered_by_the_next(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    with journaled_service(tmp_path, tiny_bundle, QUIET + UNGUARDED) as (service, journal):
        pid = service.command("get_status")["worker_pid"]
        flip_masks(service, pid, bundle)
        wait_for_upset(service, journal)
        status = service.wait_for(lambda s: s["state"] == "ready" and s["worker_pid"] not in (None, pid))
        assert (status["counters"]["upsets_found"], status["counters"]["worker_restarts"]) == (1, 1)
        assert_offline_answer(answer(service, "later")[0], bundle)


def test_an_upset_on_probation_is_not_the_bundles_fault(tiny_bundle: Path, tmp_path: Path) -> None:
    variant(tiny_bundle, tmp_path / "uplink" / "next", "2.0")
    with journaled_service(tmp_path, tiny_bundle, storage(tmp_path) + QUIET + UNGUARDED) as (service, journal):
        command(service, "load_bundle", path="next")
        command(service, "validate_bundle")
        command(service, "activate_bundle")
        status = service.command("get_status")
        assert status["bundle_on_probation"]
        flip_masks(service, status["worker_pid"], load_bundle(tiny_bundle))
        answer(service, "hit", 3)
        assert "dropout masks" in journal.wait_for("worker_upset")
        status = service.wait_for(lambda s: s["state"] == "ready")
        assert status["bundle"]["version"] == "2.0"
        assert status["counters"]["bundle_fall_backs"] == 0


def test_no_healthy_worker_is_lost(tiny_bundle: Path, tmp_path: Path) -> None:
    """Frames of many sizes, with all that may come between them."""
    variant(tiny_bundle, tmp_path / "uplink" / "next", "2.0", passes=3)
    with (
        journaled_service(tmp_path, tiny_bundle, storage(tmp_path) + QUIET + ALL_AT_ONCE) as (service, journal),
        service.subscriber("map.navigation") as products,
        service.camera(source="many") as camera,
    ):
        for number in range(240):
            side = (40, 64, 300, 128, 1024, 17)[number // 4 % 6]
            frame = cv2.resize(FRAME, (side + number % 3, side))
            if number % 5 == 4:
                frame = frame.astype(np.uint16) * 16
            camera.send(frame, centered=bool(number % 2), bit_depth=8 if frame.dtype == np.uint8 else 12)
            assert products.receive(30) is not None
            if number % 40 == 20:
                command(service, "self_test")
                service.command("set_parameter", name="passes", value=1 + number % 7)
                with pytest.raises(CommandFailed):
                    service.command("set_parameter", name="passes", value=0)
            if number % 100 == 50:
                command(service, "load_bundle", path="next")
                command(service, "validate_bundle")
                command(service, "activate_bundle")
        counters = service.command("get_status")["counters"]
        assert (counters["upsets_found"], counters["worker_restarts"], counters["bundle_activations"]) == (0, 0, 2)
        assert journal.messages("worker_upset") == []
