"""The virtual board without QEMU: its life with stand-ins for QEMU and ssh, and its packages unpacked for real."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hil.board import recipe
from hil.board.folders import Board, BoardError
from hil.board.image import build_image, cached_image
from hil.board.machine import CACHE_MODE, Hardware, Machine
from hil.board.packages import find_mirror
from hil.board.progress import Progress, run_step
from hil.board.unpack import unpack_packages


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins: QEMU that lives until it is ended, and ssh that gets in while there is a file `answers`."""
    folder = tmp_path / "programs"
    folder.mkdir()
    write_program(folder / "qemu-system-aarch64", f'#!/bin/sh\necho "$@" > {tmp_path}/qemu_arguments\nexec sleep 600\n')
    write_program(folder / "ssh", f"#!/bin/sh\ntest -e {tmp_path}/answers\n")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def machine(tmp_path: Path, programs: Path) -> Iterator[Machine]:
    """A board whose image is there already."""
    board = Board(tmp_path / "state", tmp_path / "cache")
    image = cached_image(board.cache)
    image.key.parent.mkdir(parents=True)
    image.disk.write_bytes(b"disk")
    image.key.write_text("key")
    image.host_key.write_text("ssh-ed25519 AAAA board\n")
    (tmp_path / "answers").touch()
    machine = Machine(board)
    yield machine
    if machine.is_on():
        machine.cut_power()


def power_on(machine: Machine, timeout_s: float = 10.0) -> None:
    machine.power_on(Hardware(), None, Progress(io.StringIO()), timeout_s)


def run_hil(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hil.cli", "board", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_board_is_on_until_its_power_is_cut(machine: Machine, tmp_path: Path) -> None:
    assert machine.status()["state"] == "off"
    power_on(machine)
    status = machine.status()
    assert status["state"] == "running"
    assert f"cache={CACHE_MODE}" in (tmp_path / "qemu_arguments").read_text()
    assert status["disk_cache_mode"] == CACHE_MODE
    assert f"Port {status['ssh_port']}" in machine.board.ssh_config.read_text()
    with pytest.raises(BoardError, match="the board is on already"):
        power_on(machine)
    with pytest.raises(BoardError, match="the board is on"):
        machine.discard_disk()
    machine.cut_power()
    assert machine.status()["state"] == "off"
    with pytest.raises(ProcessLookupError):
        os.kill(status["pid"], 0)
    with pytest.raises(BoardError, match="the board is off"):
        machine.cut_power()
    machine.board.disk.write_bytes(b"changed")
    power_on(machine)  # with the disk as it was left
    assert machine.board.disk.read_bytes() == b"changed"
    machine.cut_power()
    machine.discard_disk()
    assert not machine.board.disk.exists()


def test_one_folder_one_board_another_folder_another(machine: Machine, tmp_path: Path) -> None:
    power_on(machine)
    other = Machine(Board(tmp_path / "other", machine.board.cache))
    assert not other.is_on()
    power_on(other)
    assert machine.facts()["port"] != other.facts()["port"]
    other.cut_power()
    assert machine.is_on()


def test_nothing_is_left_running_when_a_board_does_not_answer(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "answers").unlink()
    with pytest.raises(BoardError, match=r"^ssh: expected an answer within 1 s"):
        power_on(machine, timeout_s=1.0)
    assert not machine.is_on()


def test_a_board_without_network_or_clock(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "answers").unlink()
    hardware = Hardware(network=False, clock="1970-01-01T00:00:00")
    assert machine.power_on(hardware, None, Progress(io.StringIO()), 1.0) == 0.0  # nobody can log in
    assert machine.is_on()
    said = (tmp_path / "qemu_arguments").read_text()
    assert "-nic none" in said
    assert "hostfwd" not in said
    assert "-rtc base=1970-01-01T00:00:00" in said


def test_a_clock_that_is_no_time_is_refused(machine: Machine) -> None:
    folders = ["--state", str(machine.board.state), "--cache", str(machine.board.cache)]
    done = run_hil("up", "--clock", "yesterday", *folders)
    assert done.returncode == 2
    assert "--clock: expected a time as 1970-01-01T00:00:00, got 'yesterday'" in done.stderr
    done = run_hil("up", "--clock", "1970-01-01T00:00:00", "--no-network", *folders)
    assert done.returncode == 0, done.stderr
    assert "without a network; its console: " in done.stdout


def test_what_qemu_says_is_told(machine: Machine, programs: Path) -> None:
    write_program(programs / "qemu-system-aarch64", "#!/bin/sh\necho no such cpu >&2\nexit 1\n")
    with pytest.raises(BoardError, match=r"^QEMU: no such cpu$"):
        power_on(machine)


def test_the_commands_say_how_the_board_is(machine: Machine) -> None:
    folders = ["--state", str(machine.board.state), "--cache", str(machine.board.cache)]
    done = run_hil("up", *folders)
    assert done.returncode == 0, done.stderr
    assert "the board is on" in done.stdout
    assert "The board is on and answers." in run_hil("status", *folders).stdout
    status = json.loads(run_hil("status", "--json", *folders).stdout)
    assert status["state"] == "running"
    assert status["hardware"]["cpus"] == 1
    assert run_hil("power-cut", *folders).returncode == 0
    down = run_hil("down", *folders)
    assert (down.returncode, down.stderr) == (2, f"hil board down: {machine.board.state}: the board is off\n")
    assert run_hil("shell", *folders).returncode == 2


def test_an_up_that_is_interrupted_leaves_nothing_running(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "answers").unlink()
    folders = ["--state", str(machine.board.state), "--cache", str(machine.board.cache)]
    up = subprocess.Popen([sys.executable, "-m", "hil.cli", "board", "up", *folders], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20.0
    while not machine.board.facts.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    up.send_signal(signal.SIGTERM)
    assert up.wait(10.0) == 128 + signal.SIGTERM
    assert not machine.is_on()


def test_without_qemu_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    folders = ["--state", str(tmp_path / "state"), "--cache", str(tmp_path / "cache")]
    done = run_hil("up", *folders)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "hil board up: qemu-system-aarch64: expected to be installed, got no such program: install qemu-system-arm"
    )


def test_an_image_is_made_by_one_process_at_a_time(tmp_path: Path, programs: Path) -> None:
    import fcntl

    folder = cached_image(tmp_path).folder
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BoardError, match="another process makes the image now"):
            build_image(tmp_path, "http://127.0.0.1:9/debian", Progress(io.StringIO()), Hardware().command())


def test_a_step_that_fails_is_told_with_its_last_line(tmp_path: Path) -> None:
    progress = Progress(io.StringIO())
    progress.begin("step")
    with pytest.raises(BoardError, match=r"^sh: exit code 3: the reason; see .*log$"):
        run_step(["sh", "-c", "echo first; echo the reason >&2; exit 3"], progress, tmp_path / "log")
    with pytest.raises(BoardError, match="expected to end within 0 s"):
        run_step(["sleep", "60"], progress, tmp_path / "log", timeout_s=0.1)


@pytest.mark.parametrize(
    ("answer", "mirror"),
    [
        ("http://one/security Debian Debian-Security\nhttp://two/debian/ Debian Debian", "http://two/debian/"),
        ("http://three/ubuntu Ubuntu Ubuntu", None),
    ],
)
def test_the_mirror_is_that_of_the_computers_own_sources(
    answer: str, mirror: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_program(tmp_path / "apt-get", f"#!/bin/sh\nprintf '{answer}\\n'\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("hil.board.packages._EXAMPLE_SOURCES", tmp_path / "none")
    if mirror is None:
        with pytest.raises(BoardError, match="--mirror: expected a Debian mirror"):
            find_mirror()
    else:
        assert find_mirror() == mirror


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is needed to make a package")
def test_packages_are_unpacked_and_recorded_without_root(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "DEBIAN").mkdir(parents=True)
    (source / "usr/bin").mkdir(parents=True)
    (source / "etc").mkdir()
    (source / "usr/bin/special").write_text("program")
    (source / "usr/bin/special").chmod(0o2755)
    (source / "etc/settings").write_text("settings")
    control = "Package: thing\nVersion: 1\nArchitecture: arm64\nMulti-Arch: same\nMaintainer: nobody\n"
    control += "Description: a thing\n"
    (source / "DEBIAN/control").write_text(control)
    (source / "DEBIAN/conffiles").write_text("/etc/settings\n")
    write_program(source / "DEBIAN/postinst", "#!/bin/sh\n")
    (source / "DEBIAN/postinst").chmod(0o755)
    package = tmp_path / "thing.deb"
    command = ["dpkg-deb", "--root-owner-group", "--build", str(source), str(package)]
    subprocess.run(command, check=True, capture_output=True)
    root, told = tmp_path / "root", []
    root.mkdir()
    unpack_packages(root, [package], told.append)
    assert told == [1]
    assert (root / "usr/bin/special").read_text() == "program"
    assert (root / "bin").is_symlink()
    status = (root / "var/lib/dpkg/status").read_text()
    assert "Status: install ok unpacked" in status
    assert "Conffiles:\n /etc/settings newconffile" in status
    assert "/usr/bin/special" in (root / "var/lib/dpkg/info/thing:arm64.list").read_text().splitlines()
    assert (root / "var/lib/dpkg/info/thing:arm64.postinst").stat().st_mode & 0o111
    # Owner and set-group-ID are left to the first boot.
    assert (root / recipe.OWNERS.lstrip("/")).read_text() == "0:0 2755 /usr/bin/special\n"
    assert (root / "usr/bin/special").stat().st_uid == os.getuid()


def test_another_recipe_is_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before: Any = recipe.recipe_key()
    assert recipe.recipe_key() == before
    monkeypatch.setattr(recipe, "PACKAGES", (*recipe.PACKAGES, "strace"))
    assert recipe.recipe_key() != before


def test_the_first_boots_script_is_a_script() -> None:
    done = subprocess.run(["sh", "-n"], input=recipe.FIRST_BOOT_SCRIPT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
