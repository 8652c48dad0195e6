"""The layouts that can be imported, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ground_tools.datasets.pairs import write_pairs
from ground_tools.foundation.progress import progress
from ground_tools.missions.layouts import ImportOptions, Layout
from ground_tools.missions.mars.importers import COPY, ORIGINAL
from ground_tools.missions.moon.importers import CHANGE_FRAMES, LANDSCAPES
from ground_tools.missions.multitask.importers import AERIAL, FRAMES
from ground_tools.missions.spacecraft.importers import CURATED, PUBLISHED

LAYOUTS: dict[str, Layout] = {
    "lunar-landscapes": LANDSCAPES,
    "change-frames": CHANGE_FRAMES,
    "ai4mars": ORIGINAL,
    "ai4mars-256": COPY,
    "spacecraft": PUBLISHED,
    "spacecraft-curated": CURATED,
    "aerial": AERIAL,
    "frames": FRAMES,
}


def import_set(layout: str, folder: Path, out: Path, options: ImportOptions) -> dict[str, Any]:
    """Read a folder in a layout and write it as a set; returns the set's description.

    Raises:
        ValueError: the folder is not laid out so, or its images and masks do not fit.
    """
    about, pairs = LAYOUTS[layout].read(folder, options)
    return write_pairs(progress(pairs, unit="image", label=about.name), about, out)
