"""The service on the virtual board, for real: deploy, systemd, power cuts, equality of maps; writes docs/board.json.

usage: python -m tests.hil.board [--cuts N] [--frames N] [--only NAME ...] [--out DIR] [--write DOCS]

Without QEMU nothing is run, and the reason is told. The figures of each part are kept in --out as soon as it is done;
with --only the others are taken from there.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import random
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from flight.command_line import CommandParser, run_program
from flight.option_types import existing_folder, integer, output_folder
from hil.board.folders import Board, default_cache
from hil.board.machine import CACHE_MODE, Hardware, Machine
from hil.board.progress import Progress
from hil.deploy.connection import DeployError, Link, ssh_command
from hil.deploy.deploy import Wishes, deploy
from tests.tiny_bundle import write_tiny_bundle

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
UNIT = "rubblemap-flight"
PYTHON = "/opt/rubblemap/venv/bin/python3"
BOOT_S, START_S = 900.0, 900.0


class Campaign:
    """The parts, on one board."""

    def __init__(self, board: Board, work: Path, cuts: int, frames: int) -> None:
        self.board, self.work, self.cuts, self.frames = board, work, cuts, frames
        self.machine = Machine(board)
        self.tiny = work / "tiny"
        if not self.tiny.exists():
            write_tiny_bundle(self.tiny, ("Tiny",))

    # --- helpers --------------------------------------------------------------------------------------------------

    def shell(self, command: str, timeout_s: float = 300.0, data: bytes = b"") -> str:
        """Run a shell command on the board; returns its output."""
        done = self.machine.ssh([command], timeout_s=timeout_s, data=data)
        return done.stdout.decode("utf-8", "replace").strip()

    def show(self, name: str) -> str:
        """A property of the unit; asked again while the board is too busy to answer."""
        for _ in range(20):
            text = self.shell(f"systemctl show -p {name} --value {UNIT}")
            if text:
                return text
            time.sleep(2.0)
        raise RuntimeError(f"systemctl show {name}: no answer")

    def wait_active(self, other_than: str = "") -> float:
        """Wait until the service is ready in a process other than one; returns the seconds that it took."""
        began = time.monotonic()
        while time.monotonic() - began < START_S:
            text = self.shell(f"systemctl show -p MainPID,ActiveState --value {UNIT}").split()
            if "active" in text and other_than not in text and "0" not in text:
                return round(time.monotonic() - began, 1)
            time.sleep(1.0)
        raise RuntimeError(f"the service was not ready within {START_S:.0f} s")

    def power_on(self) -> float:
        """Power on; returns the seconds until ssh answered."""
        return round(self.machine.power_on(Hardware(), None, Progress(), BOOT_S), 1)

    def deploy(self, bundle: Path, configuration: str | None) -> dict[str, Any]:
        """Deploy to the board."""
        wishes = Wishes(bundle, configuration, None, self.board.cache, START_S, START_S)
        with Link(ssh_command("board", ["-F", str(self.board.ssh_config)])) as link:
            return deploy(link, wishes, Progress())

    def send(self, *paths: Path) -> None:
        """Copy files and folders into the user's home."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path in paths:
                tar.add(path, path.name)
        self.shell("tar -xf -", data=packed.getvalue())

    # --- parts ----------------------------------------------------------------------------------------------------

    def deploying(self) -> dict[str, Any]:
        """A deploy, and one that fails and gives way to what served."""
        boot_s = self.power_on() if not self.machine.is_on() else None
        began = time.monotonic()
        first = self.deploy(self.tiny, None)
        deploy_s = round(time.monotonic() - began, 1)
        try:
            self.deploy(self.tiny, "[parameters]\npasses = 1000\n")
            rolled_back = False
        except DeployError as error:
            told = str(error)
            self.wait_active()
            current = self.shell("readlink /opt/rubblemap/venv").rpartition("/")[2]
            rolled_back = current == first["release"] and "back to" in told
        return {
            "boot_to_ssh_s": boot_s,
            "deploy_s": deploy_s,
            "start_to_ready_s": first["start_s"],
            "health": first["health"],
            "rollback": rolled_back,
        }

    def systemd(self) -> dict[str, Any]:
        """What systemd does with a stopped and with a killed service, and what it thinks of the unit."""
        self.wait_active()
        before, pid = int(self.show("NRestarts")), self.show("MainPID")
        self.shell(f"sudo kill -STOP {pid}")
        watchdog_s = self.wait_active(other_than=pid)
        after, pid = int(self.show("NRestarts")), self.show("MainPID")
        result = self.shell(f"sudo journalctl -b -u {UNIT} -o cat --no-pager | grep -c 'Watchdog timeout'")
        self.shell(f"sudo kill -KILL {pid}")
        kill_s = self.wait_active(other_than=pid)
        security = self.shell(f"systemd-analyze security {UNIT} --no-pager | tail -1")
        exposure = re.search(r"(\d+\.\d+)", security)
        return {
            "systemd_watchdog_restart": after > before and int(result or 0) >= 1,
            # More than one: a start did not end in time.
            "restarts_after_the_stop": after - before,
            "stopped_to_ready_s": watchdog_s,
            "killed_to_ready_s": kill_s,
            "security_exposure": float(exposure[1]) if exposure else None,
            "memory_limit_in_force": self.shell("cat /sys/fs/cgroup/system.slice/rubblemap-flight.service/memory.max"),
            "enabled": self.shell(f"systemctl is-enabled {UNIT}") == "enabled",
        }

    def power_cuts(self) -> dict[str, Any]:
        """Cuts while parameters are set; the record holds what was confirmed last, or what was on its way."""
        self.send(HERE / "on_board_commands.py")
        chosen = random.Random(7)
        mixtures = lost = 0
        cuts: list[dict[str, Any]] = []
        for _ in range(self.cuts):
            self.wait_active()
            sent, confirmed = self._cut_while_setting(chosen.uniform(3.0, 12.0))
            boot_s = self.power_on()
            ready_s = self.wait_active()
            text = self.shell(f"{PYTHON} -m flight.cli command get_parameters", timeout_s=600.0)
            values = json.loads(text)
            found = (values.get("values", values)["passes"], round(values.get("values", values)["gamma"], 1))
            mixtures += not any(found == pair for pair in sent)
            lost += found not in (sent[-1], *(confirmed[-1:]))
            names = self.shell("sudo ls /var/lib/rubblemap")
            cuts.append({"confirmed": len(confirmed), "boot_s": boot_s, "ready_s": ready_s, "state": names.split()})
        return {"power_cuts": len(cuts), "mixtures": mixtures, "lost_confirmed": lost, "cuts": cuts}

    def _cut_while_setting(self, delay_s: float) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
        """Cut the power while commands are carried out; returns the pairs sent and those confirmed."""
        command = ["ssh", "-F", str(self.board.ssh_config), "board", f"{PYTHON} -u on_board_commands.py"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as setting:
            assert setting.stdout is not None
            lines = [setting.stdout.readline()]
            while not lines[-1].startswith("confirmed"):
                lines.append(setting.stdout.readline())
            time.sleep(delay_s)
            self.machine.cut_power()
            lines += setting.stdout.read().splitlines()
        pairs: dict[str, list[tuple[int, float]]] = {"sent": [], "confirmed": []}
        for line in lines:
            word, *numbers = line.split()
            if len(numbers) == 2:
                pairs[word].append((int(numbers[0]), float(numbers[1])))
        return pairs["sent"], pairs["confirmed"]

    def equality(self) -> dict[str, Any]:
        """Maps of the shipped flyby's frames by UNetS, here and there."""
        frames = self.work / "frames"
        shutil.rmtree(frames, ignore_errors=True)
        frames.mkdir()
        every = sorted((ROOT / "hil/flyby/frames").glob("*.png"))
        for path in every[:: max(1, len(every) // self.frames)][: self.frames]:
            shutil.copy(path, frames)
        self.send(HERE / "on_board_maps.py", frames, ROOT / "models/unet_s")
        arguments = ["unet_s", "frames", str(self.frames), "auto", "maps.npz"]
        there = self.work / "there.npz"
        self.shell(f"{PYTHON} on_board_maps.py {shlex.join(arguments)}", timeout_s=3600.0)
        there.write_bytes(self.machine.ssh(["cat", "maps.npz"]).stdout)
        local = [str(ROOT / "models/unet_s"), str(frames), str(self.frames), "auto", str(self.work / "here.npz")]
        subprocess.run([sys.executable, str(HERE / "on_board_maps.py"), *local], check=True, cwd=ROOT)
        with np.load(there) as a, np.load(self.work / "here.npz") as b:
            same = a["class_map"] == b["class_map"]
            difference = (a["entropy"] - b["entropy"]).mean((1, 2))
            return {
                "bundle": "unet_s",
                "engine": "closed form",
                "frames": len(same),
                "class_agreement": round(float(same.mean()), 5),
                "class_agreement_worst_frame": round(float(same.mean((1, 2)).min()), 5),
                "entropy_difference_nat": round(float(difference.mean()), 5),
                "entropy_difference_worst_frame_nat": round(float(np.abs(difference).max()), 5),
                "seconds_per_frame_emulated": round(float(np.median(a["seconds"])), 2),
            }


PARTS: dict[str, Callable[[Campaign], dict[str, Any]]] = {
    "deploying": Campaign.deploying,
    "systemd": Campaign.systemd,
    "equality": Campaign.equality,
    "power_cuts": Campaign.power_cuts,
}


def build_parser() -> CommandParser:
    """The command line."""
    parser = CommandParser(prog="python -m tests.hil.board", description="The service on the virtual board.")
    parser.add_argument("--cuts", type=integer(1), default=20, metavar="N", help="power cuts")
    parser.add_argument("--frames", type=integer(1, 56), default=8, metavar="N", help="frames to compare")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts to run")
    parser.add_argument("--out", type=output_folder, default=ROOT / "out/board", metavar="DIR", help="work folder")
    parser.add_argument("--write", type=existing_folder, metavar="DOCS", help="write board.json there (default: no)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Run the parts; the board is off at the end, whatever happens."""
    if shutil.which("qemu-system-aarch64") is None:
        print("skipped: qemu-system-aarch64 is not installed (Debian: qemu-system-arm)")
        return 0
    work = arguments.out.absolute()
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rubblemap_board_") as state:
        campaign = Campaign(Board(Path(state), default_cache()), work, arguments.cuts, arguments.frames)
        try:
            for name in arguments.only:
                if name != "deploying" and not campaign.machine.is_on():
                    campaign.power_on()
                    campaign.deploy(campaign.tiny, None)
                began = time.monotonic()
                figures = PARTS[name](campaign)
                figures["took_s"] = round(time.monotonic() - began, 1)
                (work / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")
                print(f"{name}: {json.dumps(figures)}", flush=True)
                if arguments.write is not None:
                    write_figures(work, arguments.write / "board.json")
        finally:
            if campaign.machine.is_on():
                campaign.machine.power_off()
    return 0


def write_figures(work: Path, path: Path) -> None:
    """Put the figures of all parts into one file."""
    figures: dict[str, Any] = {
        "board": "QEMU virt, cortex-a76, 1 processor, 1 GiB, emulated; Debian 12 arm64",
        "disk_cache_mode": CACHE_MODE,
        "compared_with": platform.machine(),
    }
    for name in PARTS:
        part = work / f"{name}.json"
        if part.exists():
            found = json.loads(part.read_text())
            figures |= {(f"{name}_took_s" if key == "took_s" else key): value for key, value in found.items()}
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_program(build_parser(), run))
