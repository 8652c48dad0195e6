"""Files and programs of a board, for the agent that runs there. Standard library only."""

from __future__ import annotations

import contextlib
import os
import platform
import select
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any


class AgentError(Exception):
    """A step that failed, in one line."""


def run(*command: object, timeout_s: float = 1200.0, check: bool = True) -> str:
    """Run a program; returns what it wrote. Raises AgentError with the last line it said."""
    try:
        done = subprocess.run(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError:
        raise AgentError(f"{command[0]}: expected on the board, got no such program") from None
    except subprocess.TimeoutExpired:
        raise AgentError(f"{command[0]}: expected to end within {timeout_s:.0f} s") from None
    text = done.stdout.decode("utf-8", "replace").strip()
    if check and done.returncode:
        lines = text.splitlines() or [f"exit code {done.returncode}"]
        raise AgentError(f"{Path(str(command[0])).name}: {lines[-1]}")
    return text


def sync_folder(path: Path) -> None:
    """Put a folder's entries on the storage."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file whole or not at all, and put it on the storage."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
    sync_folder(path.parent)


def switch_link(link: Path, target: str) -> None:
    """Let a link point elsewhere, at one stroke, on the storage too."""
    draft = link.with_name(f".{link.name}.part")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    draft.symlink_to(target)
    draft.replace(link)
    sync_folder(link.parent)


def read_or_none(path: Path) -> bytes | None:
    """A file's bytes; None if it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def link_is_lost() -> bool:
    """Whether whoever deploys is gone."""
    link = select.poll()
    link.register(sys.stdin.fileno(), 0)  # of no events: that the other end is closed is told without being asked for
    return bool(link.poll(0))


def read_toml(name: str, text: str) -> dict[str, Any]:
    """A TOML file's tables. Raises AgentError with its name."""
    import tomllib  # a board with an older Python is to be told so, and not to fail here

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise AgentError(f"{name}: {error}") from None


def last_words(unit: str) -> str:
    """What a service said last, in the journal; not what systemd said of it."""
    said = run("journalctl", "-u", unit, "-n", "30", "-o", "cat", "--no-pager", check=False).splitlines()
    own = [line for line in said if not line.startswith((unit, "Start", "Stopp", "Scheduled", "Failed to start"))]
    return (own or said or ["nothing in the journal"])[-1]


def describe_system(root: Path) -> dict[str, Any]:
    """What decides which packages run on the board."""
    libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else ""
    name = "Linux"
    with contextlib.suppress(OSError):
        for line in (root / "etc/os-release").read_text(encoding="utf-8").splitlines():
            if line.startswith("PRETTY_NAME="):
                name = line.split("=", 1)[1].strip('"')
    return {
        "system": name,
        "machine": platform.machine(),
        "bits": struct.calcsize("P") * 8,
        "python": list(sys.version_info[:2]),
        "libc": libc or "",
        "systemd": (root / "run/systemd/system").exists(),
        "cpus": os.cpu_count() or 1,
    }
