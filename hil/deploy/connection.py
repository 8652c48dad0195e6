"""The link to a board: the agent's process at the other end of ssh."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_CHUNK_BYTES = 1 << 20
_SSH_OPTIONS = ("-T", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=8", "-o", "ConnectTimeout=20")


class DeployError(RuntimeError):
    """A step of a deploy that failed, in one line."""


class LinkError(DeployError):
    """The link broke; what was sent of the archive is not lost."""


# What is sent to the board, in the order of dependence; the last has `main`.
_AGENT_MODULES = ("board_files", "board_figures", "agent")
_BOOT = """import sys, types
for name, text in {modules}:
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(text, name, "exec"), module.__dict__)
module.main()
"""


def read_source(name: str) -> str:
    """The text of a module of this package."""
    return resources.files("hil.deploy").joinpath(f"{name}.py").read_text(encoding="utf-8")


def _agent_source() -> str:
    """A program without files: the modules of the agent, and the call of its main."""
    packages = [("hil", ""), ("hil.deploy", "")]
    return _BOOT.format(modules=packages + [(f"hil.deploy.{name}", read_source(name)) for name in _AGENT_MODULES])


def ssh_command(target: str, options: Sequence[str] = ()) -> list[str]:
    """The command line that runs the agent on a board, as root.

    Args:
        target: as ssh takes it.
        options: more of ssh's options.

    Raises:
        DeployError: the target looks like an option.
    """
    if target.startswith("-") or not target:
        raise DeployError(f"TARGET: expected a host as ssh takes it, got {target!r}")
    return ["ssh", *_SSH_OPTIONS, *options, target]


class Link:
    """A conversation with the agent. Closing it ends the agent, which undoes what was not confirmed.

    Args:
        command: that runs a shell command given as its last argument, on the board.
        agent_arguments: of the agent.

    Raises:
        LinkError: it cannot be started.
    """

    def __init__(self, command: Sequence[str], agent_arguments: Sequence[str] = ()) -> None:
        source = _agent_source().encode("utf-8")
        start = f'"import sys;exec(sys.stdin.buffer.read({len(source)}))"'
        python = " ".join(["python3 -u -c", start, *map(shlex.quote, agent_arguments)])
        remote = f'if [ "$(id -u)" = 0 ]; then exec {python}; else exec sudo -n {python}; fi'
        try:
            self._process = subprocess.Popen(
                [*command, f"sh -c {shlex.quote(remote)}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
            )
        except FileNotFoundError:
            raise LinkError(f"{command[0]}: expected to be installed, got no such program") from None
        self._send(source)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the conversation, and wait until the agent has ended: it may have something to undo."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(120.0)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """End the processes at this end and give up the link at once."""
        self._process.kill()
        self._process.wait()

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Let the agent carry out a command; returns its result.

        Raises:
            LinkError: the link broke.
            DeployError: the command failed, with the reason.
        """
        self._send(json.dumps({"do": do, **arguments}).encode("utf-8") + b"\n")
        return self._read_answer()

    def send_file(self, path: Path, sha256: str, have: int, tell: Callable[[int], None]) -> None:
        """Send the rest of an archive, of which the board has the first bytes.

        Raises:
            LinkError, DeployError: see `ask`.
        """
        with path.open("rb") as file:
            file.seek(have)
            while data := file.read(_CHUNK_BYTES):
                self._send(
                    json.dumps({"do": "append", "sha256": sha256, "bytes": len(data)}).encode("utf-8") + b"\n" + data
                )
                tell(int(self._read_answer()["have"]))

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        view = memoryview(data)
        try:
            while view:
                view = view[self._process.stdin.write(view) or 0 :]
        except BrokenPipeError:
            self._fail()

    def _read_answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._fail()
        try:
            answer = json.loads(line)
        except ValueError:
            raise LinkError(
                f"expected an answer of the board, got {line.decode('utf-8', 'replace').strip()!r}"
            ) from None
        if "error" in answer:
            raise DeployError(str(answer["error"]))
        result: dict[str, Any] = answer["ok"]
        return result

    def _fail(self) -> None:
        """Raise LinkError with what ssh, sudo or the shell said last."""
        assert self._process.stderr is not None
        code = self._process.wait()
        said = self._process.stderr.read().decode("utf-8", "replace").strip().splitlines()
        raise LinkError(said[-1].strip() if said else f"the link closed, exit code {code}")
