"""The service that a scenario is run at: one started here, or one that runs already."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import zmq

from flight.bundle import Bundle, BundleError, load_bundle
from flight.client import Commander, CommandFailed, FrameSender, Subscriber, TelemetryListener
from flight.endpoints import make_socket_folder
from flight.icd.limits import DEFAULT_ENDPOINTS, PRODUCT_TOPICS
from flight.keys import ROLES, load_client_keys, make_client_keys, make_service_keys
from hil.runs.link import Link, open_link
from hil.scenarios.scenario import Scenario

SHIPPED_BUNDLE = Path(__file__).parents[1] / "bundle"
_SOCKETS = ("frames", "products", "telemetry", "commands")
_START_TIMEOUT_S, _ANSWER_TIMEOUT_S, _STOP_TIMEOUT_S = 90.0, 5.0, 20.0
# As the systemd unit has it: RestartSec=1.
_RESTART_S = 1.0
_POLL_S = 0.05
_PORTS = {name: int(endpoint.rpartition(":")[2]) for name, endpoint in DEFAULT_ENDPOINTS.items()}
# Of the service's standard error, what is kept.
_LINES_KEPT = 200


class TargetError(RuntimeError):
    """The service cannot be started or reached; the message says what it said last."""


class Target(ABC):
    """A service and how its clients reach it.

    Attributes:
        endpoints: by socket.
        keys: folder of each client role's keys; empty without keys.
        bundle: folder of the bundle that serves; None if that is not on this computer.
        starts: how often the service was started here.
    """

    endpoints: dict[str, str]
    keys: dict[str, Path]
    bundle: Path | None = None
    starts: int = 0

    @abstractmethod
    def describe(self) -> str:
        """In words, for the report."""

    def camera(self, source: str) -> FrameSender:
        return FrameSender(self.endpoints["frames"], source, keys=self.keys.get("camera"))

    def subscriber(self) -> Subscriber:
        topics = [topic for topic in PRODUCT_TOPICS if topic != "map.full"]
        return Subscriber(self.endpoints["products"], topics, newest=False, queue=1000, keys=self.keys.get("consumer"))

    def telemetry(self) -> TelemetryListener:
        return TelemetryListener(self.endpoints["telemetry"], keys=self.keys.get("consumer"))

    def commander(self, timeout_s: float = _ANSWER_TIMEOUT_S) -> Commander:
        return Commander(self.endpoints["commands"], timeout_s, keys=self.keys.get("commander"))

    def open_raw(self, context: zmq.Context[zmq.Socket[bytes]], kind: int, socket: str) -> zmq.Socket[bytes]:
        """A plain socket to the service, for peers that keep to no contract."""
        role = {"frames": "camera", "commands": "commander"}[socket]
        raw = context.socket(kind)
        raw.setsockopt(zmq.LINGER, 0)
        raw.setsockopt(zmq.SNDHWM, 100)
        raw.setsockopt(zmq.SNDTIMEO, 200)
        # Only to a service that is there: what waits for one would count as taken.
        raw.setsockopt(zmq.IMMEDIATE, 1)
        if role in self.keys:
            keys = load_client_keys(self.keys[role])
            raw.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
            raw.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
            raw.setsockopt(zmq.CURVE_SERVERKEY, keys.service)
        raw.connect(self.endpoints[socket])
        return raw

    def status(self, timeout_s: float = _ANSWER_TIMEOUT_S) -> dict[str, Any]:
        """The service's state.

        Raises:
            TimeoutError, CommandFailed: it does not answer.
        """
        with self.commander(timeout_s) as commander:
            return commander.send("get_status")

    def worker_pid(self) -> int:
        """The worker's process.

        Raises:
            TimeoutError, CommandFailed, ProcessLookupError: the service does not answer, or has no worker.
        """
        pid = self.status()["worker_pid"]
        if pid is None:
            raise ProcessLookupError("no worker runs")
        return int(pid)

    def signal_worker(self, number: signal.Signals) -> int:
        """Send a signal to the worker; returns its process.

        Raises:
            TargetError: there is no way into the service's computer.
            OSError: see worker_pid; or it is not ours to send signals to.
        """
        raise TargetError(f"{self.describe()}: expected a way into its computer, got none")

    def kill(self) -> None:
        """Kill the service process; whatever keeps it starts it again. Raises as signal_worker."""
        raise TargetError(f"{self.describe()}: expected a way into its computer, got none")


class RunningTarget(Target):
    """A service that runs already, at its default ports; through an ssh tunnel, say.

    Args:
        host: name or address.
        keys: folder of keys with the roles camera, consumer and commander; None if the service has none.

    Raises:
        TargetError: it does not answer.
    """

    def __init__(self, host: str, keys: Path | None = None) -> None:
        self._host = host
        self.keys = {} if keys is None else dict.fromkeys(("camera", "consumer", "commander"), keys)
        self.endpoints = {name: f"tcp://{host}:{port}" for name, port in _PORTS.items()}
        try:
            self.status()
        except (TimeoutError, CommandFailed) as error:
            raise TargetError(f"--target: expected a service at {host}, got none: {error}") from error

    def describe(self) -> str:
        return f"running service at {self._host}"


class LocalTarget(Target):
    """A service started here, in a folder of its own, and started again when it ends.

    Args:
        bundle: folder of the bundle.
        folder: for configuration, sockets, state and keys.
        scenario: whose target it is.
        link: that it runs behind; None without one.

    Attributes:
        folder: with everything of this service.
        uplink: that load_bundle reads from.
        state: for what survives a restart.
        link: as given.
    """

    def __init__(self, bundle: Path, folder: Path, scenario: Scenario, link: Link | None) -> None:
        self.bundle, self.folder, self.link = bundle, folder, link
        self.uplink, self.state = folder / "uplink", folder / "state"
        self._temporary = folder / "t"
        for made in (self.uplink, self._temporary):
            made.mkdir()
        if link is None:
            self.endpoints = {name: f"ipc://{folder}/{name}" for name in _SOCKETS}
        else:
            self.endpoints = {name: f"tcp://{link.host}:{port}" for name, port in _PORTS.items()}
        self.keys = self._make_keys() if scenario.target.keys or link else {}
        self._configuration = folder / "flight.toml"
        self._configuration.write_text(self._configure(scenario), encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None
        self._said: deque[str] = deque(maxlen=_LINES_KEPT)
        self._ending = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="service-keeper", daemon=True)

    def describe(self) -> str:
        behind = ", behind a link in a network namespace" if self.link else ""
        return f"service on this computer{', with keys' if self.keys else ''}{behind}"

    def start(self) -> None:
        """Start the service, and wait until it is ready.

        Raises:
            TargetError: it ended, or was not ready in time.
        """
        self._launch()
        deadline = time.monotonic() + _START_TIMEOUT_S
        with self.commander(0.5) as commander:
            while time.monotonic() < deadline:
                assert self.process is not None
                if self.process.poll() is not None:
                    raise TargetError(f"the service did not start: {self.last_words()}")
                with contextlib.suppress(TimeoutError, CommandFailed):
                    if commander.send("get_status")["state"] in ("ready", "safe"):
                        break
                time.sleep(_POLL_S)
            else:
                raise TargetError(f"the service was not ready within {_START_TIMEOUT_S:g} s: {self.last_words()}")
        self._keeper.start()

    def stop(self) -> None:
        """End the service, and whatever is left of it."""
        self._ending.set()
        if self._keeper.ident is not None:
            self._keeper.join(_RESTART_S + _STOP_TIMEOUT_S)
        process = self.process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def signal_worker(self, number: signal.Signals) -> int:
        pid = self.worker_pid()
        os.kill(pid, number)
        return pid

    def kill(self) -> None:
        assert self.process is not None
        if self.process.poll() is not None:
            raise ProcessLookupError("the service has ended, and is not started again yet")
        self.process.send_signal(signal.SIGKILL)

    def limit_files(self, most_bytes: int) -> None:
        """Let the service write no file beyond a size; -1 lifts the limit.

        Raises:
            ProcessLookupError, PermissionError: the service is gone, or not ours.
        """
        assert self.process is not None
        hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (most_bytes, hard))

    def last_words(self) -> str:
        """The last line that the service wrote."""
        return next((line for line in reversed(self._said) if line.strip()), "it said nothing")

    def _launch(self) -> None:
        command = [sys.executable, "-m", "flight.cli", "serve", "--bundle", str(self.bundle)]
        command += ["--config", str(self._configuration)]
        if self.link is not None:
            command = self.link.command(command)
        # A pipe, and no file: one would end at the limit of a storage that is full.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # What a service that is killed leaves goes with the folder.
            env={**os.environ, "TMPDIR": str(self._temporary)},
        )
        self.starts += 1
        threading.Thread(target=self._listen, args=(self.process,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self._said.append(line.decode("utf-8", "replace").rstrip())

    def _keep(self) -> None:
        """Start the service again whenever it ends, as systemd does."""
        while not self._ending.wait(_POLL_S):
            assert self.process is not None
            if self.process.poll() is not None and not self._ending.wait(_RESTART_S):
                self._launch()

    def _make_keys(self) -> dict[str, Path]:
        service = self.folder / "service_keys"
        make_service_keys(service)
        clients = {role: self.folder / f"{role}_keys" for role in ROLES}
        for role, out in clients.items():
            make_client_keys(service, role, [role], out)
        # A key that no allow-list has, for who is to be turned away.
        make_client_keys(service, "stranger", [], self.folder / "stranger_keys")
        return clients

    def _configure(self, scenario: Scenario) -> str:
        sections: dict[str, dict[str, Any]] = {
            "endpoints": self.endpoints,
            "storage": {"state": str(self.state), "bundles": str(self.uplink)},
        }
        if self.keys:
            sections["security"] = {"keys": str(self.folder / "service_keys")}
        for name, content in (scenario.target.configuration or {}).items():
            sections[name] = dict(content) if isinstance(content, dict) else content
        lines: list[str] = []
        for name, content in sections.items():
            if not isinstance(content, dict) or not re.fullmatch(r"[a-z_]+", name):
                raise TargetError(f"target.configuration.{name}: expected a section of flight.toml, got {content!r}")
            lines.append(f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in content.items()]
        return "\n".join([*lines, ""])


def load_local_bundle(scenario: Scenario, beside: Path) -> Bundle:
    """The bundle that a service started here serves.

    Raises:
        TargetError: there is none, or it does not validate.
    """
    try:
        return load_bundle((beside / scenario.target.bundle) if scenario.target.bundle else SHIPPED_BUNDLE)
    except (BundleError, OSError) as error:
        raise TargetError(f"target.bundle: {error}") from error


@contextmanager
def open_target(scenario: Scenario, beside: Path, where: str, keys: Path | None = None) -> Iterator[Target]:
    """Start or reach the service of a scenario; what was started is ended, and its folder removed, at the end.

    Args:
        scenario: whose target it is.
        beside: folder that a relative path of a bundle begins in.
        where: "local", the host of a service that runs, or "ssh:" and the name of a board.
        keys: folder of keys for a service that runs; None if it has none.

    Raises:
        TargetError, LinkError, BoardError, DeployError: it cannot be started or reached, or rights are missing.
    """
    if where.startswith("ssh:"):
        from hil.runs.board_target import open_board

        with open_board(where, keys) as board:
            yield board
        return
    if where != "local":
        yield RunningTarget(where, keys)
        return
    bundle = load_local_bundle(scenario, beside).path
    with ExitStack() as stack:
        folder = Path(stack.enter_context(make_socket_folder("rubblemap_run_", max(map(len, _SOCKETS)))))
        link = stack.enter_context(open_link()) if scenario.target.link else None
        target = LocalTarget(bundle.resolve(), folder, scenario, link)
        stack.callback(target.stop)
        target.start()
        yield target
