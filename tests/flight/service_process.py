"""Running the service as a process of its own, with sockets in a folder of the test's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flight.client import Commander, FrameSender, Subscriber, TelemetryListener
from flight.endpoints import reachable

SOCKETS = ("frames", "products", "telemetry", "commands")


@dataclass
class RunningService:
    """A service process. endpoints: by socket name. keys: clients' folders by role, if the service has keys."""

    process: subprocess.Popen[str]
    endpoints: dict[str, str]
    keys: dict[str, Path] = field(default_factory=dict)

    def commander(self, **keywords: Any) -> Commander:
        return Commander(self.endpoints["commands"], keys=self.keys.get("commander"), **keywords)

    def command(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        with self.commander() as commander:
            return commander.send(name, **arguments)

    def wait_for(self, condition: Any, timeout_s: float = 120.0) -> dict[str, Any]:
        """Poll get_status until condition(status) holds."""
        deadline = time.monotonic() + timeout_s
        with self.commander(timeout_s=1.0) as commander:
            while time.monotonic() < deadline:
                assert self.process.poll() is None, "the service ended"
                try:
                    status = commander.send("get_status")
                except TimeoutError:
                    continue
                if condition(status):
                    return status
                time.sleep(0.05)
        raise AssertionError(f"not reached in {timeout_s} s; last status: {status}")

    def camera(self, **keywords: Any) -> FrameSender:
        return FrameSender(self.endpoints["frames"], keys=self.keys.get("camera"), **keywords)

    def subscriber(self, *topics: str, **keywords: Any) -> Subscriber:
        subscriber = Subscriber(self.endpoints["products"], topics, keys=self.keys.get("consumer"), **keywords)
        time.sleep(0.3)  # a subscription takes a moment to reach the publisher
        return subscriber

    def telemetry(self, *topics: str) -> TelemetryListener:
        listener = TelemetryListener(self.endpoints["telemetry"], topics, keys=self.keys.get("consumer"))
        time.sleep(0.3)
        return listener


@contextmanager
def running_service(
    folder: Path,
    bundle: Path,
    settings: str = "",
    ready: str = "ready",
    stderr: int = subprocess.DEVNULL,
    environment: dict[str, str] | None = None,
    endpoints: dict[str, str] | None = None,
    keys: dict[str, Path] | None = None,
) -> Iterator[RunningService]:
    """Start `flight serve`, wait until its state is `ready`, and end it at the end."""
    endpoints = endpoints or {name: f"ipc://{folder}/{name}" for name in SOCKETS}
    lines = [f'{name} = "{endpoint}"' for name, endpoint in endpoints.items()]
    configuration = folder / "flight.toml"
    configuration.write_text("\n".join(["[endpoints]", *lines, settings]))
    process = subprocess.Popen(
        [sys.executable, "-m", "flight.cli", "serve", "--bundle", str(bundle), "--config", str(configuration)],
        stderr=stderr,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    reached = {name: reachable(endpoint) for name, endpoint in endpoints.items()}
    service = RunningService(process, reached, keys or {})
    try:
        service.wait_for(lambda status: status["state"] == ready)
        yield service
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
