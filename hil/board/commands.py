"""`hil board`: up, status, shell, power-cut, down, measure."""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_file, existing_folder, integer, number_above, output_file, output_folder
from hil.board.folders import CACHE_VARIABLE, STATE_VARIABLE, Board, default_cache, default_state

_CLOCK_FORMAT = "%Y-%m-%dT%H:%M:%S"
_EXAMPLES = {
    "hil board up": "make the image the first time (minutes), power on, wait for ssh",
    "hil board shell": "log in",
    "hil board power-cut": "as pulling the plug",
    "hil board down": "shut down; the disk is kept",
    "hil board measure pi@raspberrypi.local": "what this or any board takes for a frame",
}
_MEASURE_EXAMPLES = {
    "hil board measure pi@raspberrypi.local": "after `hil deploy pi@raspberrypi.local`",
    "hil board measure pi@raspberrypi.local --json board.json --note 'with a fan'": "a file to send",
    "hil board measure virtual --rounds 2 --write docs": "and into docs/boards.md",
    "hil board measure --row board.json --write docs": "a file that somebody sent",
}
_MEASURE_NOTE = """The service stands still for as long as the engines are measured, and starts again. Nothing of its
configuration, its parameters or its state changes."""
_UP_EXAMPLES = {
    "hil board up": "",
    "hil board up --fresh --cpus 2 --memory 2048": "a new disk, larger hardware",
    "hil board up --append cgroup_disable=memory": "as on Raspberry Pi images: without limits of memory",
    "hil board up --clock 1970-01-01T00:00:00": "as a board whose clock was never set",
}
_SHELL_EXAMPLES = {
    "hil board shell": "log in",
    "hil board shell -- journalctl -u rubblemap-flight -e": "run one command",
}


def add_board(commands: Any) -> None:
    """Add `board` to the commands of `hil`."""
    board = commands.add_parser(
        "board", help="a virtual aarch64 board on this computer, in QEMU", epilog=examples(_EXAMPLES)
    )
    actions = board.add_subparsers(dest="action", required=True, metavar="ACTION")
    up = actions.add_parser("up", help="power the board on, and wait until ssh answers", epilog=examples(_UP_EXAMPLES))
    up.add_argument("--fresh", action="store_true", help="begin with a new disk")
    up.add_argument("--cpu", default="cortex-a76", metavar="NAME", help="processor, as QEMU names it")
    up.add_argument("--cpus", type=integer(1, 16), default=1, metavar="N", help="processors")
    up.add_argument("--memory", type=integer(512, 65536), default=1024, metavar="MIB", help="memory in MiB")
    up.add_argument("--append", default="", metavar="ARGUMENTS", help="more arguments of the kernel (default: none)")
    up.add_argument(
        "--clock",
        type=clock_time,
        metavar="TIME",
        help="time that its clock shows, as 1970-01-01T00:00:00 (default: now)",
    )
    up.add_argument("--no-network", action="store_true", help="without a network: its console is STATE/serial.log")
    up.add_argument(
        "--mirror", metavar="URL", help="Debian mirror to fetch packages from (default: that of the apt sources here)"
    )
    up.add_argument("--timeout", type=number_above(0.0), default=300.0, metavar="S", help="seconds to wait for ssh")
    status = actions.add_parser(
        "status", help="say how the board is", epilog=examples({"hil board status": "", "hil board status --json": ""})
    )
    status.add_argument("--json", action="store_true", help="for programs")
    shell = actions.add_parser("shell", help="log in, or run a command", epilog=examples(_SHELL_EXAMPLES))
    shell.add_argument("words", nargs="*", metavar="WORD", help="command to run there")
    cut = actions.add_parser(
        "power-cut", help="cut the power: what is not on the disk is lost", epilog=examples({"hil board power-cut": ""})
    )
    down = actions.add_parser(
        "down",
        help="shut the board down",
        epilog=examples({"hil board down": "", "hil board down --discard": "and forget its disk"}),
    )
    down.add_argument("--discard", action="store_true", help="remove the board's disk")
    for action in (up, status, shell, cut, down, _add_measure(actions)):
        add_folders(action)


def _add_measure(actions: Any) -> Any:
    measure = actions.add_parser(
        "measure",
        help="measure a board with a deployed service: engines, memory, start",
        epilog=examples(_MEASURE_EXAMPLES, _MEASURE_NOTE),
    )
    measure.add_argument("target", nargs="?", metavar="TARGET", help='the board as ssh takes it, or "virtual"')
    measure.add_argument(
        "--row", type=existing_file, metavar="FILE", help="take figures that somebody sent (default: none)"
    )
    measure.add_argument(
        "--rounds", type=integer(1, 1000), default=5, metavar="N", help="frames of each kind through each engine"
    )
    measure.add_argument(
        "--frames", type=integer(1, 1000), default=10, metavar="N", help="frames through the running service"
    )
    measure.add_argument(
        "--timeout",
        type=number_above(0.0),
        default=3600.0,
        metavar="S",
        help="wait so many seconds for the engines, for the start, and for each frame",
    )
    measure.add_argument(
        "--note", default="", metavar="TEXT", help="what else is to be known of the board (default: nothing)"
    )
    measure.add_argument("--json", type=output_file, metavar="FILE", help="write the figures (default: not written)")
    measure.add_argument(
        "--write",
        type=existing_folder,
        metavar="DOCS",
        help="put them into DOCS/boards.json and DOCS/boards.md (default: print tables only)",
    )
    return measure


def clock_time(text: str) -> str:
    """Check a time of the board's clock. Raises argparse.ArgumentTypeError."""
    try:
        datetime.strptime(text, _CLOCK_FORMAT)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a time as 1970-01-01T00:00:00, got {text!r}") from None
    return text


def add_folders(command: Any) -> None:
    """Add the options that say which virtual board is meant."""
    command.add_argument(
        "--state",
        type=output_folder,
        metavar="DIR",
        help=f"folder of the virtual board (default: ${STATE_VARIABLE}, or ~/.local/state/rubblemap/board)",
    )
    command.add_argument(
        "--cache",
        type=output_folder,
        metavar="DIR",
        help=f"folder of images, packages and wheels (default: ${CACHE_VARIABLE}, or ~/.cache/rubblemap)",
    )


def chosen_board(arguments: argparse.Namespace) -> Board:
    """The board that the options of add_folders mean."""
    state, cache = (path.absolute() if path else None for path in (arguments.state, arguments.cache))
    return Board(state or default_state(), cache or default_cache())


def run_board(arguments: argparse.Namespace) -> int:
    """Carry out an action of `hil board`; returns the exit code."""
    if arguments.action == "measure":
        return _measure(arguments)
    from hil.board.machine import Machine

    machine = Machine(chosen_board(arguments))
    actions = {"up": _up, "status": _status, "shell": _shell, "power-cut": _cut, "down": _down}
    return actions[arguments.action](machine, arguments)


def _up(machine: Any, arguments: argparse.Namespace) -> int:
    from hil.board.machine import Hardware
    from hil.board.progress import Progress

    if arguments.fresh:
        machine.discard_disk()
    hardware = Hardware(
        arguments.cpu,
        arguments.cpus,
        arguments.memory,
        arguments.append,
        arguments.clock or "",
        not arguments.no_network,
    )
    seconds = machine.power_on(hardware, arguments.mirror, Progress(), arguments.timeout)
    if not hardware.network:
        print(f"the board is on, without a network; its console: {machine.board.serial_log}")
        return 0
    print(f"the board is on, ssh answered after {seconds:.0f} s: `hil board shell`, or")
    print(f"  ssh -F {machine.board.ssh_config} board")
    return 0


def _status(machine: Any, arguments: argparse.Namespace) -> int:
    status = machine.status()
    if arguments.json:
        print(json.dumps(status, indent=2))
        return 0
    told = {
        "running": "The board is on and answers.",
        "starting": "The board is on, but ssh does not answer (yet).",
        "off": "The board is off: `hil board up`.",
    }
    print(told[status["state"]])
    if status["state"] != "off":
        hardware = status["hardware"]
        print(
            f"On for {status['on_for_s']:.0f} s: {hardware['cpus']} x {hardware['cpu']}, {hardware['memory_mib']} MiB."
        )
        print(f"Log in: `hil board shell`, or ssh -F {machine.board.ssh_config} board")
    print(f"Image: {status['image']} ({status['cache_folder']}).")
    disk = f"{status['disk_used_mib']} MiB in use" if status["disk"] else "none yet"
    print(f"Disk: {disk}, cache mode {status['disk_cache_mode']} ({status['state_folder']}).")
    return 0


def _shell(machine: Any, arguments: argparse.Namespace) -> int:
    from hil.board.folders import BoardError

    if not machine.is_on():
        raise BoardError(f"{machine.board.state}: the board is off: `hil board up`")
    sys.stdout.flush()
    command = ["ssh", "-F", str(machine.board.ssh_config), "board", *arguments.words]
    os.execvp(command[0], command)


def _cut(machine: Any, arguments: argparse.Namespace) -> int:
    machine.cut_power()
    print("power cut; `hil board up` powers it on again")
    return 0


def _down(machine: Any, arguments: argparse.Namespace) -> int:
    from hil.board.folders import BoardError

    if machine.is_on():
        clean = machine.power_off()
        print("shut down" if clean else "it did not shut down in time: ended")
    elif not arguments.discard:
        raise BoardError(f"{machine.board.state}: the board is off")
    if arguments.discard:
        disk: Path = machine.board.disk
        machine.discard_disk()
        print(f"{disk}: removed")
    return 0


def _measure(arguments: argparse.Namespace) -> int:
    from flight.files import write_whole
    from hil.board.boards_page import check_page, check_row, format_table, read_row, write_row
    from hil.board.folders import BoardError
    from hil.board.measure import Extent, measure_board
    from hil.board.progress import Progress
    from hil.deploy.commands import command_to
    from hil.deploy.connection import Link

    if (arguments.target is None) == (arguments.row is None):
        raise BoardError("expected TARGET or --row FILE, one of them")
    if arguments.write is not None:
        check_page(arguments.write)
    if arguments.row is not None:
        row = read_row(arguments.row)
    else:
        extent = Extent(arguments.rounds, arguments.frames, arguments.timeout, arguments.note)
        with Link(command_to(arguments.target, chosen_board(arguments))) as link:
            row = measure_board(link, extent, Progress())
        check_row(row)
    print(format_table([row]))
    if arguments.json is not None:
        write_whole(arguments.json, (json.dumps(row, indent=1) + "\n").encode())
    if arguments.write is not None:
        write_row(arguments.write, row)
    return 0
