"""Building the C++ library for tests."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[3]
# pytest's record_property: name, value. `python -m tests.flight.gnc.measure` reads what was recorded.
Record = Callable[[str, object], None]


def run(*command: object, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command that must succeed."""
    arguments = [str(argument) for argument in command]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{arguments}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done


def configure(folder: Path, preset: str, *options: str) -> Path:
    """Configure a build in the folder after a preset of CMakePresets.json."""
    run("cmake", "-S", ROOT, "--preset", preset, "-B", folder, *options)
    return folder


def compile_targets(folder: Path, *targets: str) -> None:
    """Build the targets, all when none is named."""
    named = ["--target", *targets] if targets else []
    run("cmake", "--build", folder, "--parallel", "2", *named)
