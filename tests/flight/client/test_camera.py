"""The camera's epochs: larger at every start, whatever the clock says; and what the service tells of its frames."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from flight.client import CameraReport, FrameSender
from flight.client import epochs as epochs_module
from flight.client.epochs import LARGEST_EPOCH, take_epoch
from tests.flight.service_process import RunningService, running_service

FRAME = np.zeros((16, 16), dtype=np.uint8)


@contextmanager
def clock_at(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: seconds)
        yield


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder that epochs are recorded in, alone: none is read from elsewhere on this computer."""
    monkeypatch.setattr(epochs_module, "_find_folders", lambda: [tmp_path / "state"])
    return tmp_path / "state"


def test_an_epoch_is_larger_at_every_start_whatever_the_clock_says(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.time())
    assert now <= take_epoch("navcam") <= now + 5
    with clock_at(monkeypatch, now + 7200.0):
        ahead = take_epoch("navcam")
    assert ahead == now + 7200
    assert [take_epoch("navcam") for _ in range(3)] == [ahead + 1, ahead + 2, ahead + 3]
    with clock_at(monkeypatch, -5.0):
        assert take_epoch("navcam") == ahead + 4
        assert take_epoch("another") == 0
    assert take_epoch("navcam", least=LARGEST_EPOCH) == LARGEST_EPOCH
    assert take_epoch("navcam") == LARGEST_EPOCH  # nothing is above it


def test_epochs_are_recorded_under_names_that_are_no_paths(state: Path) -> None:
    for source in ("..", "a/b", "caf\u00e9", "\udcff", ""):
        first = take_epoch(source)
        assert take_epoch(source) == first + 1
    names = {path.name for path in (state / "epochs").iterdir()}
    assert names == {"...epoch", "a%2Fb.epoch", "caf%C3%A9.epoch", "%3F.epoch", ".epoch"}
    assert (state / "epochs" / "...epoch").read_text() == f"{take_epoch('..') - 1:010d}\n"
    assert (state / "epochs").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("text", ["", "x", "-1", "12 34", "99999999999", "1" * 5000])
def test_a_spoiled_record_is_written_anew(state: Path, text: str) -> None:
    take_epoch("navcam")
    (state / "epochs" / "navcam.epoch").write_text(text)
    now = int(time.time())
    assert now <= take_epoch("navcam") <= now + 5
    assert now < take_epoch("navcam") <= now + 6


def test_the_folders_in_their_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    places = {
        "STATE_DIRECTORY": tmp_path / "unit",
        "XDG_STATE_HOME": tmp_path / "xdg" / "rubblemap",
        "HOME": tmp_path / "home" / ".local" / "state" / "rubblemap",
    }
    for variable, place in places.items():
        root = tmp_path / place.relative_to(tmp_path).parts[0]
        monkeypatch.setenv(variable, f"{root}:/second" if variable == "STATE_DIRECTORY" else str(root))
    before = os.umask(0)
    try:
        for variable, place in places.items():
            take_epoch("camera-of-this-test")
            assert (place / "epochs" / "camera-of-this-test.epoch").is_file()
            monkeypatch.delenv(variable)
    finally:
        os.umask(before)
    # An epoch counts from wherever it was recorded.
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "unit"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (places["HOME"] / "epochs" / "camera-of-this-test.epoch").write_text("4000000000\n")
    assert take_epoch("camera-of-this-test") == 4_000_000_001
    assert (places["STATE_DIRECTORY"] / "epochs" / "camera-of-this-test.epoch").read_text() == "4000000001\n"


def test_without_a_folder_the_clock_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A file where the folder would be, one that others may write, a link, and one that cannot be made.
    (tmp_path / "file").write_text("")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "own")
    folders = [tmp_path / "file", tmp_path / "open", tmp_path / "link", Path("/proc/none")]
    monkeypatch.setattr(epochs_module, "_find_folders", lambda: folders)
    now = int(time.time())
    assert now <= take_epoch("navcam") <= now + 5
    assert list((tmp_path / "own").iterdir()) == []


def wait_for_report(sender: FrameSender, wanted: CameraReport) -> None:
    deadline = time.monotonic() + 10.0
    while (report := sender.report(0.5)) != wanted:
        assert time.monotonic() < deadline, f"expected {wanted}, got {report}"


def opened(service: RunningService, source: str, epoch: int | None = None, told: bool = True) -> FrameSender:
    telemetry = service.endpoints["telemetry"] if told else None
    sender = service.camera(source=source, epoch=epoch, telemetry=telemetry)
    time.sleep(0.3)
    return sender


def test_a_camera_learns_what_became_of_its_frames(
    tiny_bundle: Path, tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_service(tmp_path, tiny_bundle) as service:
        # A clock that was ahead, put right before the camera starts again: with the record, and without it.
        with clock_at(monkeypatch, time.time() + 7200.0):
            early = opened(service, "imager", told=False)
        with early:
            early.send(FRAME)
        with opened(service, "imager") as again:
            again.send(FRAME)
            assert again.epoch == early.epoch + 1
            wait_for_report(again, CameraReport(1, {}, again.epoch))
        (state / "epochs" / "imager.epoch").unlink()
        with opened(service, "imager") as elsewhere:
            assert elsewhere.epoch < early.epoch
            elsewhere.report(3.0)
            assert elsewhere.epoch == again.epoch + 1
            elsewhere.send(FRAME)
            wait_for_report(elsewhere, CameraReport(1, {}, elsewhere.epoch))

        # Two cameras of one name: the older one is told, and does not take turns with the newer one.
        with opened(service, "twin") as older, opened(service, "twin") as newer:
            older.send(FRAME)
            # On sockets of their own, one may overtake the other.
            wait_for_report(older, CameraReport(1, {}, older.epoch))
            newer.send(FRAME)
            wait_for_report(older, CameraReport(1, {}, newer.epoch))
            for _ in range(2):
                older.send(FRAME)
            newer.send(FRAME)
            wait_for_report(older, CameraReport(1, {"not_increasing": 2}, newer.epoch))
            wait_for_report(newer, CameraReport(2, {}, newer.epoch))
            assert older.epoch < newer.epoch

        # An epoch that was given is the caller's business.
        with opened(service, "twin", epoch=5) as given:
            given.send(FRAME)
            wait_for_report(given, CameraReport(0, {"not_increasing": 1}, newer.epoch))
            assert given.epoch == 5
        counters = service.command("get_status")["counters"]
        assert counters["frames_rejected"]["not_increasing"] == 3


def test_a_report_needs_a_telemetry_endpoint(tmp_path: Path) -> None:
    with FrameSender(f"ipc://{tmp_path}/nobody") as sender, pytest.raises(ValueError, match="expected a sender with"):
        sender.report()
    with FrameSender(f"ipc://{tmp_path}/nobody", telemetry=f"ipc://{tmp_path}/nobody") as sender:
        assert sender.report(0.1) is None
