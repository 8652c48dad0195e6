"""Reads bundles' files again in the background, slowly, to find changes on the storage."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from pathlib import Path
from queue import SimpleQueue

_SLICE_BYTES = 256 * 1024
_PAUSE_S = 0.02


class FileCheck:
    """Compares files with their hashes, again and again, in a thread: those of the serving bundle's copy, and those of
    the factory bundle's own folder.

    Attributes:
        results: per folder and round, the folder and the problem found, None if there is none.
    """

    def __init__(self, interval_s: float) -> None:
        """Start the thread, with nothing to check.

        Args:
            interval_s: between two rounds, seconds; 0 for never.
        """
        self._interval_s = interval_s
        self.results: SimpleQueue[tuple[Path, str | None]] = SimpleQueue()
        self._serving: tuple[Path, dict[str, str]] | None = None
        self._factory: tuple[Path, dict[str, str]] | None = None
        self._changed = threading.Event()
        if interval_s > 0.0:
            threading.Thread(target=self._run, name="file-check", daemon=True).start()

    def watch(self, folder: Path, hashes: dict[str, str]) -> None:
        """Check the files of this folder from now on. hashes: file name -> SHA-256."""
        self._serving = (folder, hashes)
        self._changed.set()

    def watch_factory(self, folder: Path, hashes: dict[str, str]) -> None:
        """Check those of the factory bundle's own folder, too. hashes: file name -> SHA-256."""
        self._factory = (folder, hashes)
        self._changed.set()

    def _run(self) -> None:
        while True:
            serving, factory = self._serving, self._factory
            if serving is not None:
                problem = self._check_files(*serving)
                if self._serving is serving:
                    self.results.put((serving[0], problem))
            if factory is not None and (serving is None or factory[0] != serving[0]):
                self.results.put((factory[0], self._check_files(*factory)))
            self._changed.wait(self._interval_s)
            self._changed.clear()

    def _check_files(self, folder: Path, hashes: dict[str, str]) -> str | None:
        for name, expected in hashes.items():
            digest = hashlib.sha256()
            try:
                with (folder / name).open("rb", buffering=0) as file:
                    # The page cache would hide changes on the storage.
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    while chunk := file.read(_SLICE_BYTES):
                        digest.update(chunk)
                        time.sleep(_PAUSE_S)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                    # A lack of this process or machine, which says nothing about the file.
                    continue
                return f"{folder / name}: {error.strerror}"
            actual = digest.hexdigest()
            if actual != expected:
                return f"{folder / name}: sha256: expected {expected[:16]}..., got {actual[:16]}..."
        return None
