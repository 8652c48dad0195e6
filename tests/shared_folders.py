"""Folders that take long to make, made once in a test run by whichever of its processes asks first."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def share_folder(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that all processes of this test run share; tests must leave it as it is.

    Args:
        factory: pytest's.
        name: of the folder, one for each content.
        make: fills the folder, which does not exist yet; what it raises is raised here, in each process that asks.

    Returns:
        The folder, made: by this process, or by another one while this one waited.
    """
    base = factory.getbasetemp()
    # With pytest-xdist each process has a folder of its own in one of the run.
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return fill_once(root / f"shared_{name}", make)


def fill_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder, filled by `make` in whichever process comes first; it lies in one that exists."""
    finished = folder.with_name(f"{folder.name}.finished")
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            make(folder)
            finished.touch()
    return folder
