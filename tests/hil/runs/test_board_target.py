"""A board as target: a program that stands in for ssh carries the sockets, and this computer is the board."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hil.cli import main
from hil.runs import board_target
from hil.runs.board_target import BoardTarget
from hil.runs.target import TargetError
from tests.flight.service.peers import free_endpoints
from tests.flight.service_process import RunningService, running_service

# Forwards what -L names, as long as it lives; runs what comes after the host in a shell. Says what ssh would.
_SSH = """#!{python}
import os, pathlib, re, socket, subprocess, sys, threading
home = pathlib.Path({home!r})
words = sys.argv[1:]
with (home / "calls").open("a") as calls:
    calls.write(" ".join(words) + "\\n")
if "unknown" in words:
    sys.exit("ssh: Could not resolve hostname unknown: Name or service not known")
if "-N" not in words:
    sys.exit(subprocess.run(["sh", "-c", words[-1]]).returncode)
if (home / "off").exists():
    sys.exit("ssh: connect to host board port 22: Connection refused")
(home / "tunnel").write_text(str(os.getpid()))
def copy(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
def serve(listener, port):
    while True:
        near, _ = listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", port))
        except OSError:
            near.close()
            continue
        for pair in ((near, far), (far, near)):
            threading.Thread(target=copy, args=pair, daemon=True).start()
for here, port in re.findall(r"-L (\\S+):127\\.0\\.0\\.1:(\\d+)", " ".join(words)):
    if os.path.exists(here):
        os.unlink(here)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(here)
    listener.listen()
    threading.Thread(target=serve, args=(listener, int(port)), daemon=True).start()
threading.Event().wait()
"""
# The service's own process, which the unit would name.
_SYSTEMCTL = """#!/bin/sh
echo "$@" >> {home}/systemctl
kill -KILL $(cat {home}/service)
"""
HEAD = 'title = "a board"\nrate_hz = 10.0\nduration_s = %s\n[source]\nkind = "drawn"\nsensor_px = 64\ncraters = 5\n'
LOST = '[[criteria]]\nkind = "lost_at_most"\nframes = %d\n'


@dataclass
class FakeBoard:
    """This computer as a board. home: of the stand-ins. endpoints: of its service. scratch: for what that leaves."""

    home: Path
    endpoints: dict[str, str]
    scratch: str

    def calls(self) -> list[str]:
        return (self.home / "calls").read_text().splitlines()

    @contextmanager
    def service(self, folder: Path, bundle: Path) -> Iterator[RunningService]:
        """A service on the board, which may be killed."""
        with running_service(folder, bundle, endpoints=self.endpoints, environment={"TMPDIR": self.scratch}) as service:
            (self.home / "service").write_text(str(service.process.pid))
            yield service


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBoard]:
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)
    for name, text in (
        ("ssh", _SSH.format(python=sys.executable, home=str(home))),
        ("systemctl", _SYSTEMCTL.format(home=home)),
        ("sudo", '#!/bin/sh\nshift; exec "$@"\n'),
    ):
        program = home / "bin" / name
        program.write_text(text)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{home / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("RUBBLEMAP_BOARD", str(home / "board"))
    endpoints = free_endpoints("127.0.0.1")
    monkeypatch.setattr(board_target, "DEFAULT_ENDPOINTS", endpoints)
    folder, scratch = (tempfile.mkdtemp(prefix="rmb_", dir="/tmp") for _ in range(2))
    monkeypatch.setenv("TMPDIR", folder)
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield FakeBoard(home, endpoints, scratch)
    shutil.rmtree(scratch)
    assert list(Path(folder).iterdir()) == []  # the tunnel's sockets are gone
    Path(folder).rmdir()
    if (home / "tunnel").exists():  # and so is the tunnel
        assert not Path("/proc", (home / "tunnel").read_text(), "cmdline").exists()


def run(folder: Path, text: str, where: str) -> tuple[int, dict[str, Any]]:
    (folder / "own.toml").write_text(text)
    code = main(["run", str(folder / "own.toml"), "--target", where, "--out", str(folder / "out")])
    result = folder / "out" / "own" / "result.json"
    return code, json.loads(result.read_text()) if result.is_file() else {}


def test_a_service_on_a_board_is_tried_and_goes_on(board: FakeBoard, tiny_bundle: Path, tmp_path: Path) -> None:
    with board.service(tmp_path, tiny_bundle) as service:
        code, result = run(tmp_path, HEAD % 1 + "[[criteria]]\nkind = 'safe_state'\n" + LOST % 10, "ssh:pi@board")
        assert code == 0
        assert service.command("get_status")["counters"]["frames_received"] > 0
    assert result["environment"]["target"] == "service on the board pi@board, by ssh"
    (tunnel,) = board.calls()
    assert tunnel.startswith("-N -o BatchMode=yes -o ExitOnForwardFailure=yes")
    assert tunnel.endswith(" pi@board")


def test_a_boards_worker_and_service_are_killed_over_ssh(board: FakeBoard, tiny_bundle: Path, tmp_path: Path) -> None:
    faults = '[[faults]]\nkind = "worker_killed"\nat_s = 0.5\n[[faults]]\nkind = "service_killed"\nat_s = 2.5\n'
    criteria = '[[criteria]]\nkind = "event_seen"\nevent = "worker_died"\n' + LOST % 0
    with board.service(tmp_path, tiny_bundle) as service:
        code, result = run(tmp_path, HEAD % 4 + faults + criteria, "ssh:pi@board")
        assert service.process.poll() == -signal.SIGKILL
    # Nothing starts the service again here, as systemd would.
    passed = {entry["criterion"].split(" ")[0]: entry["passed"] for entry in result["criteria"]}
    assert passed == {"event_seen": True, "lost_at_most": False, "faults_carried_out": True}
    assert code == 1
    assert any("kill -KILL" in call and "sudo -n" in call for call in board.calls())
    assert (board.home / "systemctl").read_text().endswith("--signal=KILL rubblemap-flight.service\n")


class FakeMachine:
    """The virtual board's machine: its power is that of a service of ours, and of the tunnel to it."""

    stack: ExitStack
    start: Any
    home: Path
    service: RunningService

    def __init__(self, board: Any) -> None:
        pass

    def is_on(self) -> bool:
        return True

    def facts(self) -> dict[str, Any]:
        return {"hardware": {"cpu": "cortex-a72", "cpus": 2}}

    def cut_power(self) -> None:
        (self.home / "off").touch()
        self.service.process.kill()
        self.service.process.wait()
        os.kill(int((self.home / "tunnel").read_text()), signal.SIGKILL)

    def power_on(self, hardware: Any, mirror: None, progress: Any, timeout_s: float) -> float:
        assert hardware.cpu == "cortex-a72"
        type(self).service = self.start()
        (self.home / "off").unlink()
        return 1.5


def test_the_virtual_boards_power_is_cut_and_comes_back(
    board: FakeBoard, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames are lost meanwhile, and answered again through a tunnel that finds its way back by itself."""
    monkeypatch.setattr(board_target, "Machine", FakeMachine)
    monkeypatch.setattr(board_target, "command_to", lambda name, board: ["ssh", "board"])
    text = HEAD % 20 + '[[faults]]\nkind = "power_cut"\nat_s = 1.0\nfor_s = 2.0\n' + LOST % 0
    text += '[[criteria]]\nkind = "recovered_within"\nseconds = 15.0\n'
    with ExitStack() as stack:
        FakeMachine.home = board.home
        FakeMachine.start = staticmethod(lambda: stack.enter_context(board.service(tmp_path, tiny_bundle)))
        FakeMachine.service = FakeMachine.start()
        code, result = run(tmp_path, text, "ssh:virtual")
    passed = {entry["criterion"].split(" ")[0]: entry["passed"] for entry in result["criteria"]}
    assert passed == {"lost_at_most": False, "recovered_within": True, "faults_carried_out": True}
    assert code == 1
    (fault,) = result["faults"]
    assert fault["note"] == "power off for 2 s of the scenario; ssh answered 2 s after it was back"


@pytest.mark.parametrize(
    ("where", "more", "problem"),
    [
        ("ssh:unknown", "", "--target: ssh:unknown: ssh: Could not resolve hostname unknown"),
        ("ssh:-oProxyCommand=x", "", "TARGET: expected a host as ssh takes it, got '-oProxyCommand=x'"),
        ("ssh:virtual", "", "the virtual board is off: `hil board up`"),
        ("ssh:pi@board", "", "--target: ssh:pi@board: expected a service on the board (`hil deploy`), got none: "),
        (
            "ssh:pi@board",
            '[[faults]]\nkind = "power_cut"\nat_s = 0\nfor_s = 1\n',
            "faults[0]: power_cut: expected the virtual board (ssh:virtual), got ssh:pi@board",
        ),
        (
            "local",
            '[[faults]]\nkind = "power_cut"\nat_s = 0\nfor_s = 1\n',
            "faults[0]: power_cut: expected the virtual board (ssh:virtual), got local",
        ),
        (
            "ssh:pi@board",
            '[[faults]]\nkind = "bundle_damaged"\nat_s = 0\n',
            "faults[0]: bundle_damaged: expected a service on this computer, got ssh:pi@board",
        ),
        (
            "ssh:pi@board",
            '[[criteria]]\nkind = "no_wrong_map"\n',
            "criteria[1]: no_wrong_map: expected a service on this computer, got ssh:pi@board",
        ),
    ],
)
def test_a_board_that_cannot_be_tried_is_one_line_and_exit_code_2(
    board: FakeBoard,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    more: str,
    problem: str,
) -> None:
    monkeypatch.setattr(board_target, "_ANSWER_TIMEOUT_S", 0.5)
    code, result = run(tmp_path, HEAD % 1 + LOST % 0 + more, where)
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("own: not finished")]
    assert (code, result) == (2, {})
    assert len(lines) == 1, lines
    assert problem in lines[0]


def test_a_power_cut_needs_the_virtual_board(board: FakeBoard, tmp_path: Path) -> None:
    target = BoardTarget("pi@board", tmp_path)
    with pytest.raises(TargetError, match="expected the target ssh:virtual, got ssh:pi@board"):
        target.cut_power(lambda: time.sleep(0.0))


def test_what_the_board_refuses_is_told_with_its_words(board: FakeBoard, tmp_path: Path) -> None:
    (board.home / "service").write_text("999999999")
    target = BoardTarget("pi@board", tmp_path)
    with pytest.raises(OSError, match=r"pi@board: systemctl kill .*: .*No such process"):
        target.kill()
