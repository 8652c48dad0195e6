"""The running board: QEMU's process, its disk, and the way in by ssh."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flight.files import write_whole
from hil.board import recipe
from hil.board.folders import Board, BoardError, hold_lock
from hil.board.image import Image, build_image, cached_image, find_tool
from hil.board.progress import Progress

# A sync of the guest reaches this computer's kernel. What the guest has handed to its disk therefore survives when
# QEMU is killed; what lies in the guest's page cache is lost, as at a real cut.
CACHE_MODE = "writeback"
_START_ATTEMPTS = 3
_POWER_OFF_S = 120.0
_KILL_S = 30.0


@dataclass(frozen=True)
class Hardware:
    """What the machine has.

    Attributes:
        cpu: QEMU's name of the processor; cortex-a76 is that of a Raspberry Pi 5, cortex-a72 of a 4.
        cpus: processors. More than this computer can spare make it slower.
        memory_mib: memory.
        append: more arguments of the kernel, `cgroup_disable=memory` for example.
        clock: time of the board's clock at power-on, YYYY-MM-DDTHH:MM:SS in UTC; "" for that of this computer.
        network: whether it has a network; without one nobody can log in, and its console alone says how it is.
    """

    cpu: str = "cortex-a76"
    cpus: int = 1
    memory_mib: int = 1024
    append: str = ""
    clock: str = ""
    network: bool = True

    def command(self) -> list[str]:
        """QEMU's command line without kernel, disk, network and console. It yields to everything else here."""
        clock = ["-rtc", f"base={self.clock}"] if self.clock else []
        return [
            *("nice", "-n", "10", find_tool("qemu-system-aarch64"), "-M", "virt", "-cpu", self.cpu),
            *("-smp", str(self.cpus), "-m", f"{self.memory_mib}M", "-accel", "tcg,thread=multi,tb-size=512"),
            *("-display", "none", "-monitor", "none", "-device", "virtio-rng-pci"),
            *clock,
        ]


class Machine:
    """A board's machine: power it on, cut it off, ask how it is."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._process: subprocess.Popen[bytes] | None = None

    # --- what it is -----------------------------------------------------------------------------------------------

    def is_on(self) -> bool:
        """Whether its process lives: that holds the lock."""
        if not self.board.power_lock.exists():
            return False
        try:
            with hold_lock(self.board.power_lock, ""):
                return False
        except BoardError:
            return True

    def facts(self) -> dict[str, Any]:
        """What was written at power-on; empty if it was never powered on."""
        try:
            facts = json.loads(self.board.facts.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}

    def status(self) -> dict[str, Any]:
        """All that `hil board status` says."""
        on, facts = self.is_on(), self.facts()
        disk = self.board.disk
        return {
            "state": ("running" if self.answers(10.0) else "starting") if on else "off",
            "image": "ready" if cached_image(self.board.cache).disk.is_file() else "not made yet",
            "disk": str(disk) if disk.is_file() else None,
            "disk_used_mib": disk.stat().st_blocks // 2048 if disk.is_file() else 0,
            "disk_cache_mode": CACHE_MODE,
            "hardware": facts.get("hardware"),
            "ssh": ["ssh", "-F", str(self.board.ssh_config), "board"] if on else None,
            "ssh_port": facts.get("port") if on else None,
            "pid": facts.get("pid") if on else None,
            "on_for_s": round(time.time() - facts["powered_on"], 1) if on and "powered_on" in facts else None,
            "state_folder": str(self.board.state),
            "cache_folder": str(self.board.cache),
        }

    # --- on and off -----------------------------------------------------------------------------------------------

    def power_on(self, hardware: Hardware, mirror: str | None, progress: Progress, timeout_s: float) -> float:
        """Make the image if need be, power the board on, and wait until it can be logged into.

        Returns:
            Seconds from power-on until ssh answered; 0 at once for a board without a network.

        Raises:
            BoardError: it is on already, or cannot be powered on; says why. Nothing is left running then.
        """
        state = self.board.state
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with hold_lock(state / "up.lock", f"{state}: another `hil board up` is under way"):
            if self.is_on():
                raise BoardError(f"{state}: the board is on already; see `hil board status`")
            image = build_image(self.board.cache, mirror, progress, hardware.command())
            if not self.board.disk.is_file():
                _copy_sparse(image.disk, self.board.disk)
            progress.begin("power on")
            began = time.monotonic()
            process = self._start(image, hardware)
            if not hardware.network:
                progress.end(f"no network: {self.board.serial_log} is its console")
                return 0.0
            try:
                self._await_login(process, progress, timeout_s)
            except BaseException:
                process.kill()
                process.wait()
                raise
            progress.end("ssh answers")
            return time.monotonic() - began

    def _start(self, image: Image, hardware: Hardware) -> subprocess.Popen[bytes]:
        for attempt in range(_START_ATTEMPTS):
            port = _free_port()
            self._write_ssh_files(image, port)
            with hold_lock(self.board.power_lock, f"{self.board.state}: the board is on already") as lock:
                process = subprocess.Popen(
                    [*hardware.command(), *self._devices(image, hardware, port)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=(self.board.state / "qemu.log").open("wb"),
                    start_new_session=True,  # it outlives this command
                    pass_fds=[lock],
                )
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
                said = (self.board.state / "qemu.log").read_text(encoding="utf-8", errors="replace").strip()
                if "hostfwd" in said and attempt + 1 < _START_ATTEMPTS:
                    continue  # the port was taken meanwhile
                raise BoardError(f"QEMU: {' '.join(said.split()) or f'exit code {process.returncode}'}")
            facts = {"pid": process.pid, "port": port, "powered_on": time.time(), "hardware": asdict(hardware)}
            write_whole(self.board.facts, json.dumps(facts).encode("utf-8"))
            self._process = process
            return process
        raise BoardError("QEMU: found no free port")

    def _devices(self, image: Image, hardware: Hardware, port: int) -> list[str]:
        drive = f"if=none,id=disk,file={self.board.disk},format=raw,cache={CACHE_MODE},discard=unmap"
        return [
            *("-serial", f"file:{self.board.serial_log}", "-kernel", str(image.kernel)),
            *("-append", f"{recipe.KERNEL_ARGUMENTS} {hardware.append}".strip()),
            *("-drive", drive, "-device", "nvme,serial=board,drive=disk"),
            *(_network_devices(port) if hardware.network else ("-nic", "none")),
        ]

    def _write_ssh_files(self, image: Image, port: int) -> None:
        state = self.board.state
        key, host_key = state / "id", image.host_key.read_text(encoding="ascii").split()
        write_whole(key, image.key.read_bytes())
        key.chmod(0o600)
        write_whole(state / "known_hosts", f"board {host_key[0]} {host_key[1]}\n".encode("ascii"))
        text = (
            f'Host board\n  HostName 127.0.0.1\n  Port {port}\n  User {recipe.USER}\n  IdentityFile "{key}"\n'
            f'  IdentitiesOnly yes\n  HostKeyAlias board\n  UserKnownHostsFile "{state / "known_hosts"}"\n'
            "  StrictHostKeyChecking yes\n  BatchMode yes\n  ConnectTimeout 10\n  ControlMaster no\n  LogLevel ERROR\n"
        )
        write_whole(self.board.ssh_config, text.encode("utf-8"))

    def _await_login(self, process: subprocess.Popen[bytes], progress: Progress, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not self.answers(15.0):
            if process.poll() is not None:
                raise BoardError(f"QEMU: ended with exit code {process.returncode}; see {self.board.serial_log}")
            if time.monotonic() > deadline:
                raise BoardError(
                    f"ssh: expected an answer within {timeout_s:.0f} s (--timeout), got none; "
                    f"see {self.board.serial_log}"
                )
            progress.update("waiting for ssh")
            time.sleep(0.5)

    def answers(self, timeout_s: float) -> bool:
        """Whether one can log in."""
        with contextlib.suppress(subprocess.TimeoutExpired, OSError):
            return self.ssh(["true"], timeout_s=timeout_s).returncode == 0
        return False

    def ssh(
        self, command: list[str], timeout_s: float = 120.0, data: bytes = b"", options: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command of the board's shell there, as its user.

        Args:
            command: words, joined by blanks as ssh does.
            timeout_s: of all of it.
            data: its standard input.
            options: more of ssh's options.
        """
        return subprocess.run(
            ["ssh", "-F", str(self.board.ssh_config), *options, "board", *command],
            input=data,
            capture_output=True,
            check=False,
            timeout=timeout_s,
        )

    def cut_power(self) -> None:
        """End the machine at once: what its system has not handed to the disk is lost.

        Raises:
            BoardError: it is off.
        """
        if not self.is_on():
            raise BoardError(f"{self.board.state}: the board is off")
        os.kill(int(self.facts()["pid"]), signal.SIGKILL)
        if not self._await_off(_KILL_S):
            raise BoardError(f"QEMU: expected to end within {_KILL_S:.0f} s, and it did not")

    def power_off(self) -> bool:
        """Shut the system down, and end the machine; returns whether it shut down by itself.

        Raises:
            BoardError: it is off.
        """
        if not self.is_on():
            raise BoardError(f"{self.board.state}: the board is off")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.ssh(["sudo", "systemctl", "poweroff"], timeout_s=30.0)
            if self._await_off(_POWER_OFF_S):
                return True
        self.cut_power()
        return False

    def _await_off(self, timeout_s: float) -> bool:
        """Wait until it is off; returns whether it is."""
        deadline = time.monotonic() + timeout_s
        while self.is_on():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        if self._process is not None:
            self._process.wait()  # it was started by this process
            self._process = None
        return True

    def discard_disk(self) -> None:
        """Forget the board's disk; the next one begins with the image.

        Raises:
            BoardError: the board is on.
        """
        if self.is_on():
            raise BoardError(f"{self.board.state}: the board is on: `hil board down` first")
        self.board.disk.unlink(missing_ok=True)


def _network_devices(port: int) -> list[str]:
    # No way out: what is deployed has to bring everything.
    user = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"
    return ["-netdev", user, "-device", "virtio-net-pci,netdev=net,romfile="]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _copy_sparse(source: Path, target: Path) -> None:
    """Copy a disk, leaving holes as they are; whole or not at all."""
    draft = target.with_suffix(".draft")
    cp = shutil.which("cp") or "cp"
    done = subprocess.run(
        [cp, "--sparse=always", "--reflink=auto", str(source), str(draft)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        draft.unlink(missing_ok=True)
        raise BoardError(f"{target}: {done.stderr.strip()}")
    draft.replace(target)
