"""Charts in one style, and their files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from PIL import Image

from ground_tools.foundation.files import write_whole

PALETTE = ("#1f4e79", "#c8553d", "#3a7d44", "#7a5195")
_PANEL = 3.6
_DOTS_PER_INCH = 80


def new_figure(columns: int, rows: int = 1, width: float = _PANEL, height: float = 3.2) -> tuple[Any, np.ndarray]:
    """A figure and its axes, (rows, columns)."""
    with mpl.rc_context({"font.size": 9, "axes.grid": True, "grid.alpha": 0.25, "axes.axisbelow": True}):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False)


def legend_below(figure: Any, axis: Any, columns: int) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=9, frameon=False)


def write_chart(path: Path, figure: Any) -> None:
    """Write a matplotlib figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    # A table of 128 colours makes a chart a third of its size, and nobody sees it.
    small = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    write_whole(path, small.getvalue())
