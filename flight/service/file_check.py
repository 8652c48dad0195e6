"""Re-reading the serving bundle's files in the background, slowly, to notice a storage that forgets."""

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
    """Compares files with their hashes, round after round, in a thread of its own.

    results: one entry per round: the folder, and None when all was well, else what was found. interval_s: between
    rounds; 0: never.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self.results: SimpleQueue[tuple[Path, str | None]] = SimpleQueue()
        self._job: tuple[Path, dict[str, str]] | None = None
        self._changed = threading.Event()
        if interval_s > 0.0:
            threading.Thread(target=self._run, name="file-check", daemon=True).start()

    def watch(self, folder: Path, hashes: dict[str, str]) -> None:
        """Check these files from now on. hashes: file name -> SHA-256."""
        self._job = (folder, hashes)
        self._changed.set()

    def _run(self) -> None:
        while True:
            job = self._job
            if job is not None:
                problem = self._round(*job)
                if self._job is job:
                    self.results.put((job[0], problem))
            self._changed.wait(self._interval_s)
            self._changed.clear()

    def _round(self, folder: Path, hashes: dict[str, str]) -> str | None:
        for name, expected in hashes.items():
            digest = hashlib.sha256()
            try:
                with (folder / name).open("rb", buffering=0) as file:
                    # What lies in the page cache would hide what the storage has become.
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    while chunk := file.read(_SLICE_BYTES):
                        digest.update(chunk)
                        time.sleep(_PAUSE_S)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                    # Says something of this process or machine, nothing of the file.
                    continue
                return f"{folder / name}: {error.strerror}"
            actual = digest.hexdigest()
            if actual != expected:
                return f"{folder / name}: sha256: expected {expected[:16]}..., got {actual[:16]}..."
        return None
