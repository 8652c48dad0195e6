"""Checks that several commands make of their arguments."""

from __future__ import annotations

import argparse
from collections.abc import Mapping


def check_limits(arguments: argparse.Namespace, limits: Mapping[str, tuple[int, int]]) -> None:
    """Raise ValueError naming the first option whose number is not within its (least, largest)."""
    for name, (low, high) in limits.items():
        value = getattr(arguments, name)
        if not low <= value <= high:
            raise ValueError(f"--{name}: expected {low}..{high}, got {value}")
