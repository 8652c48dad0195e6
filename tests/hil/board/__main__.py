"""The service on the virtual board, for real: deploy, systemd, power cuts, flyby, maps; writes docs/board.json.

usage: python -m tests.hil.board [--cuts N] [--frames N] [--real DIR] [--only NAME ...] [--again] [--out DIR]
                                 [--write DOCS]

Without QEMU nothing is run, and the reason is told. What a part has found is kept in --out as soon as it is done, and
so is the board's disk: an interrupted campaign goes on where it ended, with --again it begins anew.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flight.command_line import CommandParser, run_program
from flight.option_types import existing_folder, integer, output_folder
from hil.board.folders import Board, default_cache
from hil.board.machine import CACHE_MODE, Machine
from hil.deploy.connection import DeployError
from tests.hil.board import live_systemd
from tests.hil.board.campaign import ROOT, UNIT, Campaign, Extent
from tests.hil.board.equality import equality
from tests.hil.board.flyby import flyby
from tests.hil.board.native_client import native_client
from tests.hil.board.power_cuts import power_cuts


def deploying(campaign: Campaign) -> dict[str, Any]:
    """A shipped bundle onto a board that has nothing yet."""
    campaign.power_off()
    campaign.machine.discard_disk()
    boot_s = campaign.power_on()
    began = time.monotonic()
    first = campaign.deploy(campaign.unet_s)
    return {
        "boot_to_ssh_s": boot_s,
        "deploy_bundle": campaign.unet_s.name,
        "deploy_s": round(time.monotonic() - began, 1),
        "start_to_ready_s": first["start_s"],
        "health": first["health"],
        "configuration": campaign.shell("cat /etc/rubblemap/flight.toml").splitlines(),
    }


def rollback(campaign: Campaign) -> dict[str, Any]:
    """A deploy whose configuration does not let the service start: what served before comes back, with its own."""
    campaign.serve(campaign.tiny)
    served = campaign.shell("readlink /opt/rubblemap/venv")
    configured = campaign.shell("sudo cat /etc/rubblemap/flight.toml")
    try:
        campaign.deploy(campaign.tiny, "[parameters]\npasses = 1000\n")
        told = ""
    except DeployError as error:
        told = str(error)
    campaign.wait_active()
    same = campaign.shell("readlink /opt/rubblemap/venv") == served
    same = same and campaign.shell("sudo cat /etc/rubblemap/flight.toml") == configured
    return {"rollback": same and "back to" in told, "rollback_said": told, "after_rollback": campaign.answer_frame()}


PARTS: dict[str, Callable[[Campaign], dict[str, Any]]] = {
    "deploying": deploying,
    "restarts": live_systemd.restarts,
    "flyby": flyby,
    "hardening": live_systemd.hardening,
    "memory_limit": live_systemd.memory_limit,
    "reboot": live_systemd.reboot,
    "field_boots": live_systemd.field_boots,
    "power_cuts": power_cuts,
    "equality": equality,
    "rollback": rollback,
    "native_client": native_client,
}


def build_parser() -> CommandParser:
    """The command line."""
    parser = CommandParser(prog="python -m tests.hil.board", description="The service on the virtual board.")
    parser.add_argument("--cuts", type=integer(1), default=20, metavar="N", help="power cuts")
    parser.add_argument("--frames", type=integer(1, 56), default=8, metavar="N", help="frames of each kind to compare")
    parser.add_argument(
        "--real", type=existing_folder, metavar="DIR", help="images of real bodies, to be compared too (default: none)"
    )
    parser.add_argument(
        "--only", nargs="+", choices=list(PARTS), help="parts to run, done or not (default: all others)"
    )
    parser.add_argument(
        "--flight-bundle",
        type=existing_folder,
        metavar="DIR",
        help="bundle that answers the flyby's frames; a shipped one takes an hour here (default: the tests' tiny one)",
    )
    parser.add_argument("--again", action="store_true", help="forget what an earlier campaign has done")
    parser.add_argument("--out", type=output_folder, default=ROOT / "out/board", metavar="DIR", help="work folder")
    parser.add_argument("--write", type=existing_folder, metavar="DOCS", help="write board.json there (default: no)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Run the parts; the board is off at the end, whatever happens."""
    if shutil.which("qemu-system-aarch64") is None:
        print("skipped: qemu-system-aarch64 is not installed (Debian: qemu-system-arm)")
        return 0
    work = arguments.out.absolute()
    board = Board(work / "state", default_cache())
    if arguments.again and Machine(board).is_on():
        Machine(board).cut_power()
    if arguments.again:
        shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    bundle = arguments.flight_bundle.resolve() if arguments.flight_bundle else None
    extent = Extent(arguments.cuts, arguments.frames, arguments.real, bundle)
    campaign = Campaign(board, work, extent)
    try:
        for name in choose_parts(work, arguments.only):
            began = time.monotonic()
            figures = PARTS[name](campaign)
            figures["took_s"] = round(time.monotonic() - began, 1)
            (work / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")
            print(f"{name}: {json.dumps(figures)}", flush=True)
            if arguments.write is not None:
                write_figures(work, arguments.write / "board.json")
    except BaseException:
        if campaign.machine.is_on():
            print(campaign.shell_or_none(f"sudo journalctl -b -u {UNIT} -n 40 --no-pager") or "", flush=True)
        raise
    finally:
        campaign.power_off()
    return 0


def choose_parts(work: Path, only: list[str] | None) -> list[str]:
    """The parts to be run: those that are named, or else those whose figures are not in the work folder yet."""
    return only if only is not None else [name for name in PARTS if not (work / f"{name}.json").exists()]


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
