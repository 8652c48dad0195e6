"""A line for every step of what takes minutes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from hil.board.folders import BoardError

_POLL_S = 0.2


class Progress:
    """Writes what goes on: on a terminal one line that is kept up to date, elsewhere one line when a step is done."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._text = ""
        self._began = 0.0

    def begin(self, text: str) -> None:
        """A step begins."""
        self._text, self._began = text, time.monotonic()
        self.update("")

    def update(self, detail: str) -> None:
        """How far the step is; shown on terminals only."""
        if self._live:
            seconds = time.monotonic() - self._began
            self._stream.write(f"\r\x1b[K{self._text} {detail} {seconds:.0f} s".replace("  ", " "))
            self._stream.flush()

    def end(self, detail: str = "") -> None:
        """The step is done."""
        seconds = time.monotonic() - self._began
        start = "\r\x1b[K" if self._live else ""
        self._stream.write(f"{start}{self._text}{': ' + detail if detail else ''} ({seconds:.0f} s)\n")
        self._stream.flush()


def run_step(
    command: Sequence[str | Path],
    progress: Progress,
    log: Path,
    detail: Callable[[], str] = lambda: "",
    timeout_s: float = 1800.0,
) -> None:
    """Run a command of a step, its output going to a log, and end it if we are ended.

    Args:
        command: program and arguments.
        progress: kept up to date meanwhile.
        log: what the command writes is appended there.
        detail: how far it is.
        timeout_s: after which it is ended.

    Raises:
        BoardError: it failed or took too long; with the last line it wrote.
    """
    name = Path(command[0]).name
    with (
        log.open("ab") as output,
        subprocess.Popen(list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            deadline = time.monotonic() + timeout_s
            while process.poll() is None:
                progress.update(detail())
                if time.monotonic() > deadline:
                    raise BoardError(f"{name}: expected to end within {timeout_s:.0f} s; see {log}")
                time.sleep(_POLL_S)
        finally:
            if process.poll() is None:
                process.kill()
    if process.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["nothing"]
        raise BoardError(f"{name}: exit code {process.returncode}: {lines[-1].strip()}; see {log}")
