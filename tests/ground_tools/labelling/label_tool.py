"""`ground-tools label` in the test's own process."""

from __future__ import annotations

from pathlib import Path

from ground_tools.cli import main


def label(*arguments: object, images: Path, labels: Path, expect: int = 0) -> None:
    """Run `ground-tools label`."""
    command = ["label", *map(str, arguments), "--real-images", str(images), "--labels", str(labels)]
    assert main(command) == expect
