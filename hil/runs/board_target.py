"""A service on a board as a scenario's target: its sockets come through an ssh tunnel that is kept up."""

from __future__ import annotations

import io
import shlex
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flight.client import CommandFailed
from flight.endpoints import make_socket_folder
from flight.icd.limits import DEFAULT_ENDPOINTS
from hil.board.folders import Board, default_cache, default_state
from hil.board.machine import Hardware, Machine
from hil.board.progress import Progress
from hil.deploy.archive import UNIT
from hil.deploy.commands import VIRTUAL, command_to
from hil.runs.target import Target, TargetError

# A board is named as `hil deploy` names it, after this.
PREFIX = "ssh:"
# What a tunnel is besides the agent's link: it fails at once where a socket cannot be had, asks nobody for a password,
# and notices within seconds that the board is gone.
_TUNNEL = (
    *("-N", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-o", "StreamLocalBindUnlink=yes"),
    *("-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=3"),
)
_OPEN_TIMEOUT_S, _ANSWER_TIMEOUT_S, _SHELL_TIMEOUT_S = 40.0, 10.0, 60.0
_POWER_ON_TIMEOUT_S = 600.0
_RETRY_S, _POLL_S = 1.0, 0.05
_LINES_KEPT = 20


class BoardTarget(Target):
    """A service that runs on a board, at its default ports on the board's loopback.

    Args:
        name: of the board as ssh takes it, or "virtual".
        folder: for the tunnel's sockets; a short path.
        keys: folder of keys with the roles camera, consumer and commander; None if the service has none.

    Raises:
        TargetError: ssh does not get there, or no service answers.
        BoardError: the virtual board is off.
        DeployError: the name is none.
    """

    def __init__(self, name: str, folder: Path, keys: Path | None = None) -> None:
        self._name, self._folder = name, folder
        self._board = Board(default_state(), default_cache())
        self._command = command_to(name, self._board)
        self.endpoints = {socket: f"ipc://{folder}/{socket}" for socket in DEFAULT_ENDPOINTS}
        self.keys = {} if keys is None else dict.fromkeys(("camera", "consumer", "commander"), keys)
        self._said: deque[str] = deque(maxlen=_LINES_KEPT)
        self._ending = threading.Event()
        self._tunnel: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name="tunnel-keeper", daemon=True)

    def describe(self) -> str:
        return f"service on the board {self._name}, by ssh"

    def start(self) -> None:
        """Open the tunnel, and wait until the service answers through it."""
        self._launch()
        deadline = time.monotonic() + _OPEN_TIMEOUT_S
        while not all((self._folder / socket).is_socket() for socket in DEFAULT_ENDPOINTS):
            assert self._tunnel is not None
            if self._tunnel.poll() is not None:
                raise TargetError(f"--target: {PREFIX}{self._name}: {self._last_words()}")
            if time.monotonic() > deadline:
                raise TargetError(f"--target: {PREFIX}{self._name}: expected a tunnel within {_OPEN_TIMEOUT_S:g} s")
            time.sleep(_POLL_S)
        self._keeper.start()
        try:
            self.status(_ANSWER_TIMEOUT_S)
        except (TimeoutError, CommandFailed) as error:
            raise TargetError(
                f"--target: {PREFIX}{self._name}: expected a service on the board (`hil deploy`), got none: {error}"
            ) from error

    def stop(self) -> None:
        """Close the tunnel. The service goes on."""
        self._ending.set()
        if self._keeper.ident is not None:
            self._keeper.join(_RETRY_S + _SHELL_TIMEOUT_S)
        if self._tunnel is not None and self._tunnel.poll() is None:
            self._tunnel.kill()
            self._tunnel.wait()

    def signal_worker(self, number: signal.Signals) -> int:
        pid = self.worker_pid()
        self._run_as_root(["kill", f"-{number.name.removeprefix('SIG')}", str(pid)])
        return pid

    def kill(self) -> None:
        self._run_as_root(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT])

    def cut_power(self, wait: Callable[[], object]) -> float:
        """Cut the virtual board's power, wait, and power it on again, whatever ends the waiting.

        Args:
            wait: returns when the power is to come back.

        Returns:
            Seconds from power-on until ssh answered.

        Raises:
            TargetError: it is not the virtual board.
            BoardError: the board was off, or does not come back.
        """
        if self._name != VIRTUAL:
            raise TargetError(f"power_cut: expected the target {PREFIX}{VIRTUAL}, got {PREFIX}{self._name}")
        machine = Machine(self._board)
        hardware = Hardware(**machine.facts()["hardware"])
        machine.cut_power()
        try:
            wait()
        finally:
            seconds = machine.power_on(hardware, None, Progress(io.StringIO()), _POWER_ON_TIMEOUT_S)
        return seconds

    def _run_as_root(self, words: list[str]) -> None:
        """Run a command on the board. Raises OSError."""
        command = shlex.join(words)
        shell = f'if [ "$(id -u)" = 0 ]; then {command}; else sudo -n {command}; fi'
        try:
            done = subprocess.run(
                [*self._command, shell],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SHELL_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{self._name}: {command}: no answer within {_SHELL_TIMEOUT_S:g} s") from error
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {done.returncode}"]
            raise OSError(f"{self._name}: {command}: {said[-1]}")

    def _launch(self) -> None:
        forwards = [
            word
            for socket, endpoint in DEFAULT_ENDPOINTS.items()
            for word in ("-L", f"{self._folder}/{socket}:127.0.0.1:{endpoint.rpartition(':')[2]}")
        ]
        # Of an option that is given twice, ssh takes the first.
        command = [self._command[0], *_TUNNEL, *self._command[1:-1], *forwards, self._command[-1]]
        try:
            self._tunnel = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
        except FileNotFoundError as error:
            raise TargetError(f"--target: expected the program {command[0]}, got none") from error
        threading.Thread(target=self._listen, args=(self._tunnel,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self._said.append(line.decode("utf-8", "replace").strip())

    def _last_words(self) -> str:
        time.sleep(_POLL_S)  # the thread that reads them may be behind
        return next((line for line in reversed(self._said) if line), "ssh ended without a word")

    def _keep(self) -> None:
        """Open the tunnel again whenever it ends: the board's power may have been cut."""
        while not self._ending.wait(_POLL_S):
            assert self._tunnel is not None
            if self._tunnel.poll() is not None and not self._ending.wait(_RETRY_S):
                self._launch()


@contextmanager
def open_board(where: str, keys: Path | None) -> Iterator[BoardTarget]:
    """Reach the service of a board; the tunnel is closed, and its sockets are removed, at the end.

    Args:
        where: PREFIX and the name of the board.
        keys: see BoardTarget.

    Raises:
        TargetError, BoardError, DeployError: see BoardTarget.
    """
    with make_socket_folder("rubblemap_run_", max(map(len, DEFAULT_ENDPOINTS))) as folder:
        target = BoardTarget(where.removeprefix(PREFIX), Path(folder), keys)
        try:
            target.start()
            yield target
        finally:
            target.stop()
