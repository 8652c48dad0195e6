"""`hil deploy`."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from flight.command_line import examples
from flight.option_types import existing_file, existing_folder, number_above
from hil.board.commands import add_folders, chosen_board

if TYPE_CHECKING:
    from hil.board.folders import Board
    from hil.deploy.connection import Link

VIRTUAL = "virtual"
_EXAMPLES = {
    "hil deploy pi@raspberrypi.local": "the shipped bundle",
    "hil deploy virtual --bundle models/unet_s": "the board of `hil board up`",
    "hil deploy pi@raspberrypi.local --config flight.toml --keys keys": "for clients beyond the board",
    "hil deploy pi@raspberrypi.local --list": "what is installed there",
    "hil deploy pi@raspberrypi.local --rollback": "back to the release before",
}
_NOTE = """The board needs ssh, Python 3.11 or newer, systemd, a 64-bit system, and root or sudo without a password; no
compiler and no internet."""


def add_deploy(commands: Any) -> None:
    """Add `deploy` to the commands of `hil`."""
    deploy = commands.add_parser(
        "deploy", help="install the service on a board over ssh", epilog=examples(_EXAMPLES, _NOTE)
    )
    deploy.add_argument("target", metavar="TARGET", help='the board as ssh takes it, or "virtual"')
    deploy.add_argument(
        "--bundle", type=existing_folder, metavar="DIR", help="the model bundle (default: the shipped one)"
    )
    deploy.add_argument(
        "--config",
        type=existing_file,
        metavar="FILE",
        help="configuration of the service (default: the board's own, or else one with storage and its processors)",
    )
    deploy.add_argument(
        "--keys",
        type=existing_folder,
        metavar="DIR",
        help="keys made by `flight keys service` (default: the board's own, if it has some)",
    )
    deploy.add_argument(
        "--start-timeout",
        type=number_above(0.0),
        metavar="S",
        help="seconds until it must be ready (default: 180, more on a slow board)",
    )
    deploy.add_argument(
        "--health-timeout",
        type=number_above(0.0),
        metavar="S",
        help="seconds for the first map (default: 120, more on a slow board)",
    )
    instead = deploy.add_mutually_exclusive_group()
    instead.add_argument("--list", action="store_true", help="only say what is installed")
    instead.add_argument("--dry-run", action="store_true", help="only look at the board, and say what would be done")
    instead.add_argument("--rollback", action="store_true", help="go back to the release before the present one")
    instead.add_argument("--uninstall", action="store_true", help="stop and remove the service; its state is kept")
    deploy.add_argument("--json", action="store_true", help="write the result for programs")
    add_folders(deploy)


def command_to(target: str, board: Board) -> list[str]:
    """The command line that runs something on a board.

    Args:
        target: as ssh takes it, or VIRTUAL.
        board: the virtual board that is meant then.

    Raises:
        BoardError: the virtual board is off.
        DeployError: see ssh_command.
    """
    from hil.board.folders import BoardError
    from hil.board.machine import Machine
    from hil.deploy.connection import ssh_command

    if target != VIRTUAL:
        return ssh_command(target)
    if not Machine(board).is_on():
        raise BoardError(f"{board.state}: the virtual board is off: `hil board up`")
    return ssh_command("board", ["-F", str(board.ssh_config)])


def run_deploy(arguments: argparse.Namespace) -> int:
    """Carry out `hil deploy`; returns the exit code."""
    from hil.board.progress import Progress
    from hil.demo import SHIPPED_BUNDLE
    from hil.deploy.archive import choose_target
    from hil.deploy.connection import Link
    from hil.deploy.deploy import Wishes, deploy, describe_plan, roll_back

    board = chosen_board(arguments)
    command = command_to(arguments.target, board)
    wishes = Wishes(
        (arguments.bundle or SHIPPED_BUNDLE).resolve(),
        arguments.config.read_text(encoding="utf-8") if arguments.config else None,
        arguments.keys,
        board.cache,
        arguments.start_timeout,
        arguments.health_timeout,
    )
    with Link(command) as link:
        if arguments.list:
            return _list(link, arguments.json)
        if arguments.dry_run:
            probe = link.ask("probe")
            print("\n".join(describe_plan(probe, choose_target(probe), wishes)))
            return 0
        if arguments.uninstall:
            link.ask("begin")
            kept = link.ask("uninstall")["kept"]
            print(f"removed; kept: {', '.join(kept) or 'nothing'}")
            return 0
        result = roll_back(link, wishes, Progress()) if arguments.rollback else deploy(link, wishes, Progress())
    print(json.dumps(result) if arguments.json else f"{arguments.target}: {result['release']} serves")
    return 0


def _list(link: Link, as_json: bool) -> int:
    listed = link.ask("list")
    if as_json:
        print(json.dumps(listed, indent=2))
        return 0
    for release in listed["releases"]:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(release["installed"]))
        mark = "serves" if release["id"] == listed["current"] else ""
        print(f"{release['id']:24} {when}  {release.get('bundle', ''):20} {mark}".rstrip())
    if not listed["releases"]:
        print("nothing is installed")
    return 0
