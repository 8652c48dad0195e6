"""`hil console`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

from flight.command_line import examples
from flight.option_types import integer
from hil.live_options import add_live_options, make_finder, open_tap

if TYPE_CHECKING:
    from hil.console.feed import ConsoleFeed
    from hil.console.server import Console
    from hil.recording.connections import WireTap

_EXAMPLES = {
    "hil console": "open the address that it prints",
    "hil console --source flyby": "with the frames, where `hil stream` sends the same source",
    "hil console --relay-frames tcp://127.0.0.1:5611": "with the frames of any camera that sends there",
    "hil console --read-only": "without commands",
}


def add_console(commands: Any) -> None:
    """Add `console` to the commands of `hil`."""
    console = commands.add_parser("console", help="a web page for operators", epilog=examples(_EXAMPLES))
    console.set_defaults(extra="console")
    console.add_argument(
        "--port", type=integer(0, 65535), default=9102, metavar="N", help="HTTP port on 127.0.0.1; 0: any"
    )
    console.add_argument("--read-only", action="store_true", help="send no commands")
    add_live_options(console, ("products", "telemetry", "commands", "frames"), "consumer and commander")


def run_console(arguments: argparse.Namespace) -> int:
    """Run `hil console`; returns the exit code."""
    from hil.console.commanding import CommandDesk
    from hil.console.feed import ConsoleFeed
    from hil.console.server import Console

    find_frame = make_finder(arguments)
    feed = ConsoleFeed()
    with contextlib.ExitStack() as opened:
        desk = None
        if not arguments.read_only:
            desk = CommandDesk(arguments.commands, arguments.keys)
            opened.callback(desk.close)
        tap = open_tap(arguments)
        ended = threading.Event()
        thread = threading.Thread(target=_receive, args=(tap, feed, ended), name="rubblemap-console-feed")
        console = Console(feed, desk, find_frame)
        opened.callback(console.close)
        thread.start()
        opened.callback(thread.join)
        opened.callback(ended.set)
        with contextlib.suppress(KeyboardInterrupt):  # the only way to end
            asyncio.run(_serve(console, arguments.port))
    return 0


def _receive(tap: WireTap, feed: ConsoleFeed, ended: threading.Event) -> None:
    try:
        tap.run(feed, ended.is_set)
    finally:
        tap.close()


async def _serve(console: Console, port: int) -> None:
    from tornado.httpserver import HTTPServer
    from tornado.netutil import bind_sockets

    from hil.console.server import ADDRESS, make_application

    try:
        sockets = bind_sockets(port, ADDRESS)
    except OSError as error:
        raise OSError(f"--port: cannot listen on {ADDRESS}:{port}: {error.strerror}") from error
    port = sockets[0].getsockname()[1]
    console.listen_at(port)
    server = HTTPServer(make_application(console))
    server.add_sockets(sockets)
    print(f"console: http://{ADDRESS}:{port}/#{console.key}", flush=True)
    await console.run()
