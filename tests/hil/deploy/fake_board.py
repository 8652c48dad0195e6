"""A board in a folder: the agent runs there for real, and so does the service; only systemd and users are stand-ins."""

from __future__ import annotations

import contextlib
import json
import os
import site
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any

from hil.deploy import archive
from hil.deploy.archive import Target
from hil.deploy.connection import Link
from hil.deploy.deploy import Wishes

# Starts the service that the unit names, with the board's folder before every path.
_SYSTEMCTL = """#!{python}
import os, pathlib, re, signal, subprocess, sys
root, home = pathlib.Path({root!r}), pathlib.Path({home!r})
unit, pid, log = root / "etc/systemd/system/rubblemap-flight.service", home / "pid", home / "log"
with (home / "calls").open("a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
def stop():
    if pid.exists():
        try:
            os.killpg(int(pid.read_text()), signal.SIGKILL)
        except ProcessLookupError:
            pass
        pid.unlink()
def alive():
    try:
        return pathlib.Path("/proc", pid.read_text(), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
verb = sys.argv[1]
if verb == "enable":
    (home / "enabled").touch()
elif verb == "disable":
    (home / "enabled").unlink(missing_ok=True)
    stop()
elif verb == "is-enabled":
    print("enabled" if (home / "enabled").exists() else "disabled")
elif verb == "stop":
    stop()
elif verb in ("start", "restart"):
    stop()
    (line,) = re.findall("^ExecStart=(.*)$", unit.read_text(), re.M)
    command = [str(root) + word if word.startswith("/") else word for word in line.split()]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    pid.write_text(str(process.pid))
elif verb == "show" and "MainPID" in sys.argv:
    print("MainPID=" + (pid.read_text() if alive() else "0"))
elif verb == "show":
    ready = log.exists() and b"worker_ready" in log.read_bytes()
    print("ActiveState=" + ("failed" if not alive() else "active" if ready else "activating"))
    print("NRestarts=0")
"""
_STAND_INS = {
    "useradd": "exit 1",
    "chown": "exit 0",
    "sudo": 'shift; exec "$@"',
    "runuser": 'shift 3; exec "$@"',
    "journalctl": 'cat "{home}/log"',
}


class FakeBoard:
    """A folder that stands in for a board's file system, and programs that stand in for its system's.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.root, self.home, self.cache = folder / "root", folder / "home", folder / "cache"
        programs = self.home / "bin"
        programs.mkdir(parents=True)
        for needed in ("opt", "etc", "run/systemd/system"):
            (self.root / needed).mkdir(parents=True)
        (self.root / "etc/os-release").write_text('PRETTY_NAME="A board in a folder"\n')
        for name, text in _STAND_INS.items():
            self._write(programs / name, f"#!/bin/sh\n{text.format(home=self.home)}\n")
        text = _SYSTEMCTL.format(python=sys.executable, root=str(self.root), home=str(self.home))
        self._write(programs / "systemctl", text)
        # The agent's python3 is the one of the tests.
        self._write(programs / "python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        self.path = f"{programs}:{os.environ['PATH']}"
        # Short, as paths of sockets must be.
        self._sockets = tempfile.TemporaryDirectory(prefix="rubblemap_")
        self._take_packages_of_the_tests()

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def _take_packages_of_the_tests(self) -> None:
        """Instead of wheels from an index: a cache in which the packages are those that the tests run with."""
        target = self.target
        key = archive.packages_key(target, archive.requirements())
        folder = self.cache / "deploy" / f"packages-{key}"
        folder.mkdir(parents=True)
        (folder / "tests.pth").write_text("\n".join(site.getsitepackages()) + "\n")

    @property
    def target(self) -> Target:
        """What the board is: this computer."""
        with self.link() as link:
            return archive.choose_target(link.ask("probe"))

    def link(self, shell: tuple[str, ...] = ("sh", "-c")) -> Link:
        """A link to the board. shell: runs a command line there."""
        return Link(["env", f"PATH={self.path}", *shell], [str(self.root)])

    def configuration(self, name: str, **parameters: Any) -> str:
        """A configuration whose sockets are of this board alone."""
        lines = [
            f'{key} = "ipc://{self._sockets.name}/{key}"' for key in ("frames", "products", "telemetry", "commands")
        ]
        values = [f"{key} = {json.dumps(value)}" for key, value in parameters.items()]
        return "\n".join([f"# {name}", "[endpoints]", *lines, "[parameters]", *values, ""])

    def wishes(self, bundle: Path, configuration: str | None) -> Wishes:
        """What to deploy."""
        return Wishes(bundle, configuration, None, self.cache, start_timeout_s=60.0, health_timeout_s=30.0)

    def read(self, path: str) -> str:
        """A file of the board."""
        return (self.root / path).read_text()

    @property
    def serving(self) -> str | None:
        """The release that the link names."""
        link = self.root / "opt/rubblemap/venv"
        return link.readlink().name if link.is_symlink() else None

    @property
    def service_runs(self) -> bool:
        """Whether the service's process is there."""
        with contextlib.suppress(OSError):
            return Path("/proc", (self.home / "pid").read_text()).exists()
        return False

    def close(self) -> None:
        """End the service."""
        os.system(f"{self.home}/bin/systemctl disable")
        self._sockets.cleanup()
