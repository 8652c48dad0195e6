"""The console's web server: one page for operators, on the loopback interface.

Who may use it: whoever opens the address that the command prints. It has a key behind its #, which a browser sends to
nobody; the page keeps it for its own origin, and it must be the first thing said on the WebSocket, over which
everything goes. A page of another origin in the same browser does not have it. Beyond that requests must name this
server as their host (DNS rebinding), the WebSocket's origin must be this page, and no other page may frame it.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from flight.client.bit_depth import FrameImage
from flight.icd.catalogue import COMMANDS, STATES
from flight.schema import load_schema
from hil.console.commanding import CommandDesk
from hil.console.feed import ConsoleFeed, Maps
from hil.console.map_picture import draw_maps

ADDRESS = "127.0.0.1"
# Without housekeeping, which comes every second, for this long, what is shown is marked as stale.
STALE_S = 3.0
_TICK_S = 0.25
_LARGEST_REQUEST = 65536
# A browser that does not answer so often is gone.
_PING_S = 20.0
# Codes from 4000 on are an application's own.
WRONG_KEY = 4403
_LARGEST_EXACT = 2**53
_PAGE = Path(__file__).parent / "page"
_FILES = {"": ("index.html", "text/html"), "console.css": ("console.css", "text/css")}
_FILES |= {name: (name, "text/javascript") for name in ("console.js", "plots.js", "controls.js")}
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' {socket}; "
_POLICY += "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

FindFrame = Callable[[int], FrameImage | None]


class Console:
    """What the handlers share.

    Args:
        feed: of what was received.
        desk: sends commands; None to show only.
        find_frame: a frame by its frame_id, where it is known otherwise than by the feed.
    """

    def __init__(self, feed: ConsoleFeed, desk: CommandDesk | None, find_frame: FindFrame) -> None:
        self.desk = desk
        self.key = secrets.token_urlsafe(24)
        self.hosts: tuple[str, ...] = ()
        self._feed = feed
        self._find_frame = find_frame
        self._pages: set[_Live] = set()
        self._drawing = ThreadPoolExecutor(1, thread_name_prefix="rubblemap-console")
        self._shown = (0, "")  # number of the newest maps, and what the page gets of them

    def listen_at(self, port: int) -> None:
        """Take a port for ours: the requests that name it are answered."""
        self.hosts = (f"{ADDRESS}:{port}", f"localhost:{port}")

    def holds_key(self, text: Any) -> bool:
        """Whether something is the key."""
        return isinstance(text, str) and hmac.compare_digest(text.encode("utf-8", "replace"), self.key.encode("ascii"))

    def add_page(self, page: _Live) -> None:
        """Take in a page that was opened, and tell it what does not change."""
        parameters = load_schema("flight.schemas", "configuration")["properties"]["parameters"]["properties"]
        page.tell(
            {
                "type": "hello",
                "states": list(STATES),
                "stale_s": STALE_S,
                "commands": {
                    name: {"effect": definition.effect, "arguments": [vars(a) for a in definition.arguments]}
                    for name, definition in COMMANDS.items()
                    if self.desk is not None
                },
                "parameters": parameters,
            }
        )
        self._pages.add(page)

    def drop_page(self, page: _Live) -> None:
        """A page was closed."""
        self._pages.discard(page)

    async def run(self) -> None:
        """Keep the pages up to date, until cancelled."""
        while True:
            if self._pages:
                await self._draw()
                for page in list(self._pages):
                    page.update(self._feed, self._shown)
            await asyncio.sleep(_TICK_S)

    async def _draw(self) -> None:
        """Draw the newest maps, if there are newer ones."""
        maps = self._feed.newest_maps()
        if maps is None or maps.number == self._shown[0]:
            return
        drawn = await asyncio.get_running_loop().run_in_executor(self._drawing, self.draw, maps)
        self._shown = (maps.number, drawn)

    def draw(self, maps: Maps) -> str:
        """Draw maps: the message to the page, which says so if they cannot be drawn."""
        try:
            if maps.frame is None:
                maps.frame = self._find_frame(maps.frame_id)
            shown = draw_maps(maps)
        except Exception as error:
            # Whatever a product holds that nobody thought of: the rest of the page goes on.
            shown = {"problem": f"{type(error).__name__}: {error}"}
        return encode({"type": "map", **shown})

    def close(self) -> None:
        """End the threads."""
        self._drawing.shutdown(cancel_futures=True)


def encode(message: dict[str, Any]) -> str:
    """A message to the page as JSON; numbers that JavaScript or JSON cannot hold become texts or null."""
    return json.dumps(_plain(message), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and abs(value) > _LARGEST_EXACT:
        return str(value)
    return value


def _is_plain(host: str) -> bool:
    """Whether a header's text may stand in another header."""
    return all(character.isalnum() or character in ".:-[]" for character in host)


class _Guarded(RequestHandler):
    """Answers requests that name this server as their host."""

    console: Console

    def initialize(self, console: Console) -> None:
        self.console = console

    def set_default_headers(self) -> None:
        host = self.request.host
        self.set_header("Content-Security-Policy", _POLICY.format(socket=f"ws://{host}" if _is_plain(host) else ""))
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    def prepare(self) -> None:
        if self.request.host not in self.console.hosts:
            raise HTTPError(403, reason="not the name of this server")

    def write_error(self, status_code: int, **keywords: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code}: {self._reason}\n")


class _Files(_Guarded):
    """The page, and what belongs to it; there is nothing secret in it."""

    def get(self, name: str) -> None:
        if name not in _FILES:
            raise HTTPError(404)
        file, kind = _FILES[name]
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.finish((_PAGE / file).read_bytes())


class _Live(_Guarded, WebSocketHandler):
    """The connection of an open page."""

    def initialize(self, console: Console) -> None:
        super().initialize(console)
        self._known = False
        self._number = 0
        self._map_number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._written: asyncio.Future[None] | None = None

    def prepare(self) -> None:
        super().prepare()
        # Stricter than Tornado, which lets requests without an origin pass.
        if self.request.headers.get("Origin") != f"http://{self.request.host}":
            raise HTTPError(403, reason="not from the page of this server")

    def on_close(self) -> None:
        self.console.drop_page(self)

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message to the page."""
        self._send(encode(message))

    def _send(self, text: str) -> None:
        try:
            self._written = self.write_message(text)
            self._written.add_done_callback(lambda done: done.exception())
        except WebSocketClosedError:
            self.console.drop_page(self)

    def update(self, feed: ConsoleFeed, shown: tuple[int, str]) -> None:
        """Tell the page how things are, and what is new since the last time; a page that sleeps gets it later."""
        if self._written is not None and not self._written.done():
            return
        number, drawn = shown
        if drawn and number != self._map_number:
            self._map_number = number
            self._send(drawn)
        events, points = feed.newer(self._number)
        self._number = max([self._number, *(item.number for item in (*events, *points))])
        housekeeping, maps = feed.housekeeping(), feed.newest_maps()
        self.tell(
            {
                "type": "now",
                "age_s": None if housekeeping is None else housekeeping[0],
                "housekeeping": None if housekeeping is None else housekeeping[1],
                "map_age_s": None if maps is None else asyncio.get_running_loop().time() - maps.received,
                "malformed": feed.malformed,
                "events": [{"number": event.number, **event.value} for event in events],
                "points": [point.value for point in points],
            }
        )

    def on_message(self, message: str | bytes) -> None:
        if not self._known:
            self._known = self.console.holds_key(message)
            if self._known:
                self.console.add_page(self)
            else:
                self.close(WRONG_KEY, "wrong key")
            return
        task = asyncio.get_running_loop().create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: str | bytes) -> None:
        """Carry out what the page asks for: a command."""
        try:
            request = json.loads(message)
            ticket, name, arguments = request["ticket"], request["name"], request["arguments"]
        except (ValueError, TypeError, KeyError):
            return  # not of our page
        if self.console.desk is None:
            self.tell({"type": "reply", "ticket": ticket, "error": "this console shows only (--read-only)"})
            return
        self.tell({"type": "reply", "ticket": ticket, **await self.console.desk.send(name, arguments)})


def make_application(console: Console) -> Application:
    """The web application."""
    shared = {"console": console}
    return Application(
        [(r"/live", _Live, shared), (r"/([a-z.]*)", _Files, shared)],
        websocket_max_message_size=_LARGEST_REQUEST,
        websocket_ping_interval=_PING_S,
        log_function=lambda handler: None,
    )
