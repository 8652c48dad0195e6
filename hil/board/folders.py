"""Where the virtual board lives: a cache that can be made again, and the state of one board."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STATE_VARIABLE = "RUBBLEMAP_BOARD"
CACHE_VARIABLE = "RUBBLEMAP_CACHE"


class BoardError(RuntimeError):
    """What the board cannot do, with the reason, in one line."""


def default_state() -> Path:
    """The state folder: of the environment's RUBBLEMAP_BOARD, else below XDG_STATE_HOME."""
    return _from_environment(STATE_VARIABLE, "XDG_STATE_HOME", ".local/state", "board")


def default_cache() -> Path:
    """The cache folder: of the environment's RUBBLEMAP_CACHE, else below XDG_CACHE_HOME."""
    return _from_environment(CACHE_VARIABLE, "XDG_CACHE_HOME", ".cache", "")


def _from_environment(variable: str, base: str, below_home: str, name: str) -> Path:
    if os.environ.get(variable):
        return Path(os.environ[variable]).absolute()
    folder = Path(os.environ.get(base) or Path.home() / below_home)
    return folder.absolute() / "rubblemap" / name


@dataclass(frozen=True)
class Board:
    """One virtual board.

    Attributes:
        state: folder of its disk, its log and what is needed to reach it.
        cache: folder of downloaded packages and finished images, shared by boards.
    """

    state: Path
    cache: Path

    @property
    def disk(self) -> Path:
        """The board's own disk, raw."""
        return self.state / "board.img"

    @property
    def serial_log(self) -> Path:
        """What its kernel and its console have said since power-on."""
        return self.state / "serial.log"

    @property
    def ssh_config(self) -> Path:
        """For `ssh -F`; the host is called `board`."""
        return self.state / "ssh_config"

    @property
    def facts(self) -> Path:
        """JSON: port, processor, memory and process of the running machine."""
        return self.state / "machine.json"

    @property
    def power_lock(self) -> Path:
        """Held by the machine's process itself for as long as it lives."""
        return self.state / "power.lock"


@contextmanager
def hold_lock(path: Path, busy: str) -> Iterator[int]:
    """Hold a lock on a file; it is let go when its last descriptor is closed, whatever ends the process.

    Args:
        path: of the lock, in a folder that is there.
        busy: what to say when another process holds it.

    Yields:
        The descriptor. A process that inherits it goes on holding the lock.

    Raises:
        BoardError: another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BoardError(busy) from None
        yield descriptor
    finally:
        os.close(descriptor)
