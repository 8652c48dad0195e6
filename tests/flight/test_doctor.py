"""`flight doctor`: what is wrong with a board, in plain words, and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from flight.doctor import Board, Finding, describe, examine
from flight.keys import make_service_keys
from tests.flight.service.peers import free_endpoints
from tests.flight.service.scenarios import damage
from tests.flight.service_process import running_service

CPU = "processor : 0\nFeatures : fp asimd asimddp\nCPU part : 0xd0b\nModel : Raspberry Pi 5\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system's files with nothing wrong."""
    for name, text in {
        "etc/os-release": 'PRETTY_NAME="A system"\n',
        "proc/cpuinfo": CPU,
        "proc/meminfo": "MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\n",
        "sys/fs/cgroup/cgroup.controllers": "cpu memory pids\n",
        "sys/class/thermal/thermal_zone0/temp": "45000\n",
    }.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "root"


@pytest.fixture(autouse=True)
def aarch64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flight.doctor.platform.machine", lambda: "aarch64")
    monkeypatch.setattr("flight.doctor._TIMEOUT_S", 0.3)


def found(board: Board) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(board)}


def test_of_a_sound_board_nothing_is_wrong(root: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    with running_service(tmp_path, tiny_bundle) as service:
        configuration = tmp_path / "flight.toml"
        configuration.write_text(f'[endpoints]\ncommands = "{service.endpoints["commands"]}"\n')
        findings = found(Board(root, tiny_bundle, configuration))
    problems = {name: finding.problem for name, finding in findings.items() if finding.problem}
    assert problems == {}
    assert findings["board"].value.startswith("Raspberry Pi 5, ")
    assert findings["processor"].value.startswith("Cortex-A76, ")
    assert findings["service"].value.startswith("ready")
    assert findings["temperature"].value == "45 degrees C"
    assert describe(list(findings.values())).endswith("nothing is wrong that could be seen")


@pytest.mark.parametrize(
    ("path", "text", "name", "problem"),
    [
        (
            "proc/cpuinfo",
            "Features : fp asimd\n",
            "processor",
            "without asimddp int8 networks are several",
        ),
        ("proc/meminfo", "MemTotal: 400000 kB\nMemAvailable: 90000 kB\n", "memory", "expected 400 MiB available"),
        ("sys/fs/cgroup/cgroup.controllers", "cpu pids\n", "limits", "the unit's limits of memory are void"),
        ("sys/class/thermal/thermal_zone0/temp", "86000\n", "temperature", "hotter than 80 degrees"),
    ],
)
def test_what_is_wrong_is_said(
    root: Path, tiny_bundle: Path, tmp_path: Path, path: str, text: str, name: str, problem: str
) -> None:
    (root / path).write_text(text)
    finding = found(Board(root, tiny_bundle, tmp_path / "none"))[name]
    assert finding.problem.startswith(problem)
    assert f"  {name}: {problem}" in describe([finding])


def test_a_service_that_does_not_run_and_wrong_files_are_said(root: Path, tmp_path: Path) -> None:
    configuration = tmp_path / "flight.toml"
    configuration.write_text('[endpoints]\ncommands = "tcp://127.0.0.1:9"\n[parameters]\npasses = 1000\n')
    findings = found(Board(root, tmp_path / "no_bundle", configuration))
    assert "passes" in findings["settings"].problem
    assert "no_bundle" in findings["bundle"].problem
    assert "does not run: nothing listens at tcp://127.0.0.1:9" in findings["service"].value
    assert "systemctl start" in findings["service"].problem
    assert "--bundle names another" in findings["bundle"].problem


def test_a_port_that_another_program_has_is_said(root: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    configuration = tmp_path / "flight.toml"
    with socket.create_server(("127.0.0.1", 0)) as other:
        endpoint = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        configuration.write_text(f'[endpoints]\nframes = "{endpoint}"\ncommands = "tcp://127.0.0.1:9"\n')
        problem = found(Board(root, tiny_bundle, configuration))["service"].problem
    assert problem.startswith(f"its port is taken: frames ({endpoint}) by ")
    assert f"(pid {os.getpid()})" in problem


def test_a_service_that_does_not_answer_is_not_taken_for_another_program(
    root: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    with running_service(tmp_path, tiny_bundle, endpoints=free_endpoints("127.0.0.1")) as service:
        os.kill(service.process.pid, signal.SIGSTOP)
        problem = found(Board(root, tiny_bundle, tmp_path / "flight.toml"))["service"].problem
        os.kill(service.process.pid, signal.SIGCONT)
    assert problem.endswith("something listens there")


def test_what_follows_from_settings_that_cannot_be_read_is_unknown(root: Path, tmp_path: Path) -> None:
    configuration = tmp_path / "flight.toml"
    configuration.write_text("x = = 1\n")
    findings = found(Board(root, tmp_path, configuration))
    assert "no TOML" in findings["settings"].problem
    assert findings["storage"] == Finding("storage", "unknown, as the settings are")
    assert findings["keys"] == Finding("keys", "unknown, as the settings are")


def test_a_damaged_bundle_is_said(root: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    damage(bundle / "First.tflite")
    finding = found(Board(root, bundle, tmp_path / "none"))["bundle"]
    assert "First.tflite: sha256" in finding.problem
    assert finding.problem.endswith("copy it anew (`hil deploy`)")


@pytest.mark.parametrize(
    ("free", "status", "problem"),
    [
        (3 << 20, {}, "expected 200 MiB free"),
        (1 << 40, {"f_flag": os.ST_RDONLY}, "is read-only: nothing can be stored"),
        (1 << 40, {"f_files": 1000, "f_favail": 0}, "no more files can be made"),
    ],
)
def test_storage_on_which_nothing_can_be_stored_is_said(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: dict[str, int], problem: str
) -> None:
    configuration = tmp_path / "flight.toml"
    configuration.write_text(f'[storage]\nstate = "{tmp_path}/state"\n')
    monkeypatch.setattr("flight.doctor.shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    values = {"f_flag": 0, "f_files": 1000, "f_favail": 500, **status}
    monkeypatch.setattr("flight.doctor.os.statvfs", lambda _: SimpleNamespace(**values))
    assert problem in found(Board(root, tmp_path, configuration))["storage"].problem


def test_keys_that_this_user_may_not_read_are_no_fault(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = tmp_path / "flight.toml"
    configuration.write_text(f'[security]\nkeys = "{tmp_path}/keys"\n')
    monkeypatch.setattr("flight.doctor.load_service_keys", Mock(side_effect=PermissionError))
    finding = found(Board(root, tmp_path, configuration))["keys"]
    assert "run this with sudo" in finding.value
    assert finding.problem == ""


def test_what_a_program_does_not_say_in_time_is_unknown(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow board systemd may take longer than one waits: its unit is not said to be missing then."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text("#!/bin/sh\nexec sleep 60\n")
    (programs / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr("flight.machine._TIMEOUT_S", 0.5)
    finding = found(Board(root, tmp_path, tmp_path / "none"))["unit"]
    assert finding.value == "unknown"
    assert "systemctl: expected an answer within" in finding.problem


@pytest.mark.parametrize(
    ("kind", "words"), [("qemu", "emulated"), ("kvm", "virtual machine"), ("none", "a computer of its own")]
)
def test_an_emulated_board_is_said_to_be_one(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, words: str
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "systemd-detect-virt").write_text(f"#!/bin/sh\necho {kind}\n[ {kind} != none ]\n")
    (programs / "systemd-detect-virt").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    assert found(Board(root, tmp_path, tmp_path / "none"))["board"].value == f"Raspberry Pi 5, {words}"


def test_keys_that_others_can_read_are_said(root: Path, tmp_path: Path) -> None:
    make_service_keys(tmp_path / "keys")
    (tmp_path / "keys/service.key_secret").chmod(0o644)
    configuration = tmp_path / "flight.toml"
    configuration.write_text(f'[security]\nkeys = "{tmp_path}/keys"\n')
    assert "service.key_secret" in found(Board(root, tmp_path, configuration))["keys"].problem


def test_the_clock_that_was_never_set_is_said(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flight.doctor.time.time", lambda: 86400.0)
    assert found(Board(root, tmp_path, tmp_path / "none"))["clock"].problem.startswith("the clock is not set")


def test_the_command_writes_a_report_and_says_by_its_exit_code_that_something_is_wrong(tmp_path: Path) -> None:
    options = ["--bundle", str(tmp_path / "none"), "--config", str(tmp_path / "none.toml")]
    command = [sys.executable, "-m", "flight.cli", "doctor", *options, "--report", str(tmp_path / "report")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert (tmp_path / "report").read_text() == done.stdout
    assert "what is wrong:\n" in done.stdout
