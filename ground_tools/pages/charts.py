"""Charts in one style, and their files: colours, fonts and sizes stand here alone."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ground_tools.foundation.files import write_whole

# Lines that stand beside each other; the mean of several things; one thing alone; what charts need to be read by.
PALETTE = ("#1f4e79", "#c8553d", "#3a7d44", "#7a5195")
MEAN_COLOR = "#b00020"
PLAIN_COLOR = PALETTE[0]
GUIDE_COLOR = "0.4"
# Of a line at a value that was chosen, and at one to compare with.
CHOSEN = {"color": GUIDE_COLOR, "linewidth": 1.0, "linestyle": ":"}
COMPARED = {"color": GUIDE_COLOR, "linewidth": 0.8, "linestyle": "--"}
SMALL_FONT = 8
# Points; inches.
_STYLE: Any = {
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "legend.fontsize": SMALL_FONT,
    "lines.markersize": 3,
}
_PANEL = 3.6
_DOTS_PER_INCH = 80
_COLORS_OF_A_FILE = 128
# Of red, green and blue (ITU-R BT.601); of a line on white paper.
_LIGHTNESS = (0.299, 0.587, 0.114)
_MOST_LIGHTNESS = 0.8

_Arguments = ParamSpec("_Arguments")


def in_style(draw: Callable[_Arguments, Figure]) -> Callable[_Arguments, Figure]:
    """A function that draws a chart, in the style of all charts: fonts, grid and legends of what it draws."""

    @functools.wraps(draw)
    def styled(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Figure:
        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


def new_figure(columns: int, rows: int = 1, width: float = _PANEL, height: float = 3.2) -> tuple[Figure, np.ndarray]:
    """A figure and its axes, (rows, columns). width, height: of each, inches."""
    figure = Figure(figsize=(width * columns, height * rows), dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def legend_below(figure: Figure, axis: Any) -> None:
    """One legend for a whole figure, from the labels of one of its axes, in as few rows as its width takes."""
    handles, labels = axis.get_legend_handles_labels()
    for rows in range(1, len(labels) + 1):
        columns = -(-len(labels) // rows)
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def class_colors(classes: Any) -> dict[str, tuple[float, ...]]:
    """Name of a class -> its colour for matplotlib. classes: with `name` and `color`, as a bundle has them."""
    return {c.name: plot_color(c.color) for c in classes}


def plot_color(color: tuple[int, int, int]) -> tuple[float, ...]:
    """A colour of bytes, red green blue, for matplotlib; darker where it could not be told from the paper."""
    lightness = float(np.dot(_LIGHTNESS, color)) / 255.0
    return tuple(channel / 255.0 * min(1.0, _MOST_LIGHTNESS / max(lightness, 1e-9)) for channel in color)


def write_chart(path: Path, figure: Figure, all_colors: bool = False) -> None:
    """Write a matplotlib figure as PNG. all_colors: for one with pictures in it, whose shades would show steps."""
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format="png")
    if not all_colors:
        # A table of colours makes a chart a third of its size, and nobody sees it.
        small = io.BytesIO()
        table = Image.open(buffer).convert("RGB").quantize(_COLORS_OF_A_FILE, dither=Image.Dither.NONE)
        table.save(small, "PNG", optimize=True)
        buffer = small
    write_whole(path, buffer.getvalue())


def write_vector_chart(path: Path, figure: Figure) -> None:
    """Write a matplotlib figure as SVG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": "rubblemap"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_whole(path, buffer.getvalue())
