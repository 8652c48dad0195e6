"""`hil record` and `hil play` beside real services."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flight.client import Commander, FrameSender
from hil.cli import main
from hil.recording.channels import read_header
from hil.recording.comparison import read_contents
from hil.recording.reader import RecordingReader, read_frames
from tests.flight.service.peers import make_keys
from tests.flight.service_process import RunningService, running_service
from tests.tiny_bundle import body_frame

BODIES = [body_frame(40, 60, 8 + index, index) for index in range(6)]


def sockets(service: RunningService, *names: str) -> list[str]:
    """The options that lead to a service's sockets."""
    return [word for name in names for word in (f"--{name}", service.endpoints[name])]


@contextmanager
def recording(
    service: RunningService, path: Path, *options: str, most_bytes: int | None = None
) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """`hil record` with both relays: gives the process, where cameras connect to, and where commanders do."""
    frames, commands = f"ipc://{path}.frames", f"ipc://{path}.commands"
    relays = ["--relay-frames", frames, "--relay-commands", commands]

    def limit() -> None:
        if most_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "hil.cli",
            "record",
            str(path),
            *relays,
            *sockets(service, "products", "telemetry", "frames", "commands"),
            *options,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"recording: {path}\n"
        time.sleep(1.2)  # its subscriptions take a moment to reach the service; housekeeping comes every second
        yield process, frames, commands
    finally:
        process.kill()
        process.communicate()


def stream(service: RunningService, endpoint: str, source: str, keys: Path | None = None) -> None:
    """Send BODIES one by one, each after the answer to the one before."""
    with (
        service.subscriber("map.hazard", newest=False) as products,
        FrameSender(endpoint, source, epoch=5, keys=keys) as camera,
    ):
        for pixels in BODIES:
            camera.send(pixels, centered=True)
            product = products.receive(20)
            assert product is not None
            assert product.status != "invalid"


def play(service: RunningService, path: Path, *options: str) -> int:
    return main(["play", str(path), *sockets(service, "frames", "products", "telemetry"), *options])


def test_a_recording_is_replayed_bit_by_bit(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, report = tmp_path / "flyby.mcap", tmp_path / "report.json"
    with running_service(tmp_path, tiny_bundle) as service:
        with recording(service, path) as (process, frames, commands):
            stream(service, frames, "navcam")
            with Commander(commands) as commander:
                commander.send("set_parameter", name="gamma", value=2.5)
                assert commander.send("get_parameters")["gamma"] == 2.5
            with FrameSender(frames, "navcam", epoch=4) as late:
                late.send(BODIES[0])
            service.wait_for(lambda status: status["counters"]["frames_rejected"]["not_increasing"] == 1)
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (0, "")
        assert "command 2, frame 7, product 12, reply 2" in out
        contents = read_contents(path)
        assert contents.ending == ""
        assert not contents.malformed
        assert contents.cameras == {("navcam", 5): 6, ("navcam", 4): 1}
        assert [frame.pixels.tobytes() for frame in read_frames(path)][:6] == [body.tobytes() for body in BODIES]
        replies = [read_header("reply", message.parts) for message in RecordingReader(path).messages({"reply"})]
        assert [reply[1]["result"].get("gamma") for reply in replies if reply] == [None, 2.5]
        # The service has had these frames already.
        service.command("set_parameter", name="gamma", value=3.0)
        assert play(service, path, "--speed", "1000", "--report", str(report)) == 1
        assert "rejected: not_increasing 7 (the service had newer ones" in capsys.readouterr().out
        assert json.loads(report.read_text())["products"]["missing"] == 12
    with running_service(tmp_path, tiny_bundle) as service:
        assert play(service, path, "--step", "--report", str(report)) == 0
        said = capsys.readouterr().out
        assert "sent 7 frames; rejected: not_increasing 1" in said
        assert "products: 12 recorded, 12 bit-identical, 0 different, 0 missing" in said
        compared = json.loads(report.read_text())
        assert compared["ending"] == ""
        assert (compared["products"]["identical"], compared["products"]["differences"]) == (12, [])
        # Under a new epoch the seeds are others, with another parameter more than them.
        service.command("set_parameter", name="passes", value=3)
        assert play(service, path, "--step", "--new-epoch", "--report", str(report)) == 1
        compared = json.loads(report.read_text())["products"]
        assert compared["different"] == 12
        assert compared["different_fields"]["seed"] == compared["different_fields"]["passes_used"] == 12
        assert compared["parameters"] == {"passes": [4, 3]}
        assert 0.5 < compared["class_agreement"]["least"] <= 1.0
        assert "parameter passes: recorded 4, here 3" in capsys.readouterr().out


def test_a_storage_that_is_full_costs_no_frame(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "full.mcap"
    with running_service(tmp_path, tiny_bundle) as service:
        with recording(service, path, most_bytes=30_000) as (process, frames, commands):
            for source in ("first", "second"):
                stream(service, frames, source)
                time.sleep(0.8)  # it writes twice a second
            with Commander(commands) as commander:
                counters = commander.send("get_status")["counters"]
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        assert counters["frames_processed"] == counters["frames_received"] == 2 * len(BODIES)
        assert process.returncode == 2
        first, last = err.splitlines()
        assert first.startswith("not recorded any more: ")
        assert "File too large; what is relayed goes on to the service" in first
        assert last.startswith(f"hil record: {path}: ")
        assert "left out: " in out
        messages = list(RecordingReader(path).messages())
        assert len(messages) > 0
        # Killed, it leaves what it wrote until half a second before.
        path = tmp_path / "killed.mcap"
        with recording(service, path) as (process, frames, _):
            stream(service, frames, "third")
            time.sleep(1.2)
            process.kill()
            process.wait()
        contents = read_contents(path)
        assert contents.ending == "cut off"
        assert contents.messages["frame"] == len(BODIES)
        assert contents.messages["product"] == 2 * len(BODIES)


def test_relays_have_the_keys_and_are_for_this_computer_alone(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for bound in ("tcp://0.0.0.0:5611", "tcp://192.168.1.2:5611"):
        assert main(["record", str(tmp_path / "none.mcap"), "--relay-frames", bound]) == 2
        said = capsys.readouterr().err
        assert "expected" in said
        assert bound in said
    assert not (tmp_path / "none.mcap").exists()
    keys = make_keys(tmp_path / "keys")
    # One key for all three roles.
    mine = keys.clients["camera"]
    for folder in ("consumers", "commanders"):
        (keys.service / folder / "recorder.key").write_bytes((mine / "client.key").read_bytes())
    roles = {role: keys.clients[role] for role in ("camera", "consumer", "commander")}
    path = tmp_path / "keys.mcap"
    with running_service(tmp_path, tiny_bundle, keys.settings, keys=roles) as service:
        with recording(service, path, "--keys", str(mine), "--no-pictures") as (process, frames, commands):
            stream(service, frames, "navcam")
            with Commander(commands) as commander:
                assert commander.send("no_op") == {}
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=20)[1] == ""
        assert read_contents(path).messages["frame"] == len(BODIES)


def test_wrong_recordings_and_places_are_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "there.mcap"
    there.write_bytes(b"something")
    assert main(["record", str(there)]) == 2
    assert capsys.readouterr().err == f"hil record: {there}: File exists\n"
    assert there.read_bytes() == b"something"
    assert main(["record", str(tmp_path / "no" / "folder.mcap")]) == 2
    assert capsys.readouterr().err == f"hil record: {tmp_path}/no/folder.mcap: No such file or directory\n"
    assert main(["play", str(there)]) == 2
    assert capsys.readouterr().err == f"hil play: {there}: expected a recording (MCAP), got none\n"
    there.unlink()
    assert main(["record", str(there), "--duration", "0.3", "--products", f"ipc://{tmp_path}/nobody"]) == 0
    assert main(["play", str(there)]) == 2
    said = capsys.readouterr().err
    assert said == f"hil play: {there}: expected frames to send, got a recording without any\n"
