"""What the parts of the campaign share: one virtual board, what serves there, and a line for commands to it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import select
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hil.board.folders import Board
from hil.board.machine import Hardware, Machine
from hil.board.progress import Progress
from hil.deploy.connection import Link, read_source, ssh_command
from hil.deploy.deploy import Wishes, deploy
from tests.tiny_bundle import write_tiny_bundle

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
UNIT = "rubblemap-flight"
PYTHON = "/opt/rubblemap/venv/bin/python3"
STATE_FOLDER = "/var/lib/rubblemap"
CGROUP = f"/sys/fs/cgroup/system.slice/{UNIT}.service"
BOOT_S, READY_S = 900.0, 900.0


@dataclass(frozen=True)
class Extent:
    """How much is run.

    Attributes:
        cuts: power cuts.
        frames: of the flyby and of real bodies each, compared between processors.
        real: folder of images of real bodies; None for none.
        flight_bundle: that answers the flyby's frames; None for the tiny one.
    """

    cuts: int
    frames: int
    real: Path | None = None
    flight_bundle: Path | None = None


class Relay:
    """Carries commands to the service over ssh, one at a time; see on_board_commands.py."""

    def __init__(self, ssh: Sequence[str]) -> None:
        command = [*ssh, f"sudo {PYTHON} -u on_board_commands.py"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def begin(self, name: str, **arguments: Any) -> None:
        """Send a command, and do not wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"name": name, "arguments": arguments}).encode("utf-8") + b"\n")

    def answer(self, timeout_s: float) -> dict[str, Any] | None:
        """The answer to what was begun: {"ok": ...} or {"error": text}; None if none came in time, or none will."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._rest:
            ready = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]
            data = self._process.stdout.read(1 << 16) if ready else b""
            if not data:
                return None
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Carry out a command; returns its result. Raises RuntimeError with what the service said."""
        self.begin(name, **arguments)
        answer = self.answer(READY_S)
        if answer is None or "error" in answer:
            raise RuntimeError(f"{name}: {answer['error'] if answer else 'no answer'}")
        result: dict[str, Any] = answer["ok"]
        return result

    def wait_ready(self) -> dict[str, Any]:
        """Wait until the service is ready; returns its status."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            with contextlib.suppress(RuntimeError):
                status = self.ask("get_status")
                if status["state"] == "ready":
                    return status
            if self._process.poll() is not None:
                raise RuntimeError(f"ssh: ended with exit code {self._process.returncode}")
            time.sleep(0.5)
        raise RuntimeError(f"the service was not ready within {READY_S:.0f} s")


class Campaign:
    """The board, and what every part does with it."""

    def __init__(self, board: Board, work: Path, extent: Extent) -> None:
        self.board, self.work, self.extent = board, work, extent
        self.machine = Machine(board)
        self.progress = Progress()
        self.unet_s = ROOT / "models/unet_s"
        self.tiny = self.make_tiny("tiny", ("Tiny",))
        self._deployed = work / "deployed.json"
        # One login for all that is asked between power-on and power-off: each takes seconds of the board's processor.
        self._folder = tempfile.TemporaryDirectory(prefix="rubblemap_")
        self._line = Path(self._folder.name) / "line"
        self._master: subprocess.Popen[bytes] | None = None

    def make_tiny(self, name: str, networks: tuple[str, ...]) -> Path:
        """A bundle of tiny networks, made once."""
        folder = self.work / "bundles" / name
        if not (folder / "SHA256SUMS").exists():
            shutil.rmtree(folder, ignore_errors=True)
            write_tiny_bundle(folder, networks)
        return folder

    # --- the machine ----------------------------------------------------------------------------------------------

    def power_on(self, hardware: Hardware | None = None) -> float:
        """Power on; returns the seconds until ssh answered."""
        return round(self.machine.power_on(hardware or Hardware(), None, self.progress, BOOT_S), 1)

    def power_off(self) -> None:
        """Shut down, if it is on, and log out."""
        if self.machine.is_on():
            self.machine.power_off()
        self.log_out()

    @property
    def ssh(self) -> list[str]:
        """The command that logs in; over the line that is open already, if it is."""
        return ["ssh", "-F", str(self.board.ssh_config), *self._log_in(), "board"]

    def _log_in(self) -> list[str]:
        """Options of ssh; opens the line that they name."""
        if self._master is not None and self._master.poll() is not None:
            self._line.unlink(missing_ok=True)  # the power was cut, or the board was booted again
            self._master = None
        if self._master is None:
            command = ["ssh", "-F", str(self.board.ssh_config), "-M", "-S", str(self._line), "-N", "board"]
            self._master = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 60.0
            while not self._line.exists() and self._master.poll() is None and time.monotonic() < deadline:
                time.sleep(0.2)
        return ["-o", f"ControlPath={self._line}"]

    def log_out(self) -> None:
        """Close the line."""
        if self._master is not None:
            self._master.kill()
            self._master.wait()
            self._master = None
        self._line.unlink(missing_ok=True)

    def shell(self, command: str, timeout_s: float = 600.0, data: bytes = b"") -> str:
        """Run a shell command on the board; returns its output."""
        done = self.machine.ssh([command], timeout_s=timeout_s, data=data, options=self._log_in())
        return done.stdout.decode("utf-8", "replace").strip()

    def shell_or_none(self, command: str) -> str | None:
        """The same of a board that may not answer; None if it does not."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = self.machine.ssh([command], timeout_s=30.0)  # a login of its own: the line may be broken
            return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None
        return None

    def send(self, *paths: Path) -> None:
        """Copy files and folders into the user's home, and put them on the storage."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path in paths:
                tar.add(path, path.name)
        self.shell("tar -xf - && sync", data=packed.getvalue())

    def relay(self) -> Relay:
        """A line for commands."""
        return Relay(self.ssh)

    # --- the service ----------------------------------------------------------------------------------------------

    def show(self, name: str) -> str:
        """A property of the unit; asked again while the board is too busy to answer."""
        for _ in range(20):
            text = self.shell(f"systemctl show -p {name} --value {UNIT}")
            if text:
                return text
            time.sleep(2.0)
        raise RuntimeError(f"systemctl show {name}: no answer")

    def journal(self, pattern: str, boot: int = 0) -> int:
        """How many lines of a boot's journal of the service match a pattern."""
        command = f"sudo journalctl -b {boot} -u {UNIT} -o cat --no-pager | grep -cE '{pattern}'"
        return int(self.shell(command) or 0)

    def wait_active(self, other_than: str = "") -> float:
        """Wait until the service is ready in a process other than one; returns the seconds that it took."""
        began = time.monotonic()
        while time.monotonic() - began < READY_S:
            text = self.shell(f"systemctl show -p MainPID,ActiveState --value {UNIT}").split()
            if "active" in text and other_than not in text and "0" not in text:
                return round(time.monotonic() - began, 1)
            time.sleep(1.0)
        raise RuntimeError(f"the service was not ready within {READY_S:.0f} s")

    def deploy(self, bundle: Path, configuration: str | None = None) -> dict[str, Any]:
        """Deploy as `hil deploy` does without options."""
        wishes = Wishes(bundle, configuration, None, self.board.cache)
        with Link(ssh_command("board", ["-F", str(self.board.ssh_config), *self._log_in()])) as link:
            result = deploy(link, wishes, self.progress)
        self._deployed.write_text(json.dumps({"bundle": bundle.name, "of": _source_hash(), **result}))
        self.send(HERE / "on_board_commands.py")
        return result

    def has_deployed(self, bundle: Path) -> bool:
        """Whether the last deploy brought this bundle and the present sources."""
        known = json.loads(self._deployed.read_text()) if self._deployed.exists() else {}
        return known.get("bundle") == bundle.name and known.get("of") == _source_hash()

    def serve(self, bundle: Path) -> None:
        """Let the board be on and a bundle serve: by a deploy, unless an earlier one has left it so."""
        if not self.machine.is_on():
            self.power_on()
        current = self.shell("readlink /opt/rubblemap/venv").rpartition("/")[2]
        if not self.has_deployed(bundle) or json.loads(self._deployed.read_text())["release"] != current:
            self.deploy(bundle)
        self.shell(f"sudo systemctl start {UNIT}", timeout_s=READY_S)
        self.wait_active()

    def answer_frame(self) -> dict[str, Any]:
        """Send a frame through the running service, as a deploy does; returns what came back."""
        with Link(ssh_command("board", ["-F", str(self.board.ssh_config), *self._log_in()])) as link:
            script = read_source("health") + "\nmain()\n"
            release = link.ask("list")["current"]
            return link.ask("health", id=release, script=script, secured=False, timeout_s=READY_S)


def _source_hash() -> str:
    """Of everything that a deploy puts on the board, but bundles."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "flight").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and "gnc" not in path.parts:
            digest.update(str(path.relative_to(ROOT)).encode("utf-8") + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
