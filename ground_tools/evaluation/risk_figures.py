"""From statistics to the figures of promised and measured risk in results.json."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flight.bundle import Bundle
from flight.risk_thresholds import RiskThreshold
from flight.settings import default_settings, risk_in_force
from ground_tools.evaluation.claims import CLAIMS, split_claims
from ground_tools.evaluation.figures import provenance, result_key
from ground_tools.evaluation.results import RiskAt, RiskFigures
from ground_tools.evaluation.selection import Selection
from ground_tools.evaluation.statistics import ImageStatistics
from ground_tools.metrics.risk import image_risks, mean_interval, mean_of_views, place_of, unmarked

_DIGITS = 6


def risk_figures(
    bundle: Bundle, selection: Selection, passes: int, statistics: ImageStatistics
) -> dict[str, RiskFigures]:
    """Key of a mode -> what it promises, and what it keeps on a set; of the modes that promise something."""
    result = {}
    for number, mode in enumerate(bundle.modes):
        promise = risk_in_force(bundle, replace(default_settings(bundle), mode=mode))
        if promise is None:
            continue
        claims, dark = statistics.claims[:, number], statistics.dark_ground[:, number]
        lit = claims.copy()
        lit[:, CLAIMS.index("missed_dark")] = 0
        measured, (errors, counted) = measure(claims, selection.views, promise), split_claims(claims.sum(axis=0))
        place = place_of(promise.threshold)
        wrong, kept = (int(unmarked(counts)[place]) for counts in (errors, counted))
        sky = int(unmarked(claims[:, CLAIMS.index("sky")].sum(axis=0))[place])
        result[result_key(mode)] = RiskFigures(
            **provenance(bundle, selection, passes),
            mode=mode,
            promised=measured.promised,
            threshold_nats=measured.threshold_nats,
            measured=measured.measured,
            measured_interval=measured.measured_interval,
            measured_over_pixels=_share(wrong, kept),
            measured_all_pixels=_share(wrong, kept + sky),
            measured_in_light=measure(lit, selection.views, promise).measured,
            coverage=measured.coverage,
            dark_ground=_share(int(dark.sum()), int(counted.sum() + dark.sum())),
            table=[measure(claims, selection.views, line) for line in bundle.risk_thresholds[mode]],
        )
    return result


def measure(claims: np.ndarray, views: np.ndarray, promise: RiskThreshold) -> RiskAt:
    """What is kept of a promise. claims: (N, 5, T + 1), see evaluation.claims. views: (N,)."""
    place = place_of(promise.threshold)
    errors, counted = split_claims(claims)
    wrong, kept = (unmarked(counts)[:, place] for counts in (errors, counted))
    risks = mean_of_views(image_risks(wrong, kept), views)
    coverage = mean_of_views(kept / np.maximum(counted.sum(axis=-1), 1), views)
    interval = mean_interval(risks)
    return RiskAt(
        promised=promise.risk,
        threshold_nats=promise.threshold,
        measured=round(float(risks.mean()), _DIGITS),
        measured_interval=None if interval is None else (round(interval[0], _DIGITS), round(interval[1], _DIGITS)),
        coverage=round(float(coverage.mean()), _DIGITS),
    )


def _share(part: int, whole: int) -> float:
    return round(part / whole, _DIGITS) if whole else 0.0
