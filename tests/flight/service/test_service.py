"""The service as a process of its own, over its sockets."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zmq

from flight.bundle import load_bundle
from flight.client import CommandFailed, Subscriber
from flight.icd.frames import encode_frame
from flight.icd.packing import pack_map, unpack_map
from flight.icd.products import Product
from flight.inference.engine import Engine
from flight.inference.planes import topic_planes
from flight.settings import default_settings
from hil.sources.folder import open_source
from tests.flight.service_process import RunningService, running_service
from tests.tiny_bundle import body_frame, put_garbage_for_a_network

FRAME = body_frame(40, 60, 14)
TOPICS = ("map.navigation", "map.hazard", "map.full")


@pytest.fixture(scope="module")
def service(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory):
    with running_service(tmp_path_factory.mktemp("service"), tiny_bundle) as running:
        yield running


def test_products_are_the_offline_answer(service: RunningService, tiny_bundle: Path) -> None:
    """What comes over the socket is, bit for bit, what the engine gives for the product's seed."""
    service.command("set_parameter", name="publish_full", value=True)
    with service.subscriber(*TOPICS) as products, service.camera(source="offline") as camera:
        camera.send(FRAME, centered=True, range_km=3.5)
        received = {}
        for _ in TOPICS:
            product = products.receive(10)
            received[product.topic] = product
    service.command("set_parameter", name="publish_full", value=False)
    bundle = load_bundle(tiny_bundle)
    settings = default_settings(bundle)
    for topic, product in received.items():
        assert product.status == "valid"
        assert product.header["bundle"] == bundle.identity
        assert product.header["passes_used"] == bundle.passes
        maps = Engine(bundle).segment(FRAME, bit_depth=8, centered=True, seed=product.header["seed"], settings=settings)
        assert list(maps.map_to_sensor) == product.header["map_to_sensor"]
        for name, plane, _ in topic_planes(maps, bundle.classes, topic, settings):
            assert plane.tobytes() == product.planes[name].tobytes(), (topic, name)
    assert set(received) == set(TOPICS)
    assert products.statistics.lost == products.statistics.malformed == 0


def product_of(products: Subscriber, source: str) -> Product:
    """The next product of a camera; frames of an earlier test may still be answered before it."""
    while (product := products.receive(30)) is not None:
        if product.header["source"] == source:
            return product
    raise AssertionError(f"no product of {source} within 30 s")


def bad_messages() -> dict[str, list[bytes]]:
    def message(**changes: object) -> list[bytes]:
        parts = encode_frame(FRAME, source="bad", epoch=1, frame_id=1, capture_time_ns=0, centered=True)
        return [pack_map({**unpack_map(parts[0], 4096, ""), **changes}), parts[1]]

    return {
        "wrong_parts": [b"only one part"],
        "malformed_header": [b"\xc1\xc1", b""],
        "unknown_schema": message(schema=9),
        "invalid_field": message(dtype="f64"),
        "size_mismatch": message(width=61),
        "crc_mismatch": message(crc32=1),
    }


@pytest.mark.parametrize("reason", [*bad_messages(), "not_increasing"])
def test_a_bad_frame_moves_its_counter_sends_an_event_and_changes_nothing(service: RunningService, reason: str) -> None:
    before = service.command("get_status")["counters"]["frames_rejected"][reason]
    with service.telemetry("event") as events, service.camera(source=reason, epoch=5) as camera:
        if reason == "not_increasing":
            camera.send(FRAME, centered=True)
            camera.next_frame_id = 0
            camera.send(FRAME, centered=True)
        else:
            socket = zmq.Context.instance().socket(zmq.PUSH)
            socket.connect(service.endpoints["frames"])
            socket.send_multipart(bad_messages()[reason])
            socket.close()
        service.wait_for(lambda s: s["counters"]["frames_rejected"][reason] == before + 1, 10)
        _, event = events.receive(30)
        assert event["name"] == "frame_rejected"
        assert event["arguments"]["reason"] == reason
        assert event["severity"] == "warning_low"
    with service.subscriber("map.navigation") as products, service.camera(source=f"after {reason}") as camera:
        camera.send(FRAME, centered=True)
        assert product_of(products, f"after {reason}").status == "valid"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_next_frame_after_the_workers_death_is_answered(service: RunningService, number: int) -> None:
    before = service.command("get_status")
    with service.subscriber("map.navigation") as products, service.camera(source=f"kill {number}") as camera:
        os.kill(before["worker_pid"], number)
        camera.send(FRAME, centered=True)
        assert product_of(products, f"kill {number}").status == "valid"
    after = service.wait_for(lambda status: status["state"] == "ready")
    assert after["counters"]["worker_restarts"] == before["counters"]["worker_restarts"] + 1
    assert after["worker_pid"] != before["worker_pid"]


def test_a_hanging_worker_is_replaced(tiny_bundle: Path, tmp_path: Path) -> None:
    with running_service(tmp_path, tiny_bundle, "[worker]\nanswer_timeout_s = 1.0\n") as service:
        pid = service.command("get_status")["worker_pid"]
        with service.subscriber("map.navigation") as products, service.camera() as camera:
            os.kill(pid, signal.SIGSTOP)
            camera.send(FRAME, centered=True)
            assert products.receive(30).status == "valid"
        assert service.command("get_status")["counters"]["worker_restarts"] == 1


def test_a_frame_that_costs_two_workers_is_answered_without_a_map(shipped_bundle: Path, tmp_path: Path) -> None:
    settings = "[worker]\nanswer_timeout_s = 0.5\n[parameters]\npasses = 100\n"
    with (
        running_service(tmp_path, shipped_bundle, settings) as service,
        service.subscriber("map.navigation", "map.hazard") as products,
        service.telemetry("event") as events,
        service.camera() as camera,
    ):
        camera.send(FRAME, centered=True)
        for topic in ("map.navigation", "map.hazard"):
            product = products.receive(60)
            assert (product.topic, product.status) == (topic, "invalid")
            assert product.header["flags"] == ["worker_failed"]
            assert product.header["passes_used"] == 0
            assert product.planes == {}
        received = [events.receive(30)[1] for _ in range(3)]
        assert [event["name"] for event in received] == ["worker_timeout", "worker_ready", "worker_timeout"]
        for event in received[::2]:
            # Its heartbeats came, so that they are not what the message blames.
            assert re.fullmatch(
                r"pid \d+: busy for \d+\.\d s, last heartbeat 0\.\d s ago, limit 0\.5 s \(answer_timeout_s\)",
                event["message"],
            )
        service.wait_for(lambda status: status["state"] == "ready")


def test_the_newest_frame_wins(service: RunningService) -> None:
    service.command("set_parameter", name="passes", value=100)
    before = service.command("get_status")["counters"]
    with service.subscriber("map.navigation", newest=False) as products, service.camera(source="burst") as camera:
        for _ in range(30):
            last = camera.send(FRAME, centered=True)
        service.wait_for(lambda s: s["counters"]["frames_received"] == before["frames_received"] + 30)
        seen = [products.receive(20).header["frame_id"]]
        while seen[-1] != last:
            seen.append(products.receive(20).header["frame_id"])
    service.command("set_parameter", name="passes", value=4)
    after = service.command("get_status")["counters"]
    superseded = after["frames_superseded"] - before["frames_superseded"]
    assert seen == sorted(seen)
    assert len(seen) + superseded == 30
    assert superseded > 0


def test_commands(service: RunningService) -> None:
    assert service.command("no_op") == {}
    assert service.command("get_parameters")["passes"] == 4
    assert service.command("set_parameter", name="gamma", value=5) == {"name": "gamma", "value": 5.0}
    assert service.command("get_parameters")["gamma"] == 5.0
    assert service.command("set_mode", mode="Second") == {"mode": "Second"}
    with service.subscriber("map.navigation") as products, service.camera(source="mode") as camera:
        camera.send(FRAME, centered=True)
        header = products.receive(10).header
        assert (header["mode"], header["gamma"]) == ("Second", 5.0)
    service.command("set_mode", mode="Fused")


@pytest.mark.parametrize(
    ("name", "arguments", "code", "message"),
    [
        ("fly", {}, "unknown_command", "command.name: expected no_op"),
        ("set_parameter", {"name": "passes"}, "invalid_argument", "set_parameter.value: expected a value"),
        ("set_parameter", {"name": "passes", "value": 0}, "invalid_argument", "passes: expected 1..100, got 0"),
        ("set_parameter", {"name": "passes", "value": "5"}, "invalid_argument", "passes: expected 1..100, got '5'"),
        ("set_parameter", {"name": "colour", "value": 1}, "unknown_parameter", "expected mode | passes"),
        ("set_parameter", {"name": 5, "value": 1}, "invalid_argument", "set_parameter.name: expected string, got 5"),
        (
            "set_parameter",
            {"name": "passes", "value": [5]},
            "invalid_argument",
            "set_parameter.value: expected boolean",
        ),
        ("set_parameters", {"values": []}, "invalid_argument", "set_parameters.values: expected object, got []"),
        ("set_mode", {"mode": "Third"}, "invalid_argument", "set_mode: mode: expected Fused | First | Second"),
        ("set_mode", {"mode": ["x"]}, "invalid_argument", "set_mode.mode: expected string, got ['x']"),
        ("no_op", {"x": 1}, "invalid_argument", "no_op.x: expected no arguments"),
    ],
)
def test_a_refused_command_says_why_and_changes_nothing(
    service: RunningService, name: str, arguments: dict, code: str, message: str
) -> None:
    parameters = service.command("get_parameters")
    rejected = service.command("get_status")["counters"]["commands_rejected"]
    with pytest.raises(CommandFailed) as caught:
        service.command(name, **arguments)
    assert caught.value.code == code
    assert message in str(caught.value)
    assert service.command("get_parameters") == parameters
    assert service.command("get_status")["counters"]["commands_rejected"] == rejected + 1


def test_garbage_on_the_commands_socket_is_answered(service: RunningService) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.connect(service.endpoints["commands"])
    socket.send_multipart([b"", b"\xff\x00garbage"])
    assert socket.poll(30_000)
    reply = unpack_map(socket.recv_multipart()[-1], 65536, "reply")
    assert (reply["status"], reply["code"]) == ("rejected", "malformed")
    socket.close()
    context.term()


def test_housekeeping_comes_every_second_and_fits_the_icd(service: RunningService) -> None:
    with service.telemetry("telemetry.housekeeping") as telemetry:
        times = []
        for _ in range(3):
            _, housekeeping = telemetry.receive(30)
            times.append(housekeeping["time_ns"])
            assert housekeeping["state"] == "ready"
        assert telemetry.malformed == 0
    assert np.diff(times) / 1e9 == pytest.approx([1.0, 1.0], abs=0.5)
    assert housekeeping["resident_memory_bytes"] > 10_000_000
    assert housekeeping["latency_ms"]["total"]["p50"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_clean_exit_on_a_signal(tiny_bundle: Path, tmp_path: Path, number: int) -> None:
    with running_service(tmp_path, tiny_bundle) as service:
        worker = service.command("get_status")["worker_pid"]
        service.process.send_signal(number)
        assert service.process.wait(timeout=60) == 0
        _gone(worker)


@pytest.mark.parametrize("moment", ["serving", "starting"])
def test_signals_that_mean_nothing_to_the_service_do_not_end_it(tiny_bundle: Path, tmp_path: Path, moment: str) -> None:
    """Sent to service and worker, as a terminal that closes does."""
    numbers = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF]
    numbers += [signal.SIGIO, signal.SIGPWR, signal.SIGSTKFLT, signal.SIGRTMIN, signal.SIGRTMAX]
    with running_service(tmp_path, tiny_bundle) as service:
        before = service.command("get_status")
        if moment == "starting":
            os.kill(before["worker_pid"], signal.SIGKILL)
            before = service.wait_for(lambda status: status["worker_pid"] not in (None, before["worker_pid"]))
        for number in numbers:
            service.process.send_signal(number)
            os.kill(before["worker_pid"], number)
        after = service.wait_for(lambda status: status["state"] == "ready")
        assert after["worker_pid"] == before["worker_pid"]
        assert after["counters"]["worker_restarts"] == before["counters"]["worker_restarts"]
        service.process.terminate()
        assert service.process.wait(timeout=60) == 0


def test_the_worker_does_not_outlive_a_killed_service(tiny_bundle: Path, tmp_path: Path) -> None:
    with running_service(tmp_path, tiny_bundle) as service:
        worker = service.command("get_status")["worker_pid"]
        service.process.kill()
        service.process.wait()
        _gone(worker)


def _gone(pid: int) -> None:
    for _ in range(600):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} is still there")


def test_shutdown_by_command(tiny_bundle: Path, tmp_path: Path) -> None:
    with running_service(tmp_path, tiny_bundle) as service:
        service.command("shutdown")
        assert service.process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ("[parameters]\npasses = 0\n", "parameters.passes: expected 1..100, got 0"),
        ('[parameters]\ncentering = "maybe"\n', "parameters.centering: expected auto | off, got 'maybe'"),
        ("[inference]\nthreads = true\n", "inference.threads: expected 1..64, got True"),
        ("[weather]\nrain = 1\n", "weather: expected one of endpoints, parameters, inference, worker"),
        ("[endpoints]\nframe = 'ipc:///tmp/x'\n", "endpoints.frame: expected one of frames"),
        ("[endpoints]\nframes = 'tcp://0.0.0.0:5601'\n", "expected ipc:// or a loopback address"),
        ("[endpoints]\nframes = 'tcp://127.0.0.1:5602'\n", "expected four different ones"),
        ("passes = [", "no TOML"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_exit_code_2(
    tiny_bundle: Path, tmp_path: Path, configuration: str, message: str
) -> None:
    path = tmp_path / "flight.toml"
    path.write_text(configuration)
    _refused(["--bundle", str(tiny_bundle), "--config", str(path)], message)


def test_a_busy_port_is_named(tiny_bundle: Path, tmp_path: Path) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.PULL)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    path = tmp_path / "flight.toml"
    path.write_text(f"[endpoints]\nproducts = 'tcp://127.0.0.1:{port}'\nframes = 'ipc://{tmp_path}/f'\n")
    _refused(
        ["--bundle", str(tiny_bundle), "--config", str(path)],
        f"endpoints.products: cannot bind tcp://127.0.0.1:{port}: Address already in use",
    )
    socket.close()
    context.term()


def test_a_busy_ipc_endpoint_is_named(service: RunningService, tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "flight.toml"
    lines = "\n".join(f"{name} = '{endpoint}'" for name, endpoint in service.endpoints.items())
    path.write_text(f"[endpoints]\n{lines}\n")
    _refused(["--bundle", str(tiny_bundle), "--config", str(path)], "endpoints.frames: cannot bind ipc://")
    assert service.command("no_op") == {}


def test_a_network_that_cannot_run_leaves_the_service_alive(tiny_bundle: Path, tmp_path: Path) -> None:
    """The hash is right, the content is no model: no worker becomes ready, commands are answered all the same."""
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    put_garbage_for_a_network(bundle)
    with running_service(tmp_path, bundle, ready="degraded") as service, service.camera() as camera:
        for _ in range(20):
            camera.send(FRAME, centered=True)
            time.sleep(0.1)
        status = service.command("get_status")
        assert status["state"] == "degraded"
        assert status["counters"]["frames_processed"] == 0
        assert status["counters"]["worker_restarts"] >= 1


def test_the_service_outlives_its_log(tiny_bundle: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with running_service(tmp_path, tiny_bundle, stderr=writing) as service:
        os.close(writing)
        os.close(reading)
        for value in (5, 6):
            service.command("set_parameter", name="passes", value=value)
        assert service.command("get_parameters")["passes"] == 6


def test_a_log_that_nobody_reads_holds_nothing_up(tiny_bundle: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with running_service(tmp_path, tiny_bundle, stderr=writing) as service:
        os.set_blocking(writing, False)
        for size in (4096, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(writing, b"x" * size)
        os.set_blocking(writing, True)
        for value in (5, 6):
            service.command("set_parameter", name="passes", value=value)
        assert service.command("get_parameters")["passes"] == 6
    os.close(writing)
    os.close(reading)


def test_a_lost_scratch_folder_does_not_end_the_service(tiny_bundle: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with running_service(tmp_path, tiny_bundle, environment={"TMPDIR": str(scratch)}) as service:
        worker = service.command("get_status")["worker_pid"]
        for folder in scratch.iterdir():
            shutil.rmtree(folder)
        os.kill(worker, signal.SIGKILL)
        service.wait_for(lambda s: s["state"] == "ready" and s["worker_pid"] != worker)


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    _refused(["--bundle", str(tmp_path / "none")], "none/SHA256SUMS: No such file or directory")


def _refused(arguments: list[str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flight.cli", "serve", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_shipped_bundle_serves_real_frames(shipped_bundle: Path, tmp_path: Path) -> None:
    """The flyby as shipped; and mission images from the folder that RUBBLEMAP_REAL_IMAGES names, if it does."""
    source = open_source("flyby")
    frames = [source.frame(index) for index in (10, 28)]
    if "RUBBLEMAP_REAL_IMAGES" in os.environ:
        folder = Path(os.environ["RUBBLEMAP_REAL_IMAGES"])
        for part in ("still", "ryugu_sequence"):
            images = open_source(str(folder / part))
            frames += [images.frame(index) for index in (0, 1)]
    with (
        running_service(tmp_path, shipped_bundle, "[parameters]\npasses = 2\n") as service,
        service.subscriber("map.navigation", "map.hazard") as products,
        service.camera() as camera,
    ):
        for frame in frames:
            frame_id = camera.send(frame, centered=False)
            for topic in ("map.navigation", "map.hazard"):
                product = products.receive(60)
                assert (product.topic, product.status) == (topic, "valid")
                assert product.header["frame_id"] == frame_id
                assert product.planes["enhanced_class_map"].shape == (128, 128)
            clearance = product.planes["clearance"]
            assert (clearance[product.planes["enhanced_class_map"] != 1] == 0).all()
