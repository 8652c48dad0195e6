"""The epochs that cameras on this computer have used, so that the next one is larger even if the clock has gone back.

One file for each camera's name, `epochs/NAME.epoch` in the first of these folders that the user owns and can write:
$STATE_DIRECTORY (of a systemd unit with `StateDirectory=`), $XDG_STATE_HOME/rubblemap, $HOME/.local/state/rubblemap,
/var/tmp/rubblemap-UID. It holds the last epoch as ten digits. The C++ library keeps the same files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

LARGEST_EPOCH = 2**32 - 1
_EPOCH = re.compile(rb"[0-9]{1,10}\n?")
_LOCK_S = 0.5


def take_epoch(source: str, least: int = 0) -> int:
    """Take the next epoch of a camera: seconds since 1970, or one above the largest that this computer has used.

    Where no folder can be written, the clock alone decides.

    Args:
        source: name of the camera.
        least: that the epoch must have at least.

    Returns:
        The epoch, which is recorded by now.
    """
    name = f"{quote(source, safe='', errors='replace')}.epoch"
    paths = [folder / "epochs" / name for folder in _find_folders()]
    with _open_first(paths) as file:
        # All are read: the first of today may not have been there at the last start.
        used = [epoch for path in paths if (epoch := _read(path)) is not None]
        epoch = min(max([int(time.time()), least, *(epoch + 1 for epoch in used)]), LARGEST_EPOCH)
        _write(file, epoch)
    return epoch


def _find_folders() -> list[Path]:
    """The folders, those that can be made among them; best first."""
    environment = os.environ
    candidates = [
        (environment.get("STATE_DIRECTORY", "").split(":")[0], ""),
        (environment.get("XDG_STATE_HOME", ""), "rubblemap"),
        (environment.get("HOME", ""), ".local/state/rubblemap"),
        ("/var/tmp", f"rubblemap-{os.geteuid()}"),
    ]
    return [Path(folder) / below for folder, below in candidates if Path(folder).is_absolute()]


@contextlib.contextmanager
def _open_first(paths: list[Path]) -> Iterator[int | None]:
    """Open and lock the first file that can be; the context gets its descriptor, or None."""
    file = next((file for path in paths if (file := _open(path)) is not None), None)
    try:
        yield file
    finally:
        if file is not None:
            os.close(file)


def _open(path: Path) -> int | None:
    """Open a file for writing and lock it, in a folder of this user; None if that cannot be done."""
    with contextlib.suppress(OSError, ValueError):
        for folder in (path.parent.parent, path.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Beneath /var/tmp another user may have been there first, or have left a link.
            status = folder.lstat()
            if status.st_uid != os.geteuid() or status.st_mode & 0o022:
                return None
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _LOCK_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            except OSError:
                if time.monotonic() >= deadline:
                    os.close(file)
                    return None
                time.sleep(0.01)
    return None


def _read(path: Path) -> int | None:
    """The epoch in a file; None if it holds none."""
    with contextlib.suppress(OSError):
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            text = os.read(file, 64)
        finally:
            os.close(file)
        if _EPOCH.fullmatch(text):
            return min(int(text), LARGEST_EPOCH)
    return None


def _write(file: int | None, epoch: int) -> None:
    """Write an epoch over the one in a file: always as many bytes, so that a power cut leaves one or the other."""
    if file is not None:
        with contextlib.suppress(OSError):
            text = b"%010d\n" % epoch
            os.pwrite(file, text, 0)
            os.ftruncate(file, len(text))
            os.fsync(file)
