"""Locks a folder for one process: the kernel drops the lock when the process ends, however that happens."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FolderLock:
    """Holds a folder until close() or the end of the process.

    The lock is on the folder itself, so that it needs no file which someone could remove. Processes that this one
    starts do not inherit it.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Args:
            folder: that exists.

        Raises:
            BlockingIOError: another process, or another part of this one, holds it.
            OSError: the folder cannot be opened, or its file system knows no locks.
        """
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        """Give the folder back."""
        os.close(self._descriptor)
