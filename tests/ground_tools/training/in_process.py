"""Trainings that a command starts as processes, in the tests' own process."""

from __future__ import annotations

import subprocess
from typing import IO

from tests.ground_tools.conftest import ground_tools


def train_here(command: list[str], stdout: IO[str], **_: object) -> subprocess.CompletedProcess[str]:
    """What a comparison starts as a process, in this one, which has imported TensorFlow."""
    done = ground_tools(*command[3:])
    stdout.write(done.stdout + done.stderr)
    return done
