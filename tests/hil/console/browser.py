"""A headless Chromium for tests, driven by its own protocol (CDP) over a WebSocket."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import WebSocketClientConnection, websocket_connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_LARGEST_MESSAGE = 64 << 20


class Browser:
    """One page of a browser. For one thread.

    errors: what the page's scripts threw, or reported as errors, so far.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: WebSocketClientConnection) -> None:
        self._loop = loop
        self._connection = connection
        self._numbers = itertools.count(1)
        self.errors: list[str] = []
        self.call("Runtime.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; its result."""
        return self._loop.run_until_complete(asyncio.wait_for(self._call(method, parameters), 30))

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        await self._connection.write_message(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = await self._connection.read_message()
            assert message is not None, "the browser has gone"
            answer = json.loads(message)
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(answer["params"]["exceptionDetails"]))
            if answer.get("method") == "Runtime.consoleAPICalled" and answer["params"]["type"] == "error":
                self.errors.append(json.dumps(answer["params"]["args"]))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, address: str) -> None:
        """Go to an address, and wait until the page is there."""
        self.call("Page.navigate", url=address)
        origin = address.partition("/#")[0]
        self.wait_for(f"document.readyState === 'complete' && location.origin === {json.dumps(origin)}")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """The text of the first element that a selector finds."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''"))

    def wait_for(self, expression: str, timeout_s: float = 40.0) -> Any:
        """Wait until a JavaScript expression is true; its value."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            value = self.evaluate(expression)
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"not reached in {timeout_s} s: {expression}; body: {self.text('body')[:2000]}")

    def wait_for_text(self, selector: str, part: str, timeout_s: float = 40.0) -> None:
        """Wait until an element's text has a part."""
        self.wait_for(
            f"(document.querySelector({json.dumps(selector)})?.textContent ?? '').includes({json.dumps(part)})",
            timeout_s,
        )

    def press(self, *keys: str) -> None:
        """Press keys one after the other: characters, or Enter, Tab, Escape."""
        codes = {"Enter": 13, "Tab": 9, "Escape": 27}
        for key in keys:
            more: dict[str, Any] = {"text": "\r" if key == "Enter" else key} if key not in ("Tab", "Escape") else {}
            if key in codes:
                more["windowsVirtualKeyCode"] = codes[key]
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **more)
            self.call(
                "Input.dispatchKeyEvent", type="keyUp", key=key, **({k: v for k, v in more.items() if k != "text"})
            )

    def click(self, selector: str) -> None:
        """Click with the mouse in the middle of an element."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        place = self.evaluate(f"[{box}.x + {box}.width / 2, {box}.y + {box}.height / 2]")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def save_screenshot(self, path: Path) -> None:
        """Write what is seen as a PNG file."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def running_browser(folder: Path, size: tuple[int, int] = (1280, 1050)) -> Iterator[Browser]:
    """A browser with an empty page; skips the test where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this computer")
    process = subprocess.Popen(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-port=0",
            "--no-first-run",
            f"--user-data-dir={folder}",
            f"--window-size={size[0]},{size[1]}",
            "--disable-extensions",
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    loop = asyncio.new_event_loop()
    try:
        port = _wait_for_port(folder / "DevToolsActivePort", process)
        connection = loop.run_until_complete(_connect(port))
        yield Browser(loop, connection)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        loop.close()


def _wait_for_port(file: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the browser ended"
        if file.is_file() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.1)
    raise AssertionError("the browser did not start")


async def _connect(port: int) -> WebSocketClientConnection:
    while True:
        response = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/json/list")
        pages = [target for target in json.loads(response.body) if target["type"] == "page"]
        if pages:
            return await websocket_connect(pages[0]["webSocketDebuggerUrl"], max_message_size=_LARGEST_MESSAGE)
        await asyncio.sleep(0.1)
