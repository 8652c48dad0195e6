"""Charts: what must be read on them is on them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from ground_tools.pages.charts import in_style, legend_below, new_figure, plot_color, write_chart


@in_style
def lines(labels: list[str]) -> Figure:
    figure, axes = new_figure(1)
    for number, label in enumerate(labels):
        axes[0, 0].plot([0, 1], [0, number], label=label)
    legend_below(figure, axes[0, 0])
    return figure


@pytest.mark.parametrize(("count", "length"), [(2, 4), (5, 10), (6, 25), (3, 60)])
def test_a_legend_is_as_wide_as_its_figure_at_most(count: int, length: int) -> None:
    figure = lines(["x" * length] * count)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert len(legend.get_texts()) == count
    extent = legend.get_window_extent()
    if count * length > 100:
        assert len({round(text.get_window_extent().y0) for text in legend.get_texts()}) > 1
    if length < 60:
        assert extent.x0 >= 0.0
        assert extent.x1 <= figure.bbox.width


def test_a_chart_is_a_file_of_few_colours(tmp_path: Path) -> None:
    for all_colors in (False, True):
        write_chart(tmp_path / "a" / f"{all_colors}.png", lines(["a"]), all_colors)
        picture = cv2.imread(str(tmp_path / "a" / f"{all_colors}.png"))
        assert picture is not None
        assert picture.shape[:2] == (256, 288)
    sizes = [(tmp_path / "a" / f"{all_colors}.png").stat().st_size for all_colors in (False, True)]
    assert sizes[0] < sizes[1]


def test_a_light_class_is_seen_on_paper() -> None:
    assert plot_color((255, 255, 255)) == pytest.approx((0.8, 0.8, 0.8))
    assert plot_color((0, 0, 0)) == (0.0, 0.0, 0.0)
    assert plot_color((66, 135, 245)) == pytest.approx(np.array([66, 135, 245]) / 255.0)
