"""Thresholds on the entropy with a promise, as a bundle's manifest states them: which risk a threshold keeps."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

# Share of an image's unmarked pixels that may be wrong, unless told otherwise.
DEFAULT_RISK = 0.02


@dataclass(frozen=True)
class RiskThreshold:
    """One line of the table of a mode.

    Attributes:
        risk: share of an image's unmarked pixels that are wrong, at most, on average over images.
        threshold: predictive entropy above which a pixel is uncertain, nats.
        coverage: share of the pixels that may be wrong that is not marked, on the validation images.
    """

    risk: float
    threshold: float
    coverage: float


RiskTable = tuple[RiskThreshold, ...]


def parse_risk_thresholds(entry: dict[str, Any] | None, modes: tuple[str, ...]) -> dict[str, RiskTable]:
    """Read what the manifest states, of the schema already.

    Args:
        entry: of the manifest; None where it has none.
        modes: of the bundle.

    Returns:
        Mode -> its lines, the least risk first; empty for a mode in which nothing is promised.

    Raises:
        ValueError: what is wrong, behind the field's name.
    """
    tables: dict[str, RiskTable] = dict.fromkeys(modes, ())
    for place, stated in enumerate([] if entry is None else entry["modes"]):
        where = f".modes[{place}]"
        if stated["mode"] not in modes:
            raise ValueError(f"{where}.mode: expected {' | '.join(modes)}, got {stated['mode']}")
        table = tuple(RiskThreshold(**{k: float(v) for k, v in line.items()}) for line in stated["thresholds"])
        for number, (less, more) in enumerate(pairwise(table), start=1):
            if not (less.risk < more.risk and less.threshold <= more.threshold):
                raise ValueError(
                    f"{where}.thresholds[{number}]: expected a larger risk than {less.risk:g} and no smaller threshold "
                    f"than {less.threshold:g}, got {more.risk:g} and {more.threshold:g}"
                )
        tables[stated["mode"]] = table
    return tables


def choose_threshold(table: RiskTable, risk: float) -> RiskThreshold | None:
    """The line of the largest risk that is not above the one asked for; the least where all are; None of no table.

    Args:
        table: of a mode.
        risk: asked for.
    """
    kept = [line for line in table if line.risk <= risk]
    return kept[-1] if kept else table[0] if table else None


def default_risk(table: RiskTable) -> float:
    """The risk that a mode is run at unless told otherwise: DEFAULT_RISK, or the least that it promises above."""
    return max(DEFAULT_RISK, table[0].risk) if table else DEFAULT_RISK
