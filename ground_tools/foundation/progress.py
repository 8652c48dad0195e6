"""How far long work has come: a bar on a terminal; elsewhere, as in a log, a line every minute."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TextIO

from tqdm import tqdm

_LINE_INTERVAL_S = 60.0


class _Lines:
    """A stream on which every state of a bar is a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        if state := text.strip():
            self._stream.write(f"{state}\n")

    def flush(self) -> None:
        self._stream.flush()


def progress(
    items: Iterable[Any] | None = None,
    *,
    unit: str,
    label: str | None = None,
    total: int | None = None,
    done: int = 0,
    keep: bool = True,
) -> Any:
    """Report progress on stderr.

    Args:
        items: to be gone through; None for work that calls `update(count)` of the bar that is returned.
        unit: what is counted, in the singular.
        label: what is done, shown before the counts.
        total: of how many; None for the length of `items`.
        done: so many were done before.
        keep: whether the bar stays on the terminal at the end.

    Returns:
        The bar of tqdm: an iterator over `items` and a context manager.
    """
    common: dict[str, Any] = {"unit": unit, "desc": label, "total": total, "initial": done, "leave": keep}
    if sys.stderr.isatty():
        return tqdm(items, file=sys.stderr, **common)
    seconds = {"mininterval": _LINE_INTERVAL_S, "maxinterval": _LINE_INTERVAL_S}
    return tqdm(items, file=_Lines(sys.stderr), ncols=0, **seconds, **common)
