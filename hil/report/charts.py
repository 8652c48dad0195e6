"""Charts along a run as inline SVG: no library, no script, bounded in size however long the run was.

Colours are those of Okabe and Ito, which colour-blind people tell apart; marks differ in shape, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
STATE_COLORS = {"starting": SKY, "ready": GREEN, "degraded": ORANGE, "safe": RED}
WIDTH, LEFT, RIGHT = 960, 64, 16
_TOP, _BOTTOM, _HEIGHT = 8, 24, 150
_RIBBON = 22
# Points of a line, and marks of a kind.
_MOST_POINTS, _MOST_MARKS = 1200, 400
_TICKS, _TIME_TICKS = 5, 8


@dataclass(frozen=True)
class Series:
    """Values along time. style: "line" or "dots"."""

    name: str
    color: str
    points: list[tuple[float, float]]
    style: str = "line"


@dataclass(frozen=True)
class Band:
    """A time in which something went on."""

    start: float
    end: float
    name: str


@dataclass(frozen=True)
class Mark:
    """A moment."""

    at: float
    text: str
    color: str


def thin_out(points: Sequence[tuple[float, float]], most: int = _MOST_POINTS) -> list[tuple[float, float]]:
    """Points of a line so that it looks the same: of each of equally many, the lowest and the highest."""
    finite = [point for point in points if math.isfinite(point[1])]
    if len(finite) <= most:
        return finite
    kept: list[tuple[float, float]] = []
    bins = most // 2
    for number in range(bins):
        part = finite[number * len(finite) // bins : (number + 1) * len(finite) // bins]
        low, high = min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])
        kept += sorted({low, high})
    return kept


def draw_chart(
    label: str,
    unit: str,
    series: Sequence[Series],
    span: tuple[float, float],
    bands: Sequence[Band] = (),
    limit: float | None = None,
    top: float | None = None,
) -> str:
    """Lines or dots along time.

    Args:
        label: of the vertical axis, for those who cannot see it, too.
        unit: of the values.
        series: what is drawn.
        span: first and last time, scenario seconds.
        bands: faults.
        limit: of a criterion, drawn as a dashed line.
        top: largest value of the axis; None: what the values need.
    """
    values = [value for entry in series for _, value in entry.points if math.isfinite(value)]
    high = top if top is not None else _round_up(max([*values, limit or 0.0, 1e-9]))
    parts = [_open(_TOP + _HEIGHT + _BOTTOM, f"{label}, {unit}".rstrip(", "))]
    parts += [_draw_band(band, span, _TOP, _HEIGHT) for band in bands]
    for number in range(_TICKS):
        value = high * number / (_TICKS - 1)
        y = _y(value, high)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_format(value)}</text>')
    parts += _draw_time_axis(span, _TOP + _HEIGHT)
    if limit is not None and limit <= high:
        y = _y(limit, high)
        parts.append(f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    for entry in series:
        parts.append(_draw_series(entry, span, high))
    return "".join([*parts, "</svg>"])


def draw_ribbon(
    label: str, states: Sequence[tuple[float, str]], span: tuple[float, float], rows: Sequence[tuple[str, list[Mark]]]
) -> str:
    """The service's states as a ribbon, and rows of marks below it.

    Args:
        label: for those who cannot see it.
        states: (time, state), each until the next one.
        span: first and last time.
        rows: name, and marks.
    """
    height = _TOP + _RIBBON * (1 + len(rows))
    parts = [_open(height + _BOTTOM, label), _row_name("state", _TOP)]
    for number, (start, state) in enumerate(states[-_MOST_MARKS:]):
        following = states[-_MOST_MARKS:][number + 1 : number + 2]
        end = following[0][0] if following else span[1]
        x, right = _x(max(start, span[0]), span), _x(min(end, span[1]), span)
        color = STATE_COLORS.get(state, PURPLE)
        parts.append(
            f'<rect x="{x:.1f}" y="{_TOP + 2}" width="{max(right - x, 1.0):.1f}" height="{_RIBBON - 6}" fill="{color}">'
            f"<title>{escape(state)} from {start:.1f} s</title></rect>"
        )
        if right - x > 60:
            parts.append(f'<text class="on" x="{x + 5:.1f}" y="{_TOP + 14}">{escape(state)}</text>')
    for row, (name, marks) in enumerate(rows, 1):
        y = _TOP + _RIBBON * row
        parts.append(_row_name(name, y))
        for mark in _choose(marks):
            x = _x(mark.at, span)
            parts.append(
                f'<rect x="{x - 2:.1f}" y="{y + 3}" width="4" height="{_RIBBON - 8}" fill="{mark.color}">'
                f"<title>{escape(mark.text)}</title></rect>"
            )
    parts += _draw_time_axis(span, height)
    return "".join([*parts, "</svg>"])


def draw_legend(entries: Sequence[tuple[str, str]]) -> str:
    """Names and colours of what stands in the charts."""
    spans = [f'<span><i style="background:{color}"></i>{escape(name)}</span>' for name, color in entries]
    return f'<p class="legend">{"".join(spans)}</p>'


def _choose(marks: Sequence[Mark]) -> list[Mark]:
    if len(marks) <= _MOST_MARKS:
        return list(marks)
    return [marks[round(i * (len(marks) - 1) / (_MOST_MARKS - 1))] for i in range(_MOST_MARKS)]


def _open(height: float, label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'


def _row_name(name: str, y: float) -> str:
    return f'<text class="tick" x="{LEFT - 6}" y="{y + 15}" text-anchor="end">{escape(name)}</text>'


def _x(at: float, span: tuple[float, float]) -> float:
    width = max(span[1] - span[0], 1e-9)
    return LEFT + (WIDTH - LEFT - RIGHT) * min(max((at - span[0]) / width, 0.0), 1.0)


def _y(value: float, high: float) -> float:
    return _TOP + _HEIGHT * (1.0 - min(max(value / high, 0.0), 1.0))


def _draw_band(band: Band, span: tuple[float, float], top: float, height: float) -> str:
    x, right = _x(band.start, span), _x(band.end, span)
    return (
        f'<rect class="band" x="{x:.1f}" y="{top}" width="{max(right - x, 2.0):.1f}" height="{height}">'
        f"<title>{escape(band.name)}</title></rect>"
    )


def _draw_series(series: Series, span: tuple[float, float], high: float) -> str:
    points = [(_x(at, span), _y(value, high)) for at, value in thin_out(series.points)]
    if series.style == "dots":
        dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>' for x, y in points)
        return f'<g fill="{series.color}"><title>{escape(series.name)}</title>{dots}</g>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    title = f"<title>{escape(series.name)}</title>"
    return f'<polyline points="{path}" fill="none" stroke="{series.color}" stroke-width="1.6">{title}</polyline>'


def _draw_time_axis(span: tuple[float, float], y: float) -> list[str]:
    parts = []
    step = _round_up(max(span[1] - span[0], 1e-9) / _TIME_TICKS)
    count = int((span[1] - span[0]) / step + 1e-9)
    for number in range(count + 1):
        at = span[0] + step * number
        anchor = "end" if _x(at, span) > WIDTH - RIGHT - 20 else "middle"
        unit = " s" if number == count else ""
        parts.append(
            f'<text class="tick" x="{_x(at, span):.1f}" y="{y + 16}" text-anchor="{anchor}">{_format(at)}{unit}</text>'
        )
    return parts


def _format(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2g}"


def _round_up(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten, or four of it, so that ticks are round."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 4.0, 8.0, 10.0) if step * power >= value * 0.999)
