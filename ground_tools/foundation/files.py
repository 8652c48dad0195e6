"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import flight.files


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; makes its folder. Raises OSError that names it when it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flight.files.write_whole(path, data)


def remove_parts(*folders: Path) -> None:
    """Remove what a killed writer left behind."""
    for folder in folders:
        for path in folder.glob(".*.part"):
            path.unlink()
