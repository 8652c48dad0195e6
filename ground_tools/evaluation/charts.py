"""Charts of an evaluation, one function each, in the style of pages/charts.py; every one returns a figure."""

from __future__ import annotations

import itertools
import math
from typing import Any

import matplotlib as mpl
import matplotlib.ticker
import numpy as np
from matplotlib.figure import Figure
from msgspec import UNSET

from flight.bundle import Bundle
from ground_tools.evaluation.figures import result_key
from ground_tools.evaluation.hazards import KINDS, OBJECT_SIZES
from ground_tools.evaluation.results import DisturbanceFigures, GammaSweep, ModeFigures, RiskFigures, ThresholdSweeps
from ground_tools.evaluation.risk_choice import LEAST_COVERAGE, measured_risks
from ground_tools.evaluation.statistics import ImageStatistics, rock_range
from ground_tools.metrics.calibration import CALIBRATION_BINS, expected_calibration_error
from ground_tools.metrics.error_detection import (
    BINS,
    area_under_roc,
    average_precision,
    certainty,
    precision_recall,
    risk_coverage,
    roc,
)
from ground_tools.metrics.iou import image_ious
from ground_tools.pages.charts import (
    CHOSEN,
    COMPARED,
    GUIDE_COLOR,
    MEAN_COLOR,
    PALETTE,
    PLAIN_COLOR,
    SMALL_FONT,
    class_colors,
    in_style,
    legend_below,
    new_figure,
)


def _modes(bundle: Bundle) -> list[tuple[str, str]]:
    """The modes with a colour each."""
    return list(zip(bundle.modes, itertools.cycle(PALETTE), strict=False))


@in_style
def cumulative_iou(bundle: Bundle, statistics: ImageStatistics, title: str) -> Figure:
    """Per mode: for each class, the share of the images that show it whose IoU is no better than x."""
    figure, axes = new_figure(len(bundle.modes))
    colors = class_colors(bundle.classes)
    for number, (axis, mode) in enumerate(zip(axes[0], bundle.modes, strict=True)):
        ious = image_ious(statistics.confusion[:, number])
        for index, (name, color) in enumerate(colors.items()):
            values = np.sort(ious[~np.isnan(ious[:, index]), index])
            if len(values):
                shares = np.arange(len(values) + 1) / len(values) * 100.0
                ends = [0.0, *(values * 100.0), 100.0]
                axis.step(ends, [*shares, 100.0], where="post", color=color, label=name, linewidth=1.8)
        axis.set(title=mode, xlabel="IoU, %", ylabel="images no better, %", xlim=(0, 100.5), ylim=(0, 101))
    figure.suptitle(title)
    legend_below(figure, axes[0, 0])
    return figure


@in_style
def confusion(bundle: Bundle, statistics: ImageStatistics, title: str) -> Figure:
    """Per mode: of the pixels of each true class, per cent that were given each class."""
    figure, axes = new_figure(len(bundle.modes), width=3.4 + 1.3 / len(bundle.modes), height=4.6)
    names = [definition.name for definition in bundle.classes]
    for number, (axis, mode) in enumerate(zip(axes[0], bundle.modes, strict=True)):
        counts = statistics.confusion[:, number].sum(axis=0).astype(np.float64)
        shares = 100.0 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
        image: Any = axis.imshow(shares, cmap="Blues", vmin=0.0, vmax=100.0)
        for row, column in np.ndindex(shares.shape):
            ink = "white" if shares[row, column] > 55.0 else "black"
            axis.text(
                column, row, f"{shares[row, column]:.1f}", ha="center", va="center", color=ink, fontsize=SMALL_FONT
            )
        axis.set(title=mode, xlabel="predicted", ylabel="true" if number == 0 else "")
        axis.set_xticks(range(len(names)), names, rotation=35, ha="right")
        axis.set_yticks(range(len(names)), names if number == 0 else [""] * len(names))
        axis.grid(False)
    figure.colorbar(image, ax=list(axes[0]), label="% of the true class's pixels", shrink=0.7)
    figure.suptitle(title)
    return figure


@in_style
def hazards(statistics: ImageStatistics, title: str) -> Figure:
    """What becomes of boulders and craters by their size, and the reliability of the hazard probability."""
    figure, axes = new_figure(2, width=4.6, height=4.0)
    found, diagram = axes[0]
    objects = statistics.objects.sum(axis=0)
    for kind, of_kind, color in zip(KINDS, objects, PALETTE[:2], strict=True):
        some = of_kind[:, 0] > 0
        sizes = np.array(OBJECT_SIZES)[some]
        count, called, offered = of_kind[some].T
        found.plot(sizes, 100.0 * called / count, color=color, marker="o", label=f"{kind}, found")
        found.plot(sizes, 100.0 * offered / count, color=color, linestyle="--", label=f"{kind}, offered as safe")
    found.set(
        xlabel="visible pixels, at least", ylabel="%", xlim=(4, 200), ylim=(0, 100), xscale="log", title="by size"
    )
    found.set_xticks(OBJECT_SIZES, [str(size) for size in OBJECT_SIZES])
    found.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    legend_below(figure, found)
    pixels, unsafe, confidence = statistics.hazard_calibration
    some = pixels >= 100
    diagram.plot([0, 100], [0, 100], **CHOSEN)
    diagram.plot(100.0 * confidence[some] / pixels[some], 100.0 * unsafe[some] / pixels[some], marker="o")
    labels = {"xlabel": "hazard probability, %", "ylabel": "pixels that are no safe ground, %"}
    diagram.set(**labels, xlim=(0, 100), ylim=(0, 100), title="reliability on the body")
    figure.suptitle(title)
    return figure


@in_style
def risk(
    bundle: Bundle, figures: dict[str, RiskFigures], statistics: ImageStatistics, views: np.ndarray, title: str
) -> Figure:
    """Every promised risk with the measured one, and the measured risk over what is left unmarked. figures: by mode."""
    figure, axes = new_figure(2, width=4.6, height=4.0)
    kept, curve = axes[0]
    kept.plot([0, 10], [0, 10], **CHOSEN)
    for number, (mode, color) in enumerate(_modes(bundle)):
        risks, coverage = (values.mean(axis=0) for values in measured_risks(statistics.claims[:, number], views))
        some = coverage >= LEAST_COVERAGE
        curve.plot(100.0 * coverage[some], 100.0 * risks[some], color=color, label=mode)
        if (told := figures.get(result_key(mode))) is None:
            continue
        promised = [100.0 * at.promised for at in told.table]
        measured = np.array([100.0 * at.measured for at in told.table])
        ends = np.array([at.measured_interval or (at.measured, at.measured) for at in told.table]).T * 100.0
        # A bootstrap's interval need not hold the value that it is of.
        spread = np.maximum([measured - ends[0], ends[1] - measured], 0.0)
        kept.errorbar(promised, measured, yerr=spread, color=color, marker="o", capsize=2, label=mode)
        curve.plot([100.0 * at.coverage for at in told.table], measured, color=color, linestyle="", marker="o")
    kept.set(
        xlabel="promised, %", ylabel="measured, %", xlim=(0, None), ylim=(0, None), title="kept: below the dotted line"
    )
    curve.set(xlabel="unmarked, %", ylabel="wrong of it, %", xlim=(0, 100), ylim=(0, None), title="dots: promised")
    legend_below(figure, curve)
    figure.suptitle(title)
    return figure


@in_style
def calibration(bundle: Bundle, statistics: ImageStatistics, title: str) -> Figure:
    """Reliability diagram of every mode, with and without dropout, and how the confidence is distributed."""
    figure, axes = new_figure(2, width=4.6, height=4.0)
    diagram, spread = axes[0]
    diagram.plot([0, 100], [0, 100], **CHOSEN)
    middles = (np.arange(CALIBRATION_BINS) + 0.5) / CALIBRATION_BINS * 100.0
    for number, (mode, color) in enumerate(_modes(bundle)):
        passes, single = statistics.calibration[number], statistics.calibration_deterministic[number]
        for counts, style, what in ((passes, "-", "passes"), (single, "--", "no dropout")):
            error = expected_calibration_error(counts) * 100.0
            pixels, right, confidence = counts
            # A bin of a few pixels tells nothing.
            some = pixels >= 100
            label = f"{mode}, {what}: ECE {error:.1f} %"
            marker = "o" if style == "-" else None
            diagram.plot(
                100.0 * confidence[some] / pixels[some],
                100.0 * right[some] / pixels[some],
                color=color,
                linestyle=style,
                marker=marker,
                label=label,
            )
        share = 100.0 * passes[0] / passes[0].sum()
        spread.step(middles, share, where="mid", color=color, label=mode)
    diagram.set(xlabel="confidence, %", ylabel="accuracy, %", xlim=(0, 100), ylim=(0, 100), title="reliability")
    legend_below(figure, diagram)
    spread.set(xlabel="confidence, %", ylabel="pixels, %", title="pixels in each bin", yscale="log", xlim=(0, 100))
    spread.yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
    spread.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    spread.set_ylim(0.01, 130)
    spread.legend()
    figure.suptitle(title)
    return figure


@in_style
def error_detection(bundle: Bundle, statistics: ImageStatistics, title: str) -> Figure:
    """How well entropy and mutual information find the wrong pixels: ROC, precision, risk, and the flown threshold."""
    figure, axes = new_figure(2, 2, width=4.6, height=3.5)
    (rates, precision), (risk, certain) = axes
    thresholds = np.arange(BINS) / BINS
    for number, (mode, color) in enumerate(_modes(bundle)):
        entropy, mutual = statistics.entropy_histogram[number], statistics.mutual_histogram[number]
        for histogram, style, what in ((entropy, "-", "entropy"), (mutual, "--", "mutual information")):
            areas = f"AUROC {area_under_roc(histogram):.3f}, AUPR {average_precision(histogram):.3f}"
            false, true = roc(histogram)
            rates.plot(100 * false, 100 * true, color=color, linestyle=style, label=f"{mode}, {what}: {areas}")
            share, recall = precision_recall(histogram)
            precision.plot(100 * recall, 100 * share, color=color, linestyle=style)
            coverage, wrong = risk_coverage(histogram)
            risk.plot(100 * coverage, 100 * wrong, color=color, linestyle=style)
        accurate, uncertain = certainty(statistics.scaled_histogram[number])
        certain.plot(thresholds, 100 * accurate, color=color)
        certain.plot(thresholds, 100 * uncertain, color=color, linestyle="--")
    certain.plot([], [], color=GUIDE_COLOR, label="p(accurate | certain)")
    certain.plot([], [], color=GUIDE_COLOR, linestyle="--", label="p(uncertain | wrong)")
    certain.axvline(bundle.uncertainty_threshold, **CHOSEN, label="as shipped")
    certain.legend()
    rates.set(xlabel="right pixels raised, %", ylabel="wrong pixels raised, %", title="ROC")
    precision.set(xlabel="wrong pixels raised, %", ylabel="wrong among the raised, %", title="precision")
    kept = "pixels kept, the most certain first, %"
    risk.set(xlabel=kept, ylabel="wrong among the kept, %", title="risk and coverage", ylim=(0, None))
    certain.set(xlabel="threshold on the scaled entropy", ylabel="%", title="thresholds", xlim=(0, 1))
    for axis in (rates, precision, certain):
        axis.set(ylim=(0, 101))
    for axis in (rates, precision, risk):
        axis.set(xlim=(0, 101))
    legend_below(figure, rates)
    figure.suptitle(title)
    return figure


@in_style
def flyby(bundle: Bundle, figures: dict[str, ModeFigures], title: str) -> Figure:
    """IoU of each class and mean entropy along a flyby, over time and over range; one row per mode that has flown it.

    figures: by the key of the mode.
    """
    flown = {mode: figures[result_key(mode)].along for mode in bundle.modes}
    along = {mode: rows for mode, rows in flown.items() if rows is not UNSET}
    figure, axes = new_figure(3, len(along), width=3.9, height=3.0)
    colors = class_colors(bundle.classes)
    for line, (mode, rows) in zip(axes, along.items(), strict=True):
        times = np.array([row.time_s for row in rows]) / 60.0
        ranges = np.array([row.range_d0 for row in rows])
        order = np.argsort(ranges)
        for name, color in colors.items():
            values = np.array([row.iou[name] for row in rows], dtype=np.float64) * 100.0
            line[0].plot(times, values, color=color, label=name, marker=".", linewidth=1.2)
            line[1].plot(ranges[order], values[order], ".", color=color, markersize=4)
        mious = np.array([row.miou for row in rows]) * 100.0
        line[0].plot(times, mious, color=MEAN_COLOR, label="mean", linewidth=2.0)
        line[1].plot(ranges[order], mious[order], ".", color=MEAN_COLOR, markersize=5)
        entropies = np.array([row.entropy for row in rows])
        line[2].plot(times, entropies, color=PLAIN_COLOR, marker=".")
        line[0].set(xlabel="minutes from closest approach", ylabel=f"{mode}: IoU, %", ylim=(0, 101))
        line[1].set(xlabel="range / D0", ylabel="IoU, %", ylim=(0, 101))
        line[2].set(xlabel="minutes from closest approach", ylabel="mean entropy, nats", ylim=(0, None))
    figure.suptitle(title)
    legend_below(figure, axes[0, 0])
    return figure


@in_style
def gamma_sweep(bundle: Bundle, sweep: GammaSweep, title: str) -> Figure:
    """mIoU, the boulders' IoU, and the share of rocks' pixels found by their size, over gamma."""
    figure, axes = new_figure(3, width=3.9, height=3.5)
    mean, boulders, rocks = axes[0]
    gammas = sweep.gammas
    mean.plot(gammas, np.array(sweep.miou) * 100.0, color=MEAN_COLOR, marker="o")
    mean.set(ylabel="mIoU, %", title="all classes")
    mixed = [definition.name for definition, rule in zip(bundle.classes, _rules(bundle), strict=True) if rule[1]]
    colors = class_colors(bundle.classes)
    for name in mixed:
        values = np.array(sweep.iou[name], dtype=np.float64) * 100.0
        boulders.plot(gammas, values, color=colors[name], marker="o", label=name)
    boulders.set(ylabel="IoU, %", title="classes that gamma mixes")
    boulders.legend()
    sizes = [size for size, pixels in sweep.rock_pixels.items() if pixels]
    for size, shade in zip(sizes, np.linspace(0.3, 0.95, max(len(sizes), 1)), strict=True):
        values = np.array(sweep.rock_recall[size], dtype=np.float64) * 100.0
        rocks.plot(
            gammas,
            values,
            color=mpl.colormaps["YlOrBr"](shade),
            marker="o",
            label=f"{rock_range(size)} px",
        )
    rocks.set(ylabel="pixels called boulders, %", title="rocks by visible size", ylim=(0, 101))
    if sizes:
        rocks.legend(ncols=2)
    first, second = next((rule for rule in _rules(bundle) if rule[1]), ("", ""))
    for axis in axes[0]:
        axis.axvline(sweep.chosen, **CHOSEN)
        axis.set(xlabel=f"gamma (1: {second}, 10: {first})", xlim=(0.8, 10.2), xticks=range(1, 11))
    figure.suptitle(title)
    return figure


def _rules(bundle: Bundle) -> tuple[tuple[str, str | None], ...]:
    return bundle.fusion.classes if bundle.fusion is not None else ()


@in_style
def threshold_sweep(bundle: Bundle, sweeps: ThresholdSweeps, title: str) -> Figure:
    """mIoU of the maps with uncertain pixels marked, over the threshold."""
    figure, axes = new_figure(1, width=5.4, height=3.4)
    axis = axes[0, 0]
    for mode, color in _modes(bundle):
        sweep = sweeps.modes[result_key(mode)]
        mious = np.array([*sweep.miou.values()]) * 100.0
        axis.plot([float(threshold) for threshold in sweep.miou], mious, color=color, marker=".", label=mode)
        axis.axhline(100.0 * sweep.miou_unmarked, **{**COMPARED, "color": color})
    axis.axvline(sweeps.chosen, **CHOSEN, label="as shipped")
    axis.plot([], [], **COMPARED, label="nothing marked")
    axis.set(xlabel="threshold on the scaled entropy", ylabel="mIoU, %", xlim=(0, 1), ylim=(0, None))
    axis.legend()
    figure.suptitle(title)
    return figure


@in_style
def disturbances(bundle: Bundle, figures: DisturbanceFigures, title: str) -> Figure:
    """Mean entropy on disturbed images, by mode, beside the undisturbed ones."""
    figure, axes = new_figure(1, width=8.6, height=4.0)
    axis = axes[0, 0]
    names = list(next(iter(figures.modes.values())))
    width = 0.8 / len(bundle.modes)
    for number, (mode, color) in enumerate(_modes(bundle)):
        rows = figures.modes[result_key(mode)]
        places = np.arange(len(names)) + (number - (len(bundle.modes) - 1) / 2) * width
        axis.bar(places, [rows[name].entropy for name in names], width, color=color, label=mode)
        axis.axhline(rows["none"].entropy, **{**CHOSEN, "color": color})
    top = math.log(len(bundle.classes))
    axis.axhline(top, color=GUIDE_COLOR, linewidth=0.8)
    axis.text(
        len(names) - 0.45, top, f"ln {len(bundle.classes)}, the most", va="bottom", ha="right", fontsize=SMALL_FONT
    )
    axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axis.set(ylabel="mean entropy, nats", ylim=(0, top * 1.12), xlim=(-0.6, len(names) - 0.4))
    axis.plot([], [], **CHOSEN, label="undisturbed")
    legend_below(figure, axis)
    figure.suptitle(title)
    return figure
