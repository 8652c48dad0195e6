"""`hil console`: who may use it, what malformed messages do to it, and the page itself in a browser."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from flight.client import FrameSender
from flight.icd.control import encode_message, event_values
from flight.icd.packing import pack_map, unpack_map
from hil.cli import main
from hil.console.commanding import CommandDesk
from hil.console.feed import ConsoleFeed
from hil.console.map_picture import draw_maps
from hil.console.server import WRONG_KEY, Console, encode, make_application
from hil.overlay import PALETTE
from tests.flight.service.scenarios import storage, variant
from tests.flight.service_process import RunningService, running_service
from tests.golden.vectors import VECTORS, product
from tests.hil.console.browser import Browser, running_browser
from tests.tiny_bundle import body_frame


@contextmanager
def running_console(endpoints: dict[str, str], *options: str) -> Iterator[str]:
    """Start `hil console` on a free port; gives the address that it prints."""
    sockets = [
        word for name in ("products", "telemetry", "commands", "frames") for word in (f"--{name}", endpoints[name])
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "hil.cli", "console", "--port", "0", *sockets, *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert re.fullmatch(r"console: http://127\.0\.0\.1:\d+/#\S{32}\n", line)
        yield line.removeprefix("console: ").strip()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.communicate()


def endpoints_of(folder: Path) -> dict[str, str]:
    return {name: f"ipc://{folder}/{name}" for name in ("frames", "products", "telemetry", "commands")}


def get(address: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


async def converse(address: str, headers: dict[str, str], *messages: str) -> tuple[list[dict[str, Any]], int | None]:
    """Open the WebSocket, send messages, and read until it is closed or has answered; also the code of the close."""
    connection = await websocket_connect(HTTPRequest(address, headers=headers))
    for message in messages:
        await connection.write_message(message)
    heard: list[dict[str, Any]] = []
    while True:
        message = await asyncio.wait_for(connection.read_message(), 10)
        if message is None:
            return heard, connection.close_code
        heard.append(json.loads(message))
        if heard[-1]["type"] == ("reply" if len(messages) > 1 else "hello"):
            connection.close()
            return heard, None


def test_only_its_own_page_with_the_key_gets_anything(tmp_path: Path) -> None:
    with running_console(endpoints_of(tmp_path)) as address:
        place, _, key = address.partition("/#")
        live, command = place.replace("http", "ws") + "/live", json.dumps({"ticket": 1, "name": "x", "arguments": {}})
        status, headers, body = get(f"{place}/")
        assert status == 200
        assert key.encode() not in body
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert "Access-Control-Allow-Origin" not in headers
        for name in ("console.js", "plots.js", "controls.js", "console.css"):
            assert get(f"{place}/{name}")[0] == 200
        assert get(f"{place}/..%2fserver.py")[0] == 404
        # A name that leads here (DNS rebinding).
        assert get(f"{place}/", Host="attacker.example")[0] == 403
        assert get(f"{place}/console.js", Host="127.0.0.1")[0] == 403
        # Pages of other origins, a local one among them, with the key and without.
        for origin in ("http://attacker.example", "http://127.0.0.1:8000", "null", place.replace("http", "https")):
            with pytest.raises(HTTPClientError, match="403"):
                asyncio.run(converse(live, {"Origin": origin}, key, command))
        with pytest.raises(HTTPClientError, match="403"):
            asyncio.run(converse(live, {"Origin": "http://attacker.example", "Host": "attacker.example"}, key))
        for wrong in ("", "x" * 32, key[:-1], command):
            assert asyncio.run(converse(live, {"Origin": place}, wrong)) == ([], WRONG_KEY)
        heard, _ = asyncio.run(converse(live, {"Origin": place}, key, command))
        assert heard[0]["type"] == "hello"
        assert heard[-1] == {"type": "reply", "ticket": 1, "error": "command: expected one of the ICD's, got 'x'"}
        for nonsense in ("[]", "{", "null", json.dumps({"ticket": 1})):
            heard, _ = asyncio.run(converse(live, {"Origin": place}, key, nonsense, command))
            assert heard[-1]["ticket"] == 1
        port = int(place.rpartition(":")[2])
        with socket.socket() as other:
            assert other.connect_ex(("127.0.0.2", port)) != 0
    with running_console(endpoints_of(tmp_path), "--read-only") as address:
        place, _, key = address.partition("/#")
        live = place.replace("http", "ws") + "/live"
        heard, _ = asyncio.run(converse(live, {"Origin": place}, key, command))
        assert heard[0]["commands"] == {}
        assert heard[-1]["error"] == "this console shows only (--read-only)"


def test_a_busy_port_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        endpoints = [word for name, at in endpoints_of(tmp_path).items() for word in (f"--{name}", at)]
        assert main(["console", "--port", str(port), *endpoints]) == 2
    said = capsys.readouterr().err
    assert said == f"hil console: --port: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def housekeeping(**changes: Any) -> list[bytes]:
    topic, body = VECTORS["housekeeping"]()
    return [topic, pack_map({**unpack_map(body, 65536, "housekeeping"), **changes})]


HOSTILE = "<img src=x onerror=alert(1)>\u202e\n</script>"


def hostile_messages() -> Iterator[tuple[str, list[bytes]]]:
    """What breaks the contract, and what keeps it and is strange all the same."""
    random = np.random.default_rng(0)
    for kind, names in {
        "frame": ("frame",),
        "product": ("map_navigation", "map_hazard"),
        "telemetry": ("event", "housekeeping"),
    }.items():
        for name in names:
            parts = VECTORS[name]()
            for _ in range(40):
                changed = [bytearray(part) for part in parts]
                part = changed[random.integers(len(changed))]
                for place in random.integers(len(part), size=3):
                    part[place] ^= int(random.integers(1, 256))
                yield kind, [bytes(part) for part in changed]
            yield kind, parts[:-1]
            yield kind, [*parts, b""]
            yield kind, []
    yield "telemetry", [b"event", encode_message("event", event_values("worker_died", HOSTILE, {}, 2**64 - 1, 2**63))]
    yield (
        "telemetry",
        housekeeping(parameters={HOSTILE: math.inf, "passes": [], "mode": {"a": None}, "gamma": 2**64 - 1}),
    )
    yield "telemetry", housekeeping(self_test={"passed": HOSTILE}, cpu_temperature_c=None, worker_pid=None)
    classes = [{"index": i, "name": HOSTILE[:28], "role": "safe"} for i in range(4)]
    yield "product", product("map.navigation", source=HOSTILE[:30], classes=classes, map_to_sensor=[0.0] * 6)
    yield "product", product("map.navigation", map_to_sensor=[1e-300, 0.0, 1e9, 0.0, 1e-300, -1e9], frame_id=2**64 - 1)


def test_malformed_messages_do_not_break_it() -> None:
    feed = ConsoleFeed()
    for kind, parts in hostile_messages():
        feed.add(kind, parts)
        console = Console(feed, None, lambda frame_id: None)
        maps = feed.newest_maps()
        if maps is not None:
            json.loads(console.draw(maps), parse_constant=lambda name: pytest.fail(name))
        known = feed.housekeeping()
        json.loads(encode({"housekeeping": known}), parse_constant=lambda name: pytest.fail(name))
        console.close()
    assert feed.malformed > 200
    events, points = feed.newer(0)
    assert events[-1].value["message"] == HOSTILE
    assert {"state": "ready"}.items() <= points[-3].value.items()


def test_fix_and_circles_are_where_they_belong_on_the_map() -> None:
    feed = ConsoleFeed()
    parts = VECTORS["frame"]()
    feed.add("frame", parts)
    classes = [
        {"index": i, "name": name, "role": role}
        for i, (name, role) in enumerate(
            (("sky", "background"), ("ground", "safe"), ("rock", "hazard"), ("dusk", "terminator"))
        )
    ]
    affine = [3.0, 0.0, 20.5, 0.0, 3.0, 40.5]
    for topic in ("map.navigation", "map.hazard"):
        feed.add("product", product(topic, classes=classes, flags=[], status="valid", map_to_sensor=affine))
    maps = feed.newest_maps()
    assert maps is not None
    assert maps.frame is not None
    assert maps.frame.bit_depth == 12
    shown = draw_maps(maps)
    fix = shown["fix"]
    assert fix["x"] == pytest.approx(3.0 * fix["u"] + 20.5)
    assert fix["y"] == pytest.approx(3.0 * fix["v"] + 40.5)
    assert fix["radius"] == pytest.approx(fix["diameter_px"] / 6.0)
    assert set(shown["pictures"]) == {"frame", "classes", "entropy", "hazard"}
    assert [tuple(entry["color"]) for entry in shown["legend"][:4]] == list(PALETTE[:4])


@contextmanager
def console_in_this_process(feed: ConsoleFeed) -> Iterator[str]:
    """A console without sockets of the service: gives its address."""
    from tornado.httpserver import HTTPServer
    from tornado.netutil import bind_sockets

    console = Console(feed, None, lambda frame_id: None)
    sockets = bind_sockets(0, "127.0.0.1")
    port = sockets[0].getsockname()[1]
    console.listen_at(port)
    loop = asyncio.new_event_loop()

    def serve() -> None:
        asyncio.set_event_loop(loop)

        async def start() -> None:
            HTTPServer(make_application(console)).add_sockets(sockets)
            await console.run()

        task = loop.create_task(start())
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}/#{console.key}"
    finally:
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
        thread.join(timeout=10)
        console.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def test_the_page_shows_strange_texts_as_texts_and_goes_on(browser: Browser) -> None:
    feed = ConsoleFeed()
    for kind, parts in hostile_messages():
        feed.add(kind, parts)
    with console_in_this_process(feed) as address:
        browser.open(address)
        browser.wait_for_text("#events", "worker_died: <img src=x")
        assert browser.evaluate("document.querySelectorAll('img').length") == 0
        browser.wait_for_text("#malformed", "malformed messages left out")
        # An ordinary one afterwards is shown as ever.
        feed.add("telemetry", housekeeping(state="degraded"))
        browser.wait_for("document.getElementById('state').textContent === 'degraded'")
        feed.add("product", product("map.navigation", source="later"))
        browser.wait_for_text("#map-title", "later")
        browser.wait_for_text("#staleness", "no housekeeping for")
    assert browser.errors == []


def test_an_operator_at_work(browser: Browser, tiny_bundle: Path, tmp_path: Path) -> None:
    """A flyby is streamed, a parameter set, a bundle activated, the service killed and started again."""
    with running_service(tmp_path, tiny_bundle, storage(tmp_path)) as service:
        variant(tiny_bundle, tmp_path / "uplink" / "next", "2.0")
        relay = f"ipc://{tmp_path}/relay"
        with running_console(service.endpoints, "--relay-frames", relay) as address:
            browser.open(address)
            browser.wait_for("document.getElementById('state').textContent === 'ready'")
            assert browser.evaluate("location.href").endswith("/")  # the key is not left in sight
            with FrameSender(relay, "navcam", epoch=1) as camera:
                for number in range(6):
                    camera.send(body_frame(120, 160, 20 + 5 * number), centered=False)
                    time.sleep(0.3)
            browser.wait_for_text("#map-title", "navcam, epoch 1, frame 5")
            browser.wait_for_text("#map-facts", "± ")
            look_at_the_map(browser)
            set_a_parameter(browser, service)
            change_the_bundle(browser)
            service.process.kill()
            service.process.wait()
            browser.wait_for_text("#staleness", "no housekeeping for")
            assert browser.evaluate("document.body.classList.contains('stale')")
            assert browser.text("#state") == "ready, when last heard"
            assert browser.evaluate("[...document.querySelectorAll('#commands button')].every(b => b.disabled)")
            with running_service(tmp_path, tiny_bundle, storage(tmp_path)) as again:
                browser.wait_for("document.getElementById('state').textContent === 'ready'")
                browser.wait_for("!document.getElementById('staleness').textContent")
                assert again.command("get_parameters")["gamma"] == 2.5
        browser.wait_for_text("#staleness", "no connection to the console")
    assert browser.errors == []


def pixels_of_the_map(browser: Browser) -> Any:
    return browser.evaluate("document.getElementById('map').toDataURL()")


def look_at_the_map(browser: Browser) -> None:
    """Overlays, opacity, circles and fix by the keyboard: each changes the picture."""
    seen = [pixels_of_the_map(browser)]
    for key in ("2", "]", "3", "x", "0", "c", "1"):
        browser.press(key)
        seen.append(pixels_of_the_map(browser))
    assert sum(before != after for before, after in itertools.pairwise(seen)) >= 5
    browser.press("x", "c", "?")
    assert browser.evaluate("document.getElementById('help').open")
    browser.press("Escape")
    browser.wait_for("!document.getElementById('help').open")
    assert "fix" in browser.text("#map-facts")
    assert "± " in browser.text("#map-facts")


def set_a_parameter(browser: Browser, service: RunningService) -> None:
    """Without confirmation nothing is sent; what the service rejects is told."""
    field = "document.getElementById('parameter-gamma')"
    browser.evaluate(f"{field}.scrollIntoView(), {field}.focus(), {field}.select()")
    browser.press(*"2.5", "Enter")
    browser.wait_for("document.getElementById('confirm').open")
    assert browser.text("#confirm-command") == 'set_parameter name="gamma" value=2.5'
    browser.press("Escape")
    browser.wait_for_text("#answer", "set_parameter: not sent")
    assert service.command("get_parameters")["gamma"] == 3.0
    browser.evaluate(f"{field}.focus(), {field}.select()")
    browser.press(*"2.5", "Enter")
    browser.wait_for("document.getElementById('confirm').open")
    browser.click("#confirm-send")
    browser.wait_for_text("#answer", "set_parameter: done")
    assert service.command("get_parameters")["gamma"] == 2.5
    browser.wait_for_text("#events", "parameter_changed: gamma = 2.5")
    browser.evaluate(f"{field}.focus(), {field}.select()")
    browser.press(*"99", "Enter")
    browser.wait_for("document.getElementById('confirm').open")
    browser.click("#confirm-send")
    browser.wait_for_text("#answer", "invalid_argument")
    assert browser.evaluate("document.getElementById('answer').classList.contains('failed')")


def change_the_bundle(browser: Browser) -> None:
    """Load, validate, activate: each step is open once the one before has ended well."""
    assert browser.evaluate("document.getElementById('bundle-validate').disabled")
    browser.evaluate("document.getElementById('bundle-path').value = 'next'")
    for step, result in (("load", "load_bundle"), ("validate", "validate_bundle"), ("activate", "activate_bundle")):
        browser.click(f"#bundle-{step}")
        browser.wait_for("document.getElementById('confirm').open")
        browser.click("#confirm-send")
        browser.wait_for_text("#answer", f"{result}: done", timeout_s=60)
    browser.wait_for_text("#summary", "tiny 2.0")
    assert browser.evaluate("document.getElementById('bundle-validate').disabled")


def test_the_page_is_in_the_package() -> None:
    root = Path(__file__).parents[3]
    data = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    packed = {path for pattern in data["hil"] for path in (root / "hil").glob(pattern)}
    page = set((root / "hil" / "console" / "page").iterdir())
    assert len(page) == 5
    assert page <= packed


def test_what_is_wrong_with_keys_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    with pytest.raises(ValueError, match=r"client\.key"):
        CommandDesk("tcp://127.0.0.1:5604", tmp_path / "keys")


def test_who_ends_the_console_does_not_wait_for_replies(tmp_path: Path) -> None:
    desk = CommandDesk(f"ipc://{tmp_path}/nobody", None)

    async def send_and_close() -> dict[str, Any]:
        reply = asyncio.create_task(desk.send("validate_bundle", {}))
        await asyncio.sleep(0.3)
        desk.close()
        return await asyncio.wait_for(reply, 10)

    assert asyncio.run(send_and_close()) == {"error": "Commander: closed"}
