"""Charts of a set: class balance, geometry, and where in the image each class lies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ground_tools.datasets.statistics import describe
from ground_tools.datasets.store import known_numbers, read_batches, read_description, read_index, webp_array
from ground_tools.labels.class_table import table_of
from ground_tools.pages.charts import PLAIN_COLOR, SMALL_FONT, in_style, new_figure, plot_color


@in_style
def class_balance(path: Path) -> Figure:
    """Bars per class: mean share of the pixels, and share of the samples that show it."""
    statistics = describe(path)
    names = list(statistics.class_share)
    share, present = (np.array([*of.values()]) for of in (statistics.class_share, statistics.class_present))
    figure, axes = new_figure(2, width=3.5)
    colors = [plot_color(color) for color in table_of(read_description(path)).colors]
    titles = ("mean share of pixels", "samples that show it")
    for axis, values, title in zip(axes[0], (share, present), titles, strict=True):
        bars = axis.barh(names, values * 100.0, color=colors, edgecolor="0.3")
        axis.bar_label(bars, fmt="%.1f", padding=2, fontsize=SMALL_FONT)
        axis.set(xlabel="%", title=title, xlim=(0, max(values) * 115.0))
        axis.grid(False, axis="y")
        axis.invert_yaxis()
    axes[0, 1].set_yticklabels([])
    return figure


@in_style
def geometry(path: Path) -> Figure:
    """Histograms of range and phase angle, all bodies together."""
    index = read_index(path)
    figure, axes = new_figure(2, width=3.5, height=2.8)
    columns = (("range_d0", "range / D0"), ("phase_angle_deg", "phase angle / degrees"))
    for axis, (column, label) in zip(axes[0], columns, strict=True):
        values = known_numbers(index[column].drop_null())
        if not len(values):
            axis.set(xlabel=label, xticks=[], yticks=[], title="not known")
            continue
        axis.hist(values, bins=min(36, max(5, len(values) // 10)), color=PLAIN_COLOR, edgecolor="white", linewidth=0.3)
        axis.set(xlabel=label, ylabel="samples")
    return figure


@in_style
def occurrence(path: Path) -> Figure:
    """Where in the image each class lies: the share of the samples that show it in each pixel."""
    names = read_description(path)["classes"]
    counts, samples = None, 0
    for table in read_batches(path, ["mask"]):
        for data in table["mask"].to_pylist():
            mask = webp_array(data, "mask")
            if counts is None:
                counts = np.zeros((len(names), *mask.shape))
            for index in range(len(names)):
                counts[index] += mask == index
            samples += 1
    assert counts is not None
    figure, axes = new_figure(len(names), width=2.2, height=2.4)
    for axis, name, count in zip(axes[0], names, counts, strict=True):
        image = axis.imshow(count / samples * 100.0, cmap="magma", vmin=0.0)
        axis.set(title=name, xticks=[], yticks=[])
        figure.colorbar(image, ax=axis, orientation="horizontal", pad=0.04, label="% of samples")
    return figure


# By the name that their files have; of images whose geometry is not known, as of real ones, there is no chart of it.
CHARTS: dict[str, Callable[[Path], Figure]] = {
    "classes": class_balance,
    "geometry": geometry,
    "occurrence": occurrence,
}
