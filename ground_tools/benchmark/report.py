"""The figures as docs/performance.json, as a part of docs/performance.md and as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ground_tools.benchmark.comparison import EngineRow
from ground_tools.benchmark.costs import Cost
from ground_tools.benchmark.engines import EXACT, ROUNDED
from ground_tools.benchmark.performance import Performance
from ground_tools.foundation.json_records import read_json, to_plain
from ground_tools.pages.blocks import Block, Gallery, Heading, Picture, Table, Text, number
from ground_tools.pages.charts import PALETTE, in_style, new_figure, write_vector_chart
from ground_tools.pages.markdown import markdown
from ground_tools.pages.sections import check_section, write_section

MARK = "benchmark"
PAGE, RECORD, PICTURES = "performance.md", "performance.json", Path("images") / "performance"
_NAMES = {"auto": "closed form", "passes": "whole passes"}


def check_page(docs: Path) -> None:
    """Raise ValueError unless the page has a place for the figures."""
    check_section(docs / PAGE, MARK)


def write_page(performance: Performance, docs: Path) -> None:
    """Write page, record and pictures. What other commands put into the record stays."""
    record = read_json(docs / RECORD) | to_plain(performance)
    for name, figure in _charts(performance).items():
        write_vector_chart(docs / PICTURES / name, figure)
    write_section(docs / PAGE, MARK, markdown(blocks(performance), str(PICTURES)), record, docs / RECORD)


def blocks(performance: Performance) -> list[Block]:
    """The figures as blocks of a page."""
    return [
        *_engine_blocks(performance),
        *_floor_blocks(performance),
        *_service_blocks(performance),
        *_cost_blocks(performance),
    ]


def engine_table(performance: Performance) -> Table:
    """A row for each engine. P is "> 20" for one that with 20 passes does not have the error of ours."""
    head = [
        *("engine", "P", "ms per frame", "spread", "ratio", "spread of the ratio"),
        *("error of p", "error of H, nat", "a pass is off by"),
    ]
    return Table(head, [_row(row) for row in performance.engines.values()])


def problems(performance: Performance) -> list[str]:
    """Why engines were not timed, a line each."""
    rows = performance.engines.values()
    return [f"{row.label}: {row.problem}." for row in rows if row.problem is not None]


def service_table(performance: Performance) -> Table:
    """What the service costs."""
    found = performance.service
    rate = "none of those tried" if found.flyby_rate_hz is None else f"{found.flyby_rate_hz:g} frames/s"
    spread = f"{100 * found.least_overhead:+.1f} to {100 * found.largest_overhead:+.1f} %"
    rows = [
        ["whole passes: bare runs of the interpreters, ms per frame", f"{found.bare_ms:g}"],
        ["whole passes: service, frame sent to product received, ms", f"{found.whole_ms:g}"],
        ["overhead of the service over its bare passes, median", f"{100 * found.overhead:+.1f} % ({spread})"],
        ["default engine: service, frame sent to product received, ms", f"{found.frame_ms:g}"],
        ["overhead of the service over the engine alone, median", f"{100 * found.engine_overhead:+.1f} %"],
        [f"the same over {found.frames} frames: p50, p99, ms", f"{found.p50_ms:g}, {found.p99_ms:g}"],
        ["resident memory of service and worker, MB", f"{found.rss_mb:g}"],
        ["the same, pages that both have counted once, MB", f"{found.pss_mb:g}"],
        ["from start to ready, s", f"{found.ready_s:g}"],
        ["from start to the first product with maps, s", f"{found.cold_start_s:g}"],
        [
            f"frames of the flyby ({found.flyby_frames}) answered at {found.demo_rate_hz:g} frames/s",
            f"{100 * found.answered_share:.1f} %",
        ],
        ["largest rate tried at which none of them is lost", rate],
    ]
    return Table(["service", "figure"], rows)


def _row(row: EngineRow) -> list[str]:
    off = "-" if row.pass_difference is None else f"{row.pass_difference:.4f}"
    if row.problem is not None:
        return [row.label, *["-"] * 7, off]
    return [
        row.label,
        str(row.passes) if row.equal_error else f"> {row.passes}",
        number(row.median_ms, 0),
        f"{number(row.least_ms, 0)} to {number(row.largest_ms, 0)}",
        number(row.ratio_to_ours, 2),
        f"{number(row.least_ratio, 2)} to {number(row.largest_ratio, 2)}",
        number(row.probability_error, 4),
        number(row.entropy_error_nat, 3),
        off,
    ]


def _engine_blocks(performance: Performance) -> list[Block]:
    p = performance
    versions = ", ".join(f"{name} {version}" for name, version in p.machine.versions.items())
    return [
        Heading("Engines at equal error", 2),
        Text(
            f"{p.bundle} {p.version}, {p.networks} networks, {p.threads} threads. {p.machine.sentence()}. {versions}."
        ),
        Text(
            f"Medians of {p.rounds} interleaved rounds; a ratio is that of two times of one round. Errors are means "
            f"over the pixels of {p.frames} frames, against {p.reference_passes} passes in float32, which are off by "
            f"{p.reference_noise.entropy:.3f} nat themselves. Ours has P = {p.passes}. An engine with a lower error "
            "has the passes that give it the error of ours. One with a higher error has as many as ours (>): it would "
            "need more, if rounding let it get there at all, and its ratio is too small."
        ),
        engine_table(p),
        *([Text("Rows without figures. " + " ".join(problems(p)))] if problems(p) else []),
        Text(
            "All whole passes have the same masks, as inputs, and give the same scores: before it is timed, an "
            "engine's first pass is compared with that of float32 (bound of the mean difference of the probabilities: "
            f"{EXACT:g} in float32, {ROUNDED:g} in fewer bits). Drawing and setting the masks counts in our two rows "
            "alone."
        ),
    ]


def _floor_blocks(performance: Performance) -> list[Block]:
    floor = performance.floor
    labels = {name: row.label.strip("*") for name, row in performance.engines.items()}
    rows = []
    for name, work in floor.work.items():
        measured = performance.engines[name].median_ms if name in performance.engines else None
        share = "-" if measured is None else f"{100 * floor.floor_ms[name] / measured:.0f} %"
        cells = [f"{work:g}", f"{floor.floor_ms[name]:g}", number(measured, 0), share]
        rows.append([labels.get(name, name), *cells])
    return [
        Heading("The floor", 2),
        Text(
            f"int8 products that a well-shaped convolution makes here in a second: {floor.peak:g} 10^9, the most of "
            "several shapes. No frame can be faster than its products over these."
        ),
        Table(["engine", "10^9 products per frame", "floor, ms", "measured, ms", "floor of measured"], rows),
    ]


def _service_blocks(performance: Performance) -> list[Block]:
    return [
        Heading("The service", 2),
        Text(
            "Overheads are medians over interleaved rounds. That over bare passes includes setting the masks, fusion, "
            "softmax, entropies, products, sockets and the checks of memory; below zero, running the networks side by "
            "side saved more than all of that costs. In the flyby every frame has all passes, with no deadline."
        ),
        service_table(performance),
    ]


def _cost_blocks(performance: Performance) -> list[Block]:
    pictures = [
        Picture("passes.svg", "Time and error of a frame by the number of passes"),
        Picture("size.svg", "Time of a frame by the height of the image"),
        Picture("threads.svg", "Time of a frame by the number of threads"),
    ]
    return [
        Heading("Cost against passes, image size and threads", 2),
        Text(f"The last two with P = {performance.passes}. The error is that of the entropy, of one frame."),
        Gallery(pictures),
    ]


def _charts(performance: Performance) -> dict[str, Figure]:
    curves = performance.curves
    return {
        "passes.svg": _draw_passes(curves.passes),
        "size.svg": _draw_costs(curves.size, "height of the image, px"),
        "threads.svg": _draw_costs(curves.threads, "threads"),
    }


@in_style
def _draw_passes(costs: dict[str, list[Cost]]) -> Figure:
    figure, axes = new_figure(2)
    _draw_times(axes[0, 0], costs, "passes")
    for (kind, points), color in zip(costs.items(), PALETTE, strict=False):
        errors: Any = [point.entropy_error_nat for point in points]
        axes[0, 1].plot([point.by for point in points], errors, "o-", color=color, label=_NAMES[kind])
    _set_axes(axes[0, 1], "passes", "error of the entropy, nat", costs)
    return figure


@in_style
def _draw_costs(costs: dict[str, list[Cost]], by: str) -> Figure:
    figure, axes = new_figure(1)
    _draw_times(axes[0, 0], costs, by)
    return figure


def _draw_times(axis: Any, costs: dict[str, list[Cost]], by: str) -> None:
    for (kind, points), color in zip(costs.items(), PALETTE, strict=False):
        axis.plot(
            [point.by for point in points], [point.median_ms for point in points], "o-", color=color, label=_NAMES[kind]
        )
    _set_axes(axis, by, "ms per frame", costs)


def _set_axes(axis: Any, across: str, up: str, costs: dict[str, list[Cost]]) -> None:
    ticks = sorted({point.by for points in costs.values() for point in points})
    axis.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
    axis.set_xticks([], minor=True)
    axis.legend(frameon=False)
