"""Frames of several cameras take turns; of each the newest waits."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from flight.icd.catalogue import REJECTION_REASONS
from flight.icd.frames import FrameError, encode_frame
from flight.icd.limits import CAMERAS, TELEMETRY_BYTES
from flight.icd.packing import pack_map
from flight.service.intake import Intake
from tests.flight.service_process import running_service
from tests.tiny_bundle import body_frame

FRAME = body_frame(40, 60, 14)


def message(source: str, frame_id: int, epoch: int = 1) -> list[bytes]:
    return encode_frame(FRAME, source=source, epoch=epoch, frame_id=frame_id, capture_time_ns=0, centered=True)


def taken(intake: Intake) -> list[tuple[str, int]]:
    """All that waits, in the order in which it is taken."""
    frames = []
    while (pending := intake.take()) is not None:
        frames.append((pending.frame.header["source"], pending.frame.header["frame_id"]))
    return frames


def test_of_each_source_the_newest_waits() -> None:
    intake = Intake()
    superseded = [intake.accept(message(*key)) for key in (("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2))]
    assert superseded == [False, False, True, True, True]
    assert intake.waiting
    assert taken(intake) == [("a", 3), ("b", 2)]
    assert not intake.waiting


def test_a_fast_source_has_its_turn_after_the_others() -> None:
    intake = Intake()
    for key in (("fast", 1), ("slow", 1), ("fast", 2)):
        intake.accept(message(*key))
    order = []
    for number in range(3, 7):
        pending = intake.take()
        assert pending is not None
        order.append(pending.frame.header["source"])
        intake.accept(message("fast", number))
        intake.accept(message("slow", number))
    assert order == ["fast", "slow", "fast", "slow"]


def test_a_frame_that_lost_its_worker_is_next_unless_a_newer_one_of_its_source_waits() -> None:
    intake = Intake()
    intake.accept(message("a", 1))
    lost = intake.take()
    assert lost is not None
    intake.accept(message("b", 1))
    assert intake.requeue(lost)
    assert taken(intake) == [("a", 1), ("b", 1)]
    intake.accept(message("a", 2))
    assert not intake.requeue(lost)
    assert taken(intake) == [("a", 2)]


def test_a_few_frames_wait_at_most_and_the_oldest_gives_way() -> None:
    intake = Intake()
    superseded = [intake.accept(message(source, 1)) for source in "abcdef"]
    assert superseded == [False] * 4 + [True] * 2
    assert [source for source, _ in taken(intake)] == list("cdef")


def test_a_refused_frame_leaves_what_waits() -> None:
    intake = Intake()
    intake.accept(message("a", 2))
    with pytest.raises(FrameError, match="expected more than"):
        intake.accept(message("a", 2))
    assert taken(intake) == [("a", 2)]


def reject(intake: Intake, parts: list[bytes], reason: str) -> None:
    with pytest.raises(FrameError) as caught:
        intake.accept(parts)
    assert caught.value.reason == reason


def entry(source: str, epoch: int, newest: int | None, accepted: int, **rejected: int) -> dict[str, object]:
    return {"source": source, "epoch": epoch, "newest_epoch": newest, "accepted": accepted, "rejected": rejected}


def test_what_becomes_of_each_cameras_frames_is_counted() -> None:
    intake = Intake()
    for number in range(3):
        intake.accept(message("old", number))
    intake.accept(message("new", 0))
    assert intake.cameras.values() == [entry("new", 1, 1, 1), entry("old", 1, 1, 3)]
    header, pixels = message("old", 9)
    reject(intake, [header, pixels[:-1]], "size_mismatch")
    reject(intake, [header, pixels[:-1] + b"\1"], "crc_mismatch")
    reject(intake, message("old", 2), "not_increasing")
    reject(intake, message("old", 2), "not_increasing")
    # Of whom these are is not known.
    reject(intake, [header], "wrong_parts")
    reject(intake, [b"", pixels], "malformed_header")
    # Another start of the same camera is counted by itself.
    intake.accept(message("old", 0, epoch=7))
    reject(intake, message("old", 3), "not_increasing")
    reject(intake, [message("none", 0)[0], pixels[:-1]], "size_mismatch")
    assert intake.cameras.values() == [
        entry("none", 1, None, 0, size_mismatch=1),
        entry("old", 1, 7, 3, size_mismatch=1, crc_mismatch=1, not_increasing=3),
        entry("old", 7, 7, 1),
        entry("new", 1, 1, 1),
    ]


def test_strangers_do_not_push_a_camera_out_of_the_counts() -> None:
    intake = Intake()
    for number in range(CAMERAS - 1):
        intake.accept(message(f"camera {number}", 0))
    for number in range(200):
        header, pixels = message(f"stranger {number}", 0)
        reject(intake, [header, pixels[:-1]], "size_mismatch")
    counted = [camera["source"] for camera in intake.cameras.values()]
    assert counted == ["stranger 199", *(f"camera {number}" for number in reversed(range(CAMERAS - 1)))]
    for number in range(3):
        intake.accept(message(f"camera {number}", 1, epoch=2))
    assert len(intake.cameras.values()) == CAMERAS
    values = {
        "time_ns": 0,
        "cameras": [entry(32 * "s", 2**32 - 1, 2**32 - 1, 2**32, **dict.fromkeys(REJECTION_REASONS, 2**32))] * CAMERAS,
    }
    assert len(pack_map(values)) < TELEMETRY_BYTES / 2


def test_a_slow_camera_is_answered_beside_a_fast_one(tiny_bundle: Path, tmp_path: Path) -> None:
    """The fast camera sends all the time, the slow one a frame after each of its products."""
    stop = threading.Event()
    with (
        running_service(tmp_path, tiny_bundle, "[parameters]\npasses = 30\n") as service,
        service.subscriber("map.navigation", newest=False, queue=10000) as products,
        service.camera(source="fast") as fast,
        service.camera(source="slow") as slow,
    ):

        def send_all_the_time() -> None:
            while not stop.wait(0.005):
                fast.send(FRAME, centered=True)

        sender = threading.Thread(target=send_all_the_time)
        sender.start()
        try:
            between = []
            for _ in range(5):
                frame_id, others = slow.send(FRAME, centered=True), 0
                while (product := products.receive(30)) is not None:
                    if product.frame_key[0] == "slow":
                        assert product.frame_key[2] == frame_id
                        break
                    others += 1
                assert product is not None, "no product of the slow camera"
                between.append(others)
        finally:
            stop.set()
            sender.join()
    # The one that was with the worker when the frame came, and the one whose turn it was; one more for what was on
    # its way to this subscriber.
    assert max(between) <= 3
