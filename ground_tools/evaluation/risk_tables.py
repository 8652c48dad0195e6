"""Promised and measured risk, as tables."""

from __future__ import annotations

from ground_tools.evaluation.results import Results, RiskAt
from ground_tools.pages.blocks import Block, Heading, Table, Text, percent


def risk_blocks(results: Results) -> list[Block]:
    """What the bundles promise of the pixels that are not marked uncertain, and what they keep."""
    told = [(name, f) for name, modes in results.risk.items() for f in modes.values()]
    if not told:
        return []
    head = ["set", "mode", "views", "promised, %", "measured, %", "interval", "kept", "over pixels, %"]
    head += ["in the light, %", "all pixels, %", "unmarked, %", "dark ground, %", "threshold, nats"]
    rows = []
    for name, f in told:
        row = [name, f.mode, str(f.views), percent(f.promised), percent(f.measured, 2), _interval(f), _kept(f)]
        row += [percent(share, 2) for share in (f.measured_over_pixels, f.measured_in_light, f.measured_all_pixels)]
        rows.append([*row, percent(f.coverage), percent(f.dark_ground), f"{f.threshold_nats:g}"])
    lines = []
    for name, f in told:
        for at in f.table:
            cells = [percent(at.promised), percent(at.measured, 2), _interval(at), _kept(at), percent(at.coverage)]
            lines.append([name, f.mode, *cells, f"{at.threshold_nats:g}"])
    every = ["set", "mode", "promised, %", "measured, %", "interval", "kept", "unmarked, %", "threshold, nats"]
    return [
        Heading("Risk: promised and measured", 2),
        Text(
            "By the rule that is in force by default. Risk: of an image's pixels that are not marked uncertain, the "
            "share that is wrong, on average over views; beside it where that of 95 % of such sets would lie. Sky that "
            "is called sky does not count, and ground in the dark is always marked. Over pixels: those of all images "
            "together. In the light: a body that is called sky in the dark is no error. All pixels: sky counts, too. "
            "Unmarked: share of what counts. Dark ground: of what counts and of it together, its share. Thresholds are "
            "chosen on validation images; a promise is kept where what is measured is not above it."
        ),
        Table(head, rows),
        Text("Every risk that is promised:"),
        Table(every, lines),
    ]


def _interval(at: RiskAt) -> str:
    if at.measured_interval is None:
        return "-"
    low, high = at.measured_interval
    return f"{percent(low, 2)} to {percent(high, 2)}"


def _kept(at: RiskAt) -> str:
    return "yes" if at.measured <= at.promised else "no"
