"""A run as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from hil.report import charts
from hil.report.charts import Band, Mark, Series
from hil.report.pictures import draw_frame, embed
from hil.report.results import frame_miou
from hil.report.template import fill_page
from hil.runs.record import FrameRecord, Outcome, RunRecord
from hil.runs.runner import Run
from hil.scenarios import criterion_tables as tables

_MOST_ROWS = 200
_SEVERE = ("warning_low", "warning_high", "fatal")
_SEVERITY_COLORS = {"warning_low": charts.ORANGE, "warning_high": charts.RED, "fatal": charts.RED}


def make_page(run: Run) -> str:
    """The report of a run."""
    record = run.record
    return fill_page(
        "hil.report",
        title=escape(f"{record.scenario}: {'passed' if run.passed else 'failed'}"),
        name=escape(record.scenario) + (" (short form)" if record.short else ""),
        about=escape(record.title),
        verdict="passed" if run.passed else "failed",
        sign="✓" if run.passed else "✗",
        facts=_make_facts(record),
        criteria=_make_criteria(run.outcomes),
        charts=_make_charts(run),
        pictures=_make_pictures(run),
        tables=_make_tables(record),
        environment=_make_table(["", ""], [[name, value] for name, value in record.environment.items()]),
    )


def _make_facts(record: RunRecord) -> str:
    given = [frame for frame in record.frames if not frame.dropped]
    answered = [frame for frame in given if frame.answered_s is not None]
    latencies = sorted(frame.latency_s for frame in answered if frame.latency_s is not None)
    facts = [
        ("frames", str(len(given))),
        ("answered", str(len(answered))),
        ("lost", str(len(given) - len(answered))),
        ("median latency", f"{1e3 * latencies[len(latencies) // 2]:.0f} ms" if latencies else "none"),
        ("largest latency", f"{1e3 * latencies[-1]:.0f} ms" if latencies else "none"),
        ("streamed", f"{record.streamed_s:.1f} s"),
        (
            "runner",
            f"{100.0 * record.runner_cpu_s / record.streamed_s:.1f} % of a core" if record.streamed_s else "none",
        ),
    ]
    return "".join(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for name, value in facts)


def _make_criteria(outcomes: list[Outcome]) -> str:
    rows = []
    for outcome in outcomes:
        verdict = "passed" if outcome.passed else "failed"
        sign = "✓" if outcome.passed else "✗"
        cells = [outcome.criterion, outcome.expected, outcome.got]
        rows.append(
            f'<tr><td class="{verdict}">{sign} {verdict}</td>'
            + "".join(f"<td>{escape(c)}</td>" for c in cells)
            + "</tr>"
        )
    head = "".join(f"<th>{name}</th>" for name in ("", "criterion", "expected", "got"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _scenario_time(record: RunRecord) -> Any:
    """From seconds since the run's begin to scenario seconds."""
    acquired = np.array([frame.acquired_s for frame in record.frames] or [0.0])
    times = np.array([frame.time_s for frame in record.frames] or [0.0])
    pace = (times[-1] - times[0]) / (acquired[-1] - acquired[0]) if acquired[-1] > acquired[0] else 1.0

    def convert(seconds: float) -> float:
        if seconds > acquired[-1]:
            return float(times[-1] + pace * (seconds - acquired[-1]))
        return float(np.interp(seconds, acquired, times))

    return convert


def _make_charts(run: Run) -> str:
    record = run.record
    convert = _scenario_time(record)
    end = max([run.scenario.duration_s, *(f.until_s or f.at_s for f in record.faults)])
    span = (0.0, end)
    bands = [_make_band(fault, convert, end) for fault in record.faults if fault.began_s is not None]
    frames = [frame for frame in record.frames if not frame.dropped]
    lost = [Mark(f.time_s, f"frame {f.index} lost", charts.RED) for f in frames if f.answered_s is None]
    events = [
        Mark(convert(e.seconds), f"{e.name}: {e.message}", _SEVERITY_COLORS.get(e.severity, charts.BLUE))
        for e in record.events
    ]
    faults = [Mark(band.start, band.name, charts.PURPLE) for band in bands]
    states = [(convert(seconds), state) for seconds, state in record.states]
    rows = [("faults", faults), ("events", events), ("lost", lost)]
    limits = {type(criterion): criterion for criterion in run.scenario.criteria}
    parts = [
        "<h3>States, faults, events and lost frames</h3>",
        charts.draw_ribbon("states of the service, faults, events and lost frames along time", states, span, rows),
        charts.draw_legend(
            [
                *charts.STATE_COLORS.items(),
                ("fault", charts.PURPLE),
                ("warning", charts.RED),
                ("other event", charts.BLUE),
            ]
        ),
        "<h3>Latency, from acquisition to the product, ms</h3>",
        charts.draw_chart("latency", "ms", _latency_series(frames), span, bands, _milliseconds(limits)),
        charts.draw_legend([("valid", charts.BLUE), ("degraded", charts.ORANGE), ("invalid", charts.RED)]),
    ]
    miou = [(f.time_s, value) for f in frames if (value := frame_miou(f, record)) is not None]
    wanted = limits.get(tables.MiouAtLeast)
    if miou:
        limit = wanted.value if isinstance(wanted, tables.MiouAtLeast) else None
        parts.append("<h3>mIoU of each frame</h3>")
        parts.append(charts.draw_chart("mIoU", "", [Series("mIoU", charts.GREEN, miou)], span, bands, limit, 1.0))
    errors = [(f.time_s, f.centroid_error_px) for f in frames if f.centroid_error_px is not None]
    if errors:
        most = limits.get(tables.CentroidErrorAtMost)
        limit = most.pixels if isinstance(most, tables.CentroidErrorAtMost) else None
        parts.append("<h3>Error of the navigation fix, sensor pixels</h3>")
        parts.append(
            charts.draw_chart("centroid error", "px", [Series("error", charts.PURPLE, errors)], span, bands, limit)
        )
    entropies = [(f.time_s, f.entropy) for f in frames if f.entropy is not None]
    parts.append("<h3>Mean predictive entropy, nat</h3>")
    parts.append(charts.draw_chart("entropy", "nat", [Series("entropy", charts.ORANGE, entropies)], span, bands))
    memory = [(convert(h.seconds), h.resident_bytes / 2**20) for h in record.housekeeping]
    parts.append("<h3>Memory of service and worker, MiB</h3>")
    parts.append(charts.draw_chart("memory", "MiB", [Series("memory", charts.SKY, memory)], span, bands))
    return "".join(parts)


def _make_band(fault: Any, convert: Any, end: float) -> Band:
    return Band(
        convert(fault.began_s), end if fault.ended_s is None else convert(fault.ended_s), f"{fault.kind}: {fault.note}"
    )


def _milliseconds(limits: dict[type, Any]) -> float | None:
    wanted = limits.get(tables.AnsweredWithin)
    return 1e3 * wanted.seconds if isinstance(wanted, tables.AnsweredWithin) else None


def _latency_series(frames: list[FrameRecord]) -> list[Series]:
    colors = {"valid": charts.BLUE, "degraded": charts.ORANGE, "invalid": charts.RED}
    return [
        Series(
            status,
            color,
            [(f.time_s, 1e3 * f.latency_s) for f in frames if f.status == status and f.latency_s is not None],
            "dots",
        )
        for status, color in colors.items()
    ]


def _make_pictures(run: Run) -> str:
    record = run.record
    if not run.observer.best:
        return "<p>No map came.</p>"
    by = "mIoU" if record.truth_classes and len(record.truth_classes) == len(record.classes) else "certainty"
    parts = []
    shown: set[int] = set()
    for title, kept in ((f"Best by {by}", run.observer.best), (f"Worst by {by}", run.observer.worst)):
        parts.append(f"<h3>{title}</h3><div class='mosaic'>")
        for picture in sorted(kept, reverse=True):
            if picture.index in shown:
                continue
            shown.add(picture.index)
            value = abs(picture.score)
            name = f"frame {picture.index}: {'mIoU' if by == 'mIoU' else 'entropy'} {value:.3f}"
            source = embed(draw_frame(picture, run.feed, record))
            parts.append(
                f'<figure><img alt="{escape(name)}" src="{source}"><figcaption>{escape(name)}</figcaption></figure>'
            )
        parts.append("</div>")
    return "".join(parts)


def _make_tables(record: RunRecord) -> str:
    parts = []
    if record.faults:
        rows = [[f.kind, f"{f.at_s:g}", _seconds(f.began_s), _seconds(f.ended_s), f.note] for f in record.faults]
        parts.append("<h2>Faults</h2>" + _make_table(["fault", "due, scenario s", "began, s", "over, s", ""], rows))
    if record.commands:
        rows = [
            [c.name, _seconds(c.sent_s), c.expect, c.outcome, _seconds(c.seconds), c.message] for c in record.commands
        ]
        parts.append(
            "<h2>Commands</h2>" + _make_table(["command", "sent, s", "expected", "reply", "after, s", "message"], rows)
        )
    severe = [event for event in record.events if event.severity in _SEVERE]
    shown = record.events if len(record.events) <= _MOST_ROWS else severe[:_MOST_ROWS]
    rows = [[_seconds(e.seconds), e.severity, e.name, e.message, str(e.suppressed or "")] for e in shown]
    left_out = (
        f"<p>{len(record.events) - len(shown)} more in result.json.</p>" if len(shown) < len(record.events) else ""
    )
    parts.append(
        f"<h2>Events</h2><details{' open' if len(rows) <= 20 else ''}><summary>{len(record.events)} events</summary>"
        + _make_table(["s", "severity", "event", "message", "suppressed"], rows)
        + left_out
        + "</details>"
    )
    counters = [[name, str(value)] for name, value in record.counters.items() if value]
    parts.append(f"<h2>Counters</h2><details><summary>{len(counters)} that are not 0</summary>")
    parts.append(_make_table(["counter", "value"], counters) + "</details>")
    return "".join(parts)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _make_table(head: list[str], rows: list[list[str]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
