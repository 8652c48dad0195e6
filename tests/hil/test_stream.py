"""`hil stream` says what the service made of the frames, and its exit code shows it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from hil.camera_report import find_telemetry
from tests.flight.service_process import running_service


@pytest.mark.parametrize(
    ("frames", "telemetry"),
    [
        ("tcp://127.0.0.1:5601", "tcp://127.0.0.1:5603"),
        ("tcp://[::1]:30000", "tcp://[::1]:30002"),
        ("tcp://board:65534", None),
        ("ipc:///run/rubblemap/frames", "ipc:///run/rubblemap/telemetry"),
        ("ipc:///run/frames/frames.sock", "ipc:///run/frames/telemetry.sock"),
        ("ipc://frames", "ipc://telemetry"),
        ("ipc:///run/frames/in", None),
        ("ipc:///run/timeframes", None),
    ],
)
def test_the_telemetry_socket_is_looked_for_beside_the_frames_socket(frames: str, telemetry: str | None) -> None:
    assert find_telemetry(frames) == telemetry


def start(endpoint: str, folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hil.cli", "stream", "--endpoint", endpoint, "--source", str(folder)]
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_who_streams_is_told_which_frames_were_rejected_and_why(tiny_bundle: Path, tmp_path: Path) -> None:
    frames = tmp_path / "images"
    frames.mkdir()
    cv2.imwrite(str(frames / "0.png"), np.full((32, 32), 50, dtype=np.uint8))
    with running_service(tmp_path, tiny_bundle) as service:
        endpoint = service.endpoints["frames"]
        code, out, err = end(start(endpoint, frames, "--count", "3", "--rate", "20"))
        assert (code, out, err) == (0, "sent 3 frames of images: 3 accepted, 0 rejected\n", "")

        # Two cameras of one name: the newer one is answered, and the older one told.
        older = start(endpoint, frames, "--loop", "--count", "40", "--rate", "5")
        service.wait_for(lambda status: status["counters"]["frames_accepted"] > 3)
        time.sleep(0.5)
        code, out, err = end(start(endpoint, frames, "--count", "2"))
        assert (code, out, err) == (0, "sent 2 frames of images: 2 accepted, 0 rejected\n", "")
        code, out, err = end(older)
        assert code == 1
        assert err == (
            "rejected by the service, not_increasing: another camera of this name has a newer epoch; give one of them "
            "another --name\n"
        )
        rejected = service.command("get_status")["counters"]["frames_rejected"]["not_increasing"]
        assert 0 < rejected < 40
        assert out == (
            f"sent 40 frames of images: {40 - rejected} accepted, {rejected} rejected (not_increasing {rejected})\n"
        )

        code, out, err = end(start(endpoint, frames, "--count", "1", "--telemetry", "none"))
        assert (code, err) == (0, "")
        assert out == "sent 1 frames of images; which the service accepted is not known: not asked, see --telemetry\n"
        nobody = f"ipc://{tmp_path}/nobody"
        code, out, err = end(start(endpoint, frames, "--count", "1", "--telemetry", nobody))
        assert (code, err) == (0, "")
        assert out == f"sent 1 frames of images; which the service accepted is not known: no word from {nobody}\n"


def test_frames_beyond_the_rate_are_not_heard_of(tiny_bundle: Path, tmp_path: Path) -> None:
    frames = tmp_path / "images"
    frames.mkdir()
    cv2.imwrite(str(frames / "0.png"), np.full((32, 32), 50, dtype=np.uint8))
    with running_service(tmp_path, tiny_bundle, "[limits]\nframes_per_second = 1\n") as service:
        code, out, _ = end(start(service.endpoints["frames"], frames, "--loop", "--count", "9", "--rate", "100"))
        lost = service.command("get_status")["counters"]["frames_rejected"]["rate_limited"]
        assert lost > 0
        assert code == 1
        assert out == (
            f"sent 9 frames of images: {9 - lost} accepted, 0 rejected, {lost} not heard of (lost on the way, or "
            "rejected unread: limits.frames_per_second)\n"
        )
