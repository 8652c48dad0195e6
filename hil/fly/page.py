"""The report of `hil fly` as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from hil.fly.figures import (
    NEES_BOUNDS,
    RANGE_NAMES,
    RANGES,
    descent_figures,
    flights_of,
    flyby_figures,
    recovery_figures,
)
from hil.fly.measurement import KIND_NAMES, KINDS
from hil.fly.record import DrawRecord, FlightRecord
from hil.fly.scenario import FlightScenario
from hil.report import charts
from hil.report.charts import Band, Series
from hil.report.template import fill_page

COLORS = {"class_map": charts.GREEN, "weighted": charts.BLUE, "brightness": charts.ORANGE, "none": charts.PURPLE}
_CHOOSING = {"maps": "landing circles of the maps", "variance": "least variance of brightness"}


def make_page(
    name: str, scenario: FlightScenario, draws: Sequence[DrawRecord], film: bytes = b"", short: str = ""
) -> str:
    """The report.

    Args:
        name: of the scenario.
        scenario: that was flown.
        draws: that were flown.
        film: GIF; empty without one.
        short: what is to be said of the run in a line.
    """
    flown = any(draw.flights for draw in draws)
    parts = _make_flyby(scenario, draws) if flown else _make_descents(draws)
    pictures = ""
    if film:
        address = f"data:image/gif;base64,{base64.b64encode(film).decode('ascii')}"
        pictures = f'<figure><img class="film" alt="film of the first draw" src="{address}"></figure>'
    bodies = ", ".join(sorted({draw.body for draw in draws}))
    bundles = ", ".join(sorted({draw.bundle for draw in draws if draw.bundle})) or "none"
    facts = [("draws", str(len(draws))), ("bodies", bodies), ("bundle", bundles)]
    return fill_page(
        "hil.fly",
        title=escape(f"{name}: closed loop"),
        name=escape(name),
        about=escape(scenario.title + (f"; {short}" if short else "")),
        facts="".join(f"<div><b>{escape(value)}</b>{escape(label)}</div>" for label, value in facts),
        film=pictures,
        body="".join(parts),
    )


def _make_flyby(scenario: FlightScenario, draws: Sequence[DrawRecord]) -> list[str]:
    figures = flyby_figures(draws)
    kinds = [kind for kind in KINDS if flights_of(draws, kind)]
    head = ["measurement", *[f"phase angle {RANGE_NAMES[name]}" for name in RANGES]]
    rows = [[_plain(kind), *[number(figures["pointing"][name][f"{kind}_deg"]) for name in RANGES]] for kind in kinds]
    parts = ["<h2>Pointing error, degrees</h2><p>Median over the draws.</p>", make_table(head, rows)]
    head = ["measurement", "out of the field", "within 3 sigma", "position error / extent", "NEES inside", "above"]
    rows = [
        [
            _plain(kind),
            percent(entry["out_of_field"]),
            percent(entry["within_3_sigma"]),
            number(entry["position_error"]),
            percent(entry["nees_inside"]),
            percent(entry["nees_above"]),
        ]
        for kind in kinds
        for entry in [figures["kinds"][kind]]
    ]
    parts += ["<h2>Filter</h2>", make_table(head, rows)]
    if scenario.faults:
        parts += _make_faults(draws)
    for draw in draws:
        parts.append(f"<h2>Draw {draw.draw}: {escape(draw.body)}</h2>")
        parts += _make_charts(scenario, draw)
    return parts


def _make_charts(scenario: FlightScenario, draw: DrawRecord) -> list[str]:
    span = (0.0, scenario.duration_s)
    bands = [Band(f["began_s"], f["ended_s"], f["kind"]) for f in draw.faults]
    late = [flight for flight in draw.flights if len(flight.exposures) > 3]

    def lines(value: str, flights: Sequence[FlightRecord], factor: float = 1.0) -> list[Series]:
        return [
            Series(
                flight.kind,
                COLORS[flight.kind],
                [(e.time_s, factor * float(getattr(e, value))) for e in flight.exposures],
            )
            for flight in flights
        ]

    pointed = [flight for flight in late if flight.kind != "none"] or late
    top = 1.05 * max((e.pointing_deg for flight in pointed for e in flight.exposures[3:]), default=1.0)
    nees = [flight for flight in late if flight.kind in ("weighted", "brightness")]
    return [
        charts.draw_legend([(_plain(flight.kind), COLORS[flight.kind]) for flight in draw.flights]),
        "<h3>Pointing error, degrees</h3>",
        charts.draw_chart("pointing error", "deg", lines("pointing_deg", late), span, bands, None, top),
        "<h3>Position error over the body's extent; dots: 3 sigma of the weighted maps</h3>",
        charts.draw_chart(
            "position error",
            "extents",
            [
                *lines("error_km", [f for f in late if f.kind != "none"], 1.0 / draw.extent_km),
                *[
                    Series(
                        "3 sigma",
                        COLORS[f.kind],
                        [(e.time_s, 3.0 * e.sigma_km / draw.extent_km) for e in f.exposures],
                        "dots",
                    )
                    for f in late
                    if f.kind == "weighted"
                ],
            ],
            span,
            bands,
        ),
        f"<h3>NEES of position and velocity; dashed: the upper bound, {NEES_BOUNDS[1]:.1f}</h3>",
        charts.draw_chart("NEES", "", lines("nees", nees), span, bands, NEES_BOUNDS[1], 3.0 * NEES_BOUNDS[1]),
        "<h3>Phase angle, degrees</h3>",
        charts.draw_chart("phase angle", "deg", lines("phase_deg", late[:1]), span, bands),
    ]


def _make_faults(draws: Sequence[DrawRecord]) -> list[str]:
    head = [
        "fault",
        "from, s",
        "until, s",
        "measured again, s",
        "frames without a measurement",
        "largest pointing error, deg",
    ]
    rows = [
        [
            entry["kind"],
            number(entry["began_s"]),
            number(entry["ended_s"]),
            number(entry["measured_again_s"]),
            str(entry["frames_lost"]),
            number(entry["largest_pointing_deg"]),
        ]
        for entry in recovery_figures(draws)
    ]
    return ["<h2>Faults</h2>", make_table(head, rows)]


def _make_descents(draws: Sequence[DrawRecord]) -> list[str]:
    touchdowns = [entry for draw in draws for entry in draw.touchdowns]
    kinds = [kind for kind in _CHOOSING if any(entry.kind == kind for entry in touchdowns)]
    head = [
        "sites by",
        "descents",
        "on a hazard",
        "miss, m",
        "miss / lander's radius",
        "changes of the site",
        "no site",
    ]
    rows = []
    for kind in kinds:
        entry = descent_figures([touchdown for touchdown in touchdowns if touchdown.kind == kind])
        cells = [str(entry["count"]), str(entry["on_hazard"]), number(entry["miss_m"]), number(entry["miss_radii"])]
        rows.append([_CHOOSING[kind], *cells, number(entry["retargeted"]), str(entry["without_site"])])
    parts = ["<h2>Descents</h2>", make_table(head, rows), "<h2>Each</h2>"]
    head = ["draw", "body", "sites by", "sites", "changes", "miss, m", "lander, m", "promised, m", "off the target, m"]
    rows = [
        [
            *[str(t.draw), t.body, _CHOOSING[t.kind], str(t.chosen), str(t.retargeted)],
            *[number(t.miss_m), number(t.lander_m), number(t.promised_m), number(t.target_error_m)],
        ]
        for t in touchdowns
    ]
    return [*parts, make_table(head, rows)]


def _plain(kind: str) -> str:
    return KIND_NAMES[kind].replace("`", "")


def number(value: float | None) -> str:
    """Two figures or more; empty for None."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 1 else f"{value:.2g}"


def percent(value: float | None) -> str:
    """A share; empty for None."""
    return "" if value is None else f"{100.0 * value:.0f} %"


def make_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in HTML; its cells are escaped."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
