"""What systemd hears from the service, over a real notification socket; and the unit that the project ships."""

from __future__ import annotations

import configparser
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.flight.service_process import running_service
from tests.tiny_bundle import body_frame, put_garbage_for_a_network

UNIT = Path(__file__).parents[3] / "flight" / "systemd" / "rubblemap-flight.service"
FRAME = body_frame(40, 60, 14)
INTERVAL_S = 0.5  # half of WATCHDOG_USEC


class Listening:
    """The messages that came so far, read by a thread: the socket's own queue holds only a few."""

    def __init__(self, address: str) -> None:
        self.environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}
        self.messages: list[str] = []
        self.extensions: list[str] = []  # of the time for the start, apart from the others
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(0.1)
        self._open = True
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while self._open:
            try:
                message = self._socket.recv(4096).decode("utf-8")
                (self.extensions if message.startswith("EXTEND") else self.messages).append(message)
            except TimeoutError:
                continue

    def close(self) -> None:
        self._open = False
        self._thread.join()
        self._socket.close()

    def alive_within(self, seconds: float) -> int:
        """How many watchdog notifications come from now on."""
        before = self.messages.count("WATCHDOG=1")
        time.sleep(seconds)
        return self.messages.count("WATCHDOG=1") - before


@contextmanager
def listening(address: str) -> Iterator[Listening]:
    listener = Listening(address)
    try:
        yield listener
    finally:
        listener.close()


def wait_for(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not reached in {timeout_s} s"
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def _no_watchdog_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_PID", raising=False)


@pytest.mark.parametrize("abstract", [False, True])
def test_ready_then_signs_of_life_then_stopping(tiny_bundle: Path, tmp_path: Path, abstract: bool) -> None:
    address = f"@rubblemap-{uuid.uuid4()}" if abstract else f"{tmp_path}/notify"
    with listening(address) as systemd:
        with running_service(tmp_path, tiny_bundle, environment=systemd.environment) as service:
            wait_for(lambda: "WATCHDOG=1" in systemd.messages)
            assert systemd.messages[0] == "READY=1\nSTATUS=serving tiny 1.0"
            assert 3 <= systemd.alive_within(8 * INTERVAL_S) <= 9
            service.process.terminate()
            assert service.process.wait(timeout=10) == 0
        wait_for(lambda: systemd.messages[-1] == "STOPPING=1", 5)
    assert set(systemd.messages[1:]) == {"WATCHDOG=1", "STOPPING=1"}
    assert systemd.messages.count("STOPPING=1") == 1


@pytest.mark.parametrize("busy", [False, True])
def test_no_sign_of_life_while_the_worker_is_silent(tiny_bundle: Path, tmp_path: Path, busy: bool) -> None:
    """The service waits a minute for its worker here, and is silent itself long before."""
    long_limits = "[worker]\nhang_timeout_s = 60\nanswer_timeout_s = 60\n"
    with (
        listening(f"{tmp_path}/notify") as systemd,
        running_service(tmp_path, tiny_bundle, long_limits, environment=systemd.environment) as service,
        service.camera() as camera,
    ):
        before = service.command("get_status")
        os.kill(before["worker_pid"], signal.SIGSTOP)
        if busy:
            camera.send(FRAME, centered=True)
        time.sleep(3.0)  # the next ping, and the limit on its silence
        assert systemd.alive_within(4.0) == 0
        status = service.command("get_status")
        assert status["worker_pid"] == before["worker_pid"]
        assert status["counters"]["worker_restarts"] == 0
        os.kill(before["worker_pid"], signal.SIGCONT)
        wait_for(lambda: systemd.alive_within(2 * INTERVAL_S) > 0)


def test_not_ready_without_a_worker_but_in_the_safe_state(tiny_bundle: Path, tmp_path: Path) -> None:
    """The hash is right, the content is no model: no worker becomes ready."""
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    put_garbage_for_a_network(bundle)
    with (
        listening(f"{tmp_path}/notify") as systemd,
        running_service(
            tmp_path, bundle, "[worker]\nrestart_limit = 3\n", ready="degraded", environment=systemd.environment
        ) as service,
    ):
        assert systemd.messages == []
        service.wait_for(lambda status: status["state"] == "safe")
        wait_for(lambda: "WATCHDOG=1" in systemd.messages)
        assert systemd.messages[0] == "READY=1\nSTATUS=safe state, waiting for a command"
        # However long the workers took, systemd was asked for time, and is not any more.
        assert set(systemd.extensions) == {"EXTEND_TIMEOUT_USEC=60000000"}
        assert systemd.alive_within(4 * INTERVAL_S) > 0


def test_signs_of_life_while_a_worker_is_replaced(tiny_bundle: Path, tmp_path: Path) -> None:
    """The next worker is stopped in the middle of its start, and has most of a minute left."""
    with (
        listening(f"{tmp_path}/notify") as systemd,
        running_service(tmp_path, tiny_bundle, environment=systemd.environment) as service,
    ):
        first = service.command("get_status")["worker_pid"]
        os.kill(first, signal.SIGKILL)
        service.wait_for(lambda status: status["worker_pid"] not in (None, first))
        second = service.command("get_status")["worker_pid"]
        os.kill(second, signal.SIGSTOP)
        assert service.command("get_status")["state"] == "degraded"
        assert systemd.alive_within(6 * INTERVAL_S) >= 3
        os.kill(second, signal.SIGCONT)
        service.wait_for(lambda status: status["state"] == "ready")


def test_nobody_listens(tiny_bundle: Path, tmp_path: Path) -> None:
    environment = {"NOTIFY_SOCKET": f"{tmp_path}/none", "WATCHDOG_USEC": "1000000"}
    with running_service(tmp_path, tiny_bundle, environment=environment) as service:
        time.sleep(4 * INTERVAL_S)
        assert service.command("no_op") == {}


def test_the_units_keys() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNIT.read_text(encoding="utf-8"))
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    expected = {
        "Type": "notify",
        "NotifyAccess": "main",
        "WatchdogSec": "90",
        "TimeoutStartSec": "120",
        "Restart": "always",
        "RestartSec": "1",
        "KillMode": "mixed",
        "User": "rubblemap",
        "StateDirectory": "rubblemap",
        "ConfigurationDirectory": "rubblemap",
        "OOMPolicy": "continue",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "SystemCallFilter": "@system-service",
        "UMask": "0077",
    }
    assert {name: unit["Service"][name] for name in expected} == expected
    # Without AF_NETLINK, ZeroMQ aborts when it binds a tcp endpoint.
    assert set(unit["Service"]["RestrictAddressFamilies"].split()) == {"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"}
    assert "serve --bundle" in unit["Service"]["ExecStart"]
    assert unit["Install"]["WantedBy"] == "multi-user.target"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not there")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8")
    installed = text.split("ExecStart=")[1].split()[0]
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace(installed, "/bin/true"), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
