"""`flight doctor`: what is wrong with a board, in plain words, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flight.doctor import Board, Finding, describe, examine
from flight.keys import make_service_keys
from tests.flight.service_process import running_service

CPU = "processor : 0\nFeatures : fp asimd asimddp\nModel : Raspberry Pi 5\n"


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
    assert findings["processor"].value.startswith("Raspberry Pi 5")
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
    assert "nothing listens there" in findings["service"].problem


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
