"""Measures how long another process has been silent, in time in which it could have spoken and the service listened."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

# The loop turns at least this often; more than a few of these between two readings of the clock is a standstill.
_TURN_S = 0.05
_LATE_S = 0.2
# A process is looked at in /proc once it has been silent for this long, and then not so often that it takes more than
# this share of the time: on a slow board with one processor it is the process's own.
_LOOK_S = 0.25
_LOOK_SHARE = 0.05
# However little of the processor a process gets, in this many times its limit it must have said something.
_MOST_TIMES = 10.0
# A process that ran for this share of its silence is at work, and not waiting for something.
_AT_WORK = 0.5


class RunningClock:
    """Counts the time in which the service itself ran.

    When the machine stands still (a paused virtual machine, a stopped process, a processor that others use up, a
    storage that blocks), nobody can speak, and whoever goes on first must not take the time for the other's silence. So
    of the time between two readings that is longer than a turn of the loop takes, one turn counts.
    """

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._counted = 0.0

    def read(self) -> float:
        """The time counted so far, seconds; to be read in every turn of the loop."""
        now = time.monotonic()
        step, self._last = now - self._last, now
        self._counted += step if step <= _LATE_S else _TURN_S
        return self._counted


@dataclass(frozen=True)
class _Thread:
    """A thread at one moment: whether it could run, and the seconds that it has run, and waited for a processor.

    Where the kernel does not count waits, waited_s is None.
    """

    runnable: bool
    ran_s: float
    waited_s: float | None


class SilenceTimer:
    """Measures the silence of one process, and leaves out the time in which it waited for a processor."""

    def __init__(self, clock: RunningClock) -> None:
        """Start counting now. clock: of the service."""
        self._clock = clock
        self._next_look = 0.0  # monotonic clock
        self.begin_job()

    def begin_job(self) -> None:
        """Count a new job, and silence, from now on."""
        self._job_began, self._job_waits = self._clock.read(), 0.0
        self.begin_silence()

    def begin_silence(self) -> None:
        """Count silence from now on: the process has said something, or was given something to answer."""
        self._heard, self._waits, self._ran = self._clock.read(), 0.0, 0.0
        self._looked: tuple[float, dict[str, _Thread]] | None = None

    def look(self, pid: int) -> None:
        """Find out how long a silent process has waited for a processor since the last look."""
        now = self._clock.read()
        if now - self._heard < _LOOK_S or time.monotonic() < self._next_look:
            return
        began = time.thread_time()
        threads = _read_threads(pid)
        # Of the processor's time alone: on a busy computer a look waits for a processor itself, and takes none.
        self._next_look = time.monotonic() + (time.thread_time() - began) / _LOOK_SHARE
        if self._looked is not None:
            before, known = self._looked
            pairs = [(known[name], thread) for name, thread in threads.items() if name in known]
            waits = (_find_wait(first, second, now - before) for first, second in pairs)
            wait = min(max(waits, default=0.0), now - before)
            self._waits += wait
            self._job_waits += wait
            self._ran += min(max((second.ran_s - first.ran_s for first, second in pairs), default=0.0), now - before)
        self._looked = now, threads

    @property
    def at_work(self) -> bool:
        """Whether the process ran for most of its silence, as far as it was looked at, and of what it did not wait."""
        return self._looked is not None and self._ran > _AT_WORK * (self.silence_s() - self._waits)

    def silence_s(self, limit_s: float = 0.0) -> float:
        """How long the process has been silent, seconds. limit_s: that this is compared with."""
        return _leave_out(self._clock.read() - self._heard, self._waits, limit_s)

    def job_s(self, limit_s: float) -> float:
        """How long the process has been at its job, seconds. limit_s: that this is compared with."""
        return _leave_out(self._clock.read() - self._job_began, self._job_waits, limit_s)


def _leave_out(passed_s: float, waited_s: float, limit_s: float) -> float:
    return max(passed_s - waited_s, passed_s - _MOST_TIMES * limit_s)


def _find_wait(before: _Thread, now: _Thread, interval_s: float) -> float:
    """How long a thread waited for a processor in an interval. The kernel adds a wait up once it has ended."""
    if now.waited_s is None or before.waited_s is None:
        # What it did not run of an interval at both ends of which it could.
        return interval_s - (now.ran_s - before.ran_s) if before.runnable and now.runnable else 0.0
    if before.runnable and now.runnable and now.ran_s == before.ran_s:
        return interval_s
    return now.waited_s - before.waited_s


def _read_threads(pid: int) -> dict[str, _Thread]:
    """The threads of a process by id; none where /proc does not say."""
    threads = {}
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = (task / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
                ran_s: float = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                waited_s = None
                # Kernels that do not count waits have no such file, or one of zeros.
                with contextlib.suppress(OSError, ValueError):
                    ran, waited, slices = map(int, (task / "schedstat").read_text(encoding="ascii").split())
                    if slices > 0:
                        ran_s, waited_s = 1e-9 * ran, 1e-9 * waited
                threads[task.name] = _Thread(fields[0] == "R", ran_s, waited_s)
    return threads
