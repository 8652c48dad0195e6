"""What runs on the board during a deploy: sent over ssh as text, gone when the link closes. Standard library only, but
for board_files and board_figures, which are sent along.

Standard input brings commands, one JSON object a line, in places followed by the bytes of a file; standard output gives
one JSON object a line: {"ok": result} or {"error": text}. The lock is held from `begin` to the end. When the link
closes between `switch` and `confirm`, or a later deploy finds that a power cut came between them, what served before
comes back.

    base/releases/ID      one installation each: bin, lib, bundle, pyvenv.cfg, etc (its unit), and saved:
                          unit, configuration and keys as they were when another release took its place
    base/venv             the link that is switched
    base/bundle           a link to venv/bundle, so that the unit needs no change
    base/next             configuration and keys for the release that is to serve
    base/deploy.json      there between switch and confirm
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

from hil.deploy.board_figures import UNIT, USER, Measuring
from hil.deploy.board_files import (
    AgentError,
    describe_system,
    last_words,
    link_is_lost,
    read_or_none,
    read_toml,
    run,
    switch_link,
    sync_folder,
    write_synced,
)

CONFIGURATION = "flight.toml"
MARGIN_BYTES = 64 << 20
CHUNK_BYTES = 1 << 20
KEPT_RELEASES = MOST_RESTARTS = 3
# A board that needs longer than this to check a bundle is of no use.
CHECK_S = 3600.0


class Agent(Measuring):
    """One deploy's hands on the board. root: "/"; another folder stands in for it in tests."""

    def __init__(self, root: str = "/") -> None:
        self.root = Path(root)
        self.base = self.root / "opt/rubblemap"
        self.releases = self.base / "releases"
        self.link = self.base / "venv"
        self.etc = self.root / "etc/rubblemap"
        self.unit = self.root / "etc/systemd/system" / UNIT
        self.journal = self.base / "deploy.json"
        self.incoming = self.base / "incoming"
        self.next = self.base / "next"
        self.lock: int | None = None

    # --- looking --------------------------------------------------------------------------------------------------

    def probe(self) -> dict[str, Any]:
        """What the board is."""
        existing = next(path for path in (self.base, *self.base.parents) if path.exists())
        return {
            **describe_system(self.root),
            "free": shutil.disk_usage(existing).free,
            "configuration": (self.etc / CONFIGURATION).exists(),
            **self.list(),
        }

    def list(self) -> dict[str, Any]:
        """Releases, newest first, and which one the link names."""
        found = []
        for path in self.releases.glob("*") if self.releases.is_dir() else ():
            if not path.name.startswith("."):
                facts = json.loads(read_or_none(path / "release.json") or b"{}")
                when = path / "installed" if (path / "installed").exists() else path
                found.append({"id": path.name, "installed": when.stat().st_mtime, **facts})
        found.sort(key=lambda release: -release["installed"])
        return {"releases": found, "current": self._current(), "unconfirmed": self.journal.exists()}

    def _current(self) -> str | None:
        return self.link.readlink().name if self.link.is_symlink() else None

    # --- a deploy, step by step -----------------------------------------------------------------------------------

    def begin(self) -> dict[str, Any]:
        """Take the lock, and end what an earlier deploy left in the middle."""
        self.releases.mkdir(parents=True, exist_ok=True)
        self.incoming.mkdir(exist_ok=True)
        self.lock = os.open(self.base / "deploy.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.lock)
            self.lock = None
            raise AgentError("another deploy to this board is under way") from None
        for path in self.releases.glob(".*.part"):
            shutil.rmtree(path, ignore_errors=True)
        return {"undone": self.undo()["to"] if self.journal.exists() else ""}

    def _incoming(self, sha256: str) -> Path:
        return self.incoming / f"{sha256}.part"

    def offer(self, sha256: str, size: int, unpacked: int, id: str) -> dict[str, Any]:
        """Say how much of an archive is here already; a disk that could not hold it all is refused now."""
        if (self.releases / id).is_dir():
            return {"installed": True, "have": size}
        path = self._incoming(sha256)
        for other in self.incoming.iterdir():
            if other != path:
                other.unlink()
        have = path.stat().st_size if path.exists() else 0
        if have > size:
            path.unlink()
            have = 0
        free, needed = shutil.disk_usage(self.base).free, size - have + unpacked + MARGIN_BYTES
        if free < needed:
            raise AgentError(f"{self.base}: expected {needed >> 20} MiB free, got {free >> 20} MiB")
        return {"installed": False, "have": have}

    def append(self, sha256: str, bytes: int) -> dict[str, Any]:
        """Take the next bytes of an archive, which follow the command."""
        left = bytes
        path = self._incoming(sha256)
        try:
            with path.open("ab") as file:
                while left:
                    data = sys.stdin.buffer.read(min(left, CHUNK_BYTES))
                    if not data:
                        raise EOFError
                    left -= len(data)
                    file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                path.unlink()
            # What is still on its way is no command.
            sys.stdin.buffer.read(left)
            raise AgentError(f"{path}: {error.strerror}") from None
        return {"have": path.stat().st_size}

    def install(self, sha256: str, id: str) -> dict[str, Any]:
        """Unpack an archive that is here, put it on the storage, and only then give it its name."""
        archive, draft = self._incoming(sha256), self.releases / f".{id}.part"
        digest = hashlib.sha256()
        with archive.open("rb") as file:
            while data := file.read(CHUNK_BYTES):
                digest.update(data)
        if digest.hexdigest() != sha256:
            archive.unlink()
            raise AgentError(f"{archive.name}: expected SHA-256 {sha256[:16]}..., got {digest.hexdigest()[:16]}...")
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            with tarfile.open(archive) as tar:
                tar.extractall(draft)  # whose SHA-256 was compared: it is ours
            python = Path(sys.executable).resolve()
            (draft / "pyvenv.cfg").write_text(f"home = {python.parent}\n", encoding="utf-8")
            (draft / "bin" / "python3").symlink_to(python)
            version = ".".join(map(str, sys.version_info[:2]))
            if not json.loads((draft / "release.json").read_text(encoding="utf-8"))["compiled"]:
                run(python, "-m", "compileall", "-q", "-j", "0", draft / "lib" / f"python{version}")
            (draft / "installed").touch()  # its time is that of the installation
            run("chmod", "-R", "go+rX,go-w", draft)
            run("sync", "-f", draft)
            draft.replace(self.releases / id)
            sync_folder(self.releases)
        except OSError as error:
            raise AgentError(f"{draft}: {error.strerror or error}") from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        archive.unlink()
        return {}

    def prepare(
        self, configuration: str | None, default_configuration: str, keys: dict[str, str] | None
    ) -> dict[str, Any]:
        """Put configuration and keys for a release in readiness; nothing that serves is touched.

        Args:
            configuration: text; None for what is on the board, or else the default.
            default_configuration: text.
            keys: name -> text of the service's key files; None for those on the board.
        """
        present = read_or_none(self.etc / CONFIGURATION)
        text = (
            configuration
            if configuration is not None
            else present.decode("utf-8")
            if present
            else default_configuration
        )
        chosen = read_toml(CONFIGURATION, text)
        secured = chosen.get("security", {}).get("keys")
        if keys and secured != "/etc/rubblemap/keys":
            raise AgentError(
                f'{CONFIGURATION}: expected security.keys = "/etc/rubblemap/keys" with --keys, got {secured!r}'
            )
        shutil.rmtree(self.next, ignore_errors=True)
        write_synced(self.next / CONFIGURATION, text.encode("utf-8"))
        folder = self.next / "keys"
        for name, content in (keys or {}).items():
            write_synced(folder / name, content.encode("utf-8"), 0o600)
        for path in (folder, *folder.glob("*/")) if keys else ():
            path.chmod(0o700)
        return self._describe(chosen)

    def _make_user(self) -> None:
        (self.root / "srv/rubblemap/uplink").mkdir(parents=True, exist_ok=True)
        # Another folder than / has no users of its own.
        if self.root == Path("/") and not run("getent", "passwd", USER, check=False):
            home = "/var/lib/rubblemap"
            run("useradd", "--system", "--home-dir", home, "--shell", "/usr/sbin/nologin", USER)

    def check(self, id: str) -> dict[str, Any]:
        """Run `flight check` of a release as the user of the service; returns what it says."""
        release = self.releases / id
        self._make_user()
        began = time.monotonic()
        command = (release / "bin/flight", "check", "--short", "--bundle", release / "bundle")
        said = run("runuser", "-u", USER, "--", *command, timeout_s=CHECK_S)
        return {"said": said.splitlines()[-1], "seconds": time.monotonic() - began}

    def switch(self, id: str) -> dict[str, Any]:
        """Let a release serve from its next start on; what served before can be had again until `confirm`."""
        self._adopt()
        previous = self._current()
        self._save(previous)
        write_synced(self.journal, json.dumps({"previous": previous}).encode("utf-8"))
        self._put_in_place(id, self.next)
        return {"previous": previous}

    def _adopt(self) -> None:
        """An installation by hand becomes a release of its own, so that one can go back to it."""
        bundle, manual = self.base / "bundle", self.releases / "by-hand"
        if self.link.is_dir() and not self.link.is_symlink():
            if manual.exists():
                raise AgentError(f"{manual}: expected to be free, for {self.link}; remove it")
            self.link.replace(manual)
            switch_link(self.link, "releases/by-hand")
        if bundle.is_dir() and not bundle.is_symlink():
            bundle.replace(manual / "bundle" if manual.is_dir() else self.base / "bundle.by-hand")
        switch_link(bundle, "venv/bundle")

    def _save(self, previous: str | None) -> None:
        """Keep unit, configuration and keys as they are now with the release that they serve."""
        if previous is None:
            return
        folder = self.releases / previous / "saved"
        for name, path in ((UNIT, self.unit), (CONFIGURATION, self.etc / CONFIGURATION)):
            data = read_or_none(path)
            if data is not None:
                write_synced(folder / name, data)
        shutil.rmtree(folder / "keys", ignore_errors=True)
        if (self.etc / "keys").is_dir():
            shutil.copytree(self.etc / "keys", folder / "keys")

    def _put_in_place(self, id: str, folder: Path) -> None:
        own = self.releases / id / "etc" / UNIT
        for source, path in (
            (folder / UNIT if (folder / UNIT).exists() else own, self.unit),
            (folder / CONFIGURATION, self.etc / CONFIGURATION),
        ):
            data = read_or_none(source)
            if data is not None and data != read_or_none(path):
                write_synced(path, data)
        if (folder / "keys").is_dir():
            self._put_keys(folder / "keys")
        switch_link(self.link, f"releases/{id}")
        run("systemctl", "daemon-reload")

    def _put_keys(self, source: Path) -> None:
        draft, keys = self.etc / ".keys.part", self.etc / "keys"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(source, draft)
        shutil.rmtree(keys, ignore_errors=True)
        draft.replace(keys)
        run("chown", "-R", f"{USER}:", keys)
        run("sync", "-f", self.etc)

    def admit(self, id: str) -> dict[str, Any]:
        """Where the service has keys: make a client's folder for the health test, allowed as camera and consumer."""
        keys, own = self.etc / "keys", self.etc / "deploy_keys"
        known = read_or_none(keys / "cameras/deploy.key")
        if known is not None and known == read_or_none(own / "client.key"):
            return {}
        shutil.rmtree(own, ignore_errors=True)
        for role in ("cameras", "consumers"):
            (keys / role / "deploy.key").unlink(missing_ok=True)
        roles = ("--role", "camera", "--role", "consumer")
        run(self.releases / id / "bin/flight", "keys", "client", keys, "deploy", *roles, "--out", own)
        run("chown", "-R", f"{USER}:", keys)
        return {}

    def chosen(self) -> dict[str, Any]:
        """Whether the configuration in place has keys, and how long it lets a worker take to start, if it says so."""
        return self._describe(read_toml(CONFIGURATION, (read_or_none(self.etc / CONFIGURATION) or b"").decode("utf-8")))

    @staticmethod
    def _describe(configuration: dict[str, Any]) -> dict[str, Any]:
        limit = configuration.get("worker", {}).get("start_timeout_s")
        return {"secured": bool(configuration.get("security", {}).get("keys")), "start_timeout_s": limit}

    def start(self, timeout_s: float) -> dict[str, Any]:
        """Start what the link names, and wait until it is ready; returns the seconds that it took."""
        began, self.halted = time.monotonic(), False
        run("systemctl", "reset-failed", UNIT, check=False)
        run("systemctl", "enable", "--quiet", UNIT)
        run("systemctl", "restart", "--no-block", UNIT)
        while True:
            asked = time.monotonic()
            # A board that is very busy may not answer in time: it is asked again.
            shown = run("systemctl", "show", "-p", "ActiveState,NRestarts", UNIT, check=False)
            state = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
            now = time.monotonic()
            if state.get("ActiveState") == "active":
                cgroup = self.root / "sys/fs/cgroup/system.slice" / UNIT
                return {"seconds": round(now - began, 1), "memory_limited": (cgroup / "memory.max").exists()}
            restarts = int(state.get("NRestarts") or 0)
            if restarts >= MOST_RESTARTS or state.get("ActiveState") == "failed" or now - began > timeout_s:
                reason = (
                    f"ended {restarts} times" if restarts else f"{state.get('ActiveState')} after {now - began:.0f} s"
                )
                raise AgentError(f"the service did not become ready: {reason}: {last_words(UNIT)}")
            if link_is_lost():
                raise EOFError
            # Asking is not to take the time that the start needs.
            time.sleep(max(0.5, 4.0 * (now - asked)))

    def health(self, id: str, script: str, secured: bool, timeout_s: float, frames: int = 1) -> Any:
        """Send frames through the running service, and wait for their products, so long for each."""
        release = self.releases / id
        keys = [self.etc / "deploy_keys"] if secured else []
        python = release / "bin/python3"
        said = run(
            *(python, "-c", script, self.etc / CONFIGURATION, release / "bundle", timeout_s, *keys),
            timeout_s=frames * timeout_s + 60.0,
        )
        return json.loads(said.splitlines()[-1])

    def confirm(self) -> dict[str, Any]:
        """The deploy is good; older releases than the last few go."""
        self.journal.unlink(missing_ok=True)
        sync_folder(self.base)
        current = self._current()
        others = [release["id"] for release in self.list()["releases"] if release["id"] != current]
        for id in others[KEPT_RELEASES - 1 :]:
            shutil.rmtree(self.releases / id, ignore_errors=True)
        return {"removed": others[KEPT_RELEASES - 1 :]}

    # --- back -----------------------------------------------------------------------------------------------------

    def undo(self) -> dict[str, Any]:
        """Back to what served before the deploy that was not confirmed."""
        state = json.loads(self.journal.read_text(encoding="utf-8"))
        if state["previous"] is not None:
            self._put_in_place(state["previous"], self.releases / state["previous"] / "saved")
            run("systemctl", "restart", "--no-block", UNIT, check=False)
        else:
            self._remove_service()
        self.journal.unlink()
        sync_folder(self.base)
        return {"to": state["previous"] or "nothing, as before"}

    def recall(self) -> dict[str, Any]:
        """Put in readiness what the release before the present one served with; returns its name."""
        listed = self.list()
        others = [release["id"] for release in listed["releases"] if release["id"] != listed["current"]]
        saved = [self.releases / id / "saved" for id in others if (self.releases / id / "saved").is_dir()]
        if not saved:
            raise AgentError("expected another release that has served, got none")
        last = max(saved, key=lambda path: path.stat().st_mtime)
        shutil.rmtree(self.next, ignore_errors=True)
        shutil.copytree(last, self.next)
        return {"id": last.parent.name}

    def uninstall(self) -> dict[str, Any]:
        """Stop the service and remove it; configuration, keys and state folder stay."""
        if not self.releases.is_dir():
            raise AgentError(f"{self.base}: expected an installation, got none")
        self._remove_service()
        for path in (self.releases, self.incoming, self.next):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.base / "bundle", self.journal, self.base / "deploy.lock"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.base.rmdir()
        kept = (self.etc, self.root / "var/lib/rubblemap", self.root / "srv/rubblemap")
        return {"kept": [str(path) for path in kept if path.exists()]}

    def _remove_service(self) -> None:
        run("systemctl", "disable", "--now", "--quiet", UNIT, check=False)
        for path in (self.unit, self.link):
            path.unlink(missing_ok=True)
        run("systemctl", "daemon-reload")


COMMANDS = (
    *("probe", "list", "begin", "offer", "append", "install", "prepare", "check", "switch", "admit", "chosen"),
    *("start", "health", "confirm", "undo", "recall", "uninstall", "halt", "tune", "memory"),
)


def answer(agent: Agent, line: bytes) -> dict[str, Any]:
    """Carry out one command; returns the answer."""
    command = json.loads(line)
    name = command.pop("do")
    try:
        return {"ok": getattr(agent, name)(**command)} if name in COMMANDS else {"error": f"{name}: no such command"}
    except AgentError as error:
        return {"error": str(error)}
    except OSError as error:
        return {"error": f"{error.filename or name}: {error.strerror or error}"}


def main() -> None:
    """Answer commands until the link closes."""
    agent = Agent(*sys.argv[1:2])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(1))
    try:
        while line := sys.stdin.buffer.readline():
            print(json.dumps(answer(agent, line)), flush=True)
    except (EOFError, BrokenPipeError):
        pass  # the link is gone
    finally:
        agent.resume()
        # Whoever deploys is gone before having confirmed.
        if agent.lock is not None and agent.journal.exists():
            agent.undo()
