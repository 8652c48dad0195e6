"""Frame sources by the kind that a scenario names."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from hil.sources.frames import FrameStream

# Kind -> module and function, imported when the kind is used: some need packages that others do not.
# The function gets the source's table, the folder that relative paths begin in, and the number of frames wanted.
OPENERS = {
    "flyby": ("hil.sources.folder_frames", "open_flyby"),
    "folder": ("hil.sources.folder_frames", "open_folder"),
    "dataset": ("hil.sources.dataset", "open_dataset"),
    "drawn": ("hil.sources.drawn", "open_drawn"),
    "recording": ("hil.sources.recording", "open_recording"),
    "rendered": ("hil.sources.rendered", "open_rendered"),
    "remote": ("hil.sources.remote", "open_remote"),
}


class SourceError(ValueError):
    """A frame source that cannot be opened; the message names it."""


def open_frames(source: Any, beside: Path, count: int) -> FrameStream:
    """Open a scenario's frame source.

    Args:
        source: its table, one of hil.scenarios.source_tables.
        beside: folder that relative paths begin in.
        count: number of frames wanted; stored ones are spread evenly over them.

    Raises:
        SourceError, ValueError, OSError: there is none, it has no frames, or what reads it is not installed.
    """
    module, name = OPENERS[source.kind]
    try:
        opener: Callable[[Any, Path, int], FrameStream] = getattr(import_module(module), name)
        return opener(source, beside, count)
    except ModuleNotFoundError as error:
        raise SourceError(f"source.kind: {source.kind}: expected the package {error.name} to be installed") from error
