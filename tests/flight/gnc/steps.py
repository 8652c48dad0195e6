"""Steps of the integration tests with flight frameworks: long commands, each with a log of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[3]


class StepError(RuntimeError):
    """A step failed; the message names it, its log and the log's end."""


def run_step(
    logs: Path,
    name: str,
    *command: object,
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
) -> None:
    """Run a command, its output going to a log.

    Args:
        logs: folder of the log.
        name: of the step, and of its log.
        command: program and arguments.
        environment: of the process; None for this one's.
        folder: the process's working directory.

    Raises:
        StepError: it failed.
    """
    log = logs / f"{name.replace(' ', '_')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"{name} ...", end=" ", flush=True)
    begin = time.monotonic()
    with log.open("wb") as output:
        arguments = [str(argument) for argument in command]
        done = subprocess.run(arguments, stdout=output, stderr=output, env=environment, cwd=folder, check=False)
    print(f"{time.monotonic() - begin:.0f} s", flush=True)
    if done.returncode != 0:
        end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:])
        raise StepError(f"{name}: expected exit code 0, got {done.returncode}; the end of {log}:\n{end}")


def first_lines(programs: Iterable[str]) -> list[str]:
    """What programs say of their versions, a line each."""
    outputs = [
        subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        for program in programs
    ]
    return [output.splitlines()[0] for output in outputs]
