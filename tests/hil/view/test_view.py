"""`hil view`: what it writes for Rerun, read back by Rerun."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flight.client import FrameSender
from hil.cli import main
from hil.recording.writer import RecordingWriter
from tests.flight.service_process import running_service
from tests.golden.vectors import VECTORS, product
from tests.hil.recording.examples import frame_parts
from tests.tiny_bundle import body_frame

rerun = pytest.importorskip("rerun", reason="Rerun is not installed")

CLASSES = [
    {"index": index, "name": name, "role": role}
    for index, (name, role) in enumerate(
        (("sky", "background"), ("ground", "safe"), ("rock", "hazard"), ("dusk", "terminator"))
    )
]


def test_a_recording_becomes_a_file_of_reruns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording, out = tmp_path / "flyby.mcap", tmp_path / "flyby.rrd"
    with RecordingWriter(recording) as writer:
        writer.write("frame", VECTORS["frame"](), 1_000)
        writer.write("frame", frame_parts(3), 2_000)
        for topic in ("map.navigation", "map.hazard"):
            writer.write("product", product(topic, classes=CLASSES, flags=[], status="valid"), 3_000)
        writer.write("product", [b"map.navigation", b"\xc1"], 4_000)
        for name in ("event", "housekeeping"):
            writer.write("telemetry", VECTORS[name](), 5_000)
        writer.write("telemetry", [b"event", b"\xc1"], 6_000)
    assert main(["view", "--recording", str(recording), "--save", str(out)]) == 0
    assert capsys.readouterr().out == "shown: 2 products, 2 malformed messages left out\n"
    table = rerun.dataframe.load_recording(out).view(index="received", contents="/**").select().read_all()
    columns = set(table.column_names)
    for path in ("map/frame", "map/classes", "entropy", "hazard", "latency/frame", "map_entropy/mean", "log/events"):
        assert any(name.startswith(f"/{path}:") for name in columns), f"{path}: none of {sorted(columns)}"
    assert [value.value for value in table.column("received").to_pylist()] == [3_000, 5_000]


def test_a_running_service_is_shown(tiny_bundle: Path, tmp_path: Path) -> None:
    out, relay = tmp_path / "live.rrd", f"ipc://{tmp_path}/relay"
    with running_service(tmp_path, tiny_bundle) as service:
        sockets = [
            word for name in ("products", "telemetry", "frames") for word in (f"--{name}", service.endpoints[name])
        ]
        command = [sys.executable, "-m", "hil.cli", "view", "--save", str(out), "--relay-frames", relay, *sockets]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "receiving\n"
            time.sleep(1.0)  # its subscriptions take a moment to reach the service
            with service.subscriber("map.hazard") as products, FrameSender(relay, "navcam", epoch=1) as camera:
                camera.send(body_frame(40, 60, 14), centered=True)
                assert products.receive(20) is not None
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=20)[0] == "shown: 2 products\n"
        assert process.returncode == 0
    table = rerun.dataframe.load_recording(out).view(index="received", contents="/map/**").select().read_all()
    assert any(name.startswith("/map/frame:") for name in table.column_names)
    assert any(name.startswith("/map/fix/centroid:") for name in table.column_names)
