"""`hil bridge`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from typing import Any

from flight.command_line import CommandParser
from flight.files import write_whole
from flight.icd.catalogue import COMMANDS
from flight.option_types import integer, output_file
from hil.bridge.addresses import telecommand_address, telemetry_address
from hil.bridge.apids import DEFAULT_APID, MOST_APID
from hil.live_options import add_keys, add_sockets

_EXAMPLES = """examples:
  hil bridge                                  TCP: telemetry at 127.0.0.1:10015, telecommands at 127.0.0.1:10025
  hil bridge --tm tcp://127.0.0.1:10010 --tc tcp://127.0.0.1:10010
      both over one connection
  hil bridge --tm udp://192.168.1.20:10015 --tc udp://127.0.0.1:10025
      a datagram for each packet
  hil bridge --allow no_op get_status self_test
      no other commands
  hil bridge --xtce rubblemap.xml             the packets' description for ground systems, and end

docs/ground_systems.md has the packets, and an instance of Yamcs.
"""


def add_bridge(commands: Any) -> None:
    """Add `bridge` to the commands of `hil`."""
    bridge: CommandParser = commands.add_parser(
        "bridge", help="CCSDS packets for ground systems, and telecommands from them", epilog=_EXAMPLES
    )
    bridge.set_defaults(extra="bridge")
    bridge.add_argument(
        "--tm",
        nargs="+",
        type=telemetry_address,
        default=[telemetry_address("tcp://127.0.0.1:10015")],
        metavar="ADDRESS",
        help="where telemetry goes: tcp://HOST:PORT to listen at, on loopback; udp://HOST:PORT to send to",
    )
    bridge.add_argument(
        "--tc",
        nargs="+",
        type=telecommand_address,
        default=[telecommand_address("tcp://127.0.0.1:10025")],
        metavar="ADDRESS",
        help="where to listen for telecommands, on loopback: tcp://HOST:PORT or udp://HOST:PORT",
    )
    bridge.add_argument(
        "--apid",
        type=integer(1, MOST_APID),
        default=DEFAULT_APID,
        metavar="N",
        help="application process identifier of the bridge; those of the service follow",
    )
    leave = bridge.add_mutually_exclusive_group()
    leave.add_argument(
        "--allow",
        nargs="+",
        choices=list(COMMANDS),
        metavar="COMMAND",
        help="accept these commands for the service only (default: all of the ICD)",
    )
    leave.add_argument("--read-only", action="store_true", help="accept no commands for the service")
    bridge.add_argument(
        "--source-ids",
        nargs="+",
        type=integer(0, 65535),
        metavar="N",
        help="accept telecommands with these source identifiers only (default: any)",
    )
    bridge.add_argument(
        "--xtce",
        type=output_file,
        metavar="FILE",
        help="write the description of the packets in XTCE there, and end (default: none is written)",
    )
    _add_service(bridge)


def _add_service(bridge: CommandParser) -> None:
    """Add the options of the connection with the service."""
    add_sockets(bridge, ("products", "telemetry", "commands"))
    add_keys(bridge, "consumer and commander")


def run_bridge(arguments: argparse.Namespace) -> int:
    """Run `hil bridge`; returns the exit code."""
    if arguments.xtce is not None:
        from hil.bridge.xtce import make_xtce

        arguments.xtce.parent.mkdir(parents=True, exist_ok=True)
        write_whole(arguments.xtce, make_xtce(arguments.apid))
        return 0
    from hil.bridge.runner import BridgeOptions, serve

    allowed = () if arguments.read_only else tuple(arguments.allow or COMMANDS)
    options = BridgeOptions(
        products=arguments.products,
        telemetry=arguments.telemetry,
        commands=arguments.commands,
        keys=arguments.keys,
        apid=arguments.apid,
        allowed=allowed,
        source_ids=None if arguments.source_ids is None else frozenset(arguments.source_ids),
        tm=tuple(arguments.tm),
        tc=tuple(arguments.tc),
    )
    with contextlib.suppress(KeyboardInterrupt):  # the only way to end
        asyncio.run(serve(options))
    return 0
