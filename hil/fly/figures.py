"""Figures of flights, from their records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hil.fly.measurement import KINDS
from hil.fly.record import DrawRecord, Exposure, FlightRecord, Touchdown

# Phase angles, degrees; as the JSON file names them.
RANGES = {"phase_0_to_30": (0.0, 30.0), "phase_30_to_60": (30.0, 60.0), "phase_above_60": (60.0, 180.0)}
RANGE_NAMES = {"phase_0_to_30": "0 to 30", "phase_30_to_60": "30 to 60", "phase_above_60": "above 60"}
# Before this time the camera turns from the first guess to the body.
SETTLED_S = 60.0
# Chi-square of six degrees of freedom: 2.5 % below, 2.5 % above.
NEES_BOUNDS = (1.237, 14.449)


def flights_of(draws: Iterable[DrawRecord], kind: str) -> list[FlightRecord]:
    """The flights with one kind of measurement."""
    return [flight for draw in draws for flight in draw.flights if flight.kind == kind]


def settled(flight: FlightRecord) -> list[Exposure]:
    """The exposures after the camera's first turn."""
    return [entry for entry in flight.exposures if entry.time_s >= SETTLED_S]


def median(values: Sequence[float]) -> float | None:
    """The median; None of nothing."""
    return float(np.median(values)) if len(values) else None


def pointing_figures(draws: Sequence[DrawRecord]) -> dict[str, dict[str, float | None]]:
    """Pointing errors, degrees: by range of phase angles and kind, the median over the draws of a draw's median."""
    found: dict[str, dict[str, float | None]] = {}
    for name, (low, high) in RANGES.items():
        found[name] = {}
        for kind in KINDS:
            of_draws = [
                median([e.pointing_deg for e in settled(flight) if low <= e.phase_deg < high])
                for flight in flights_of(draws, kind)
            ]
            found[name][f"{kind}_deg"] = median([value for value in of_draws if value is not None])
    return found


def share(hits: Sequence[bool]) -> float | None:
    """Part that is true; None of nothing."""
    return float(np.mean(hits)) if len(hits) else None


def kind_figures(draws: Sequence[DrawRecord], kind: str) -> dict[str, Any]:
    """What is told of one kind of measurement.

    Returns:
        out_of_field: share of exposures; within_3_sigma: share whose position error is within three times the root of
        the covariance's trace; position_error: its median over the body's largest extent; nees_inside: share of
        exposures whose NEES is within the two-sided 95 % bounds; nees_above: share above them; measured: share of
        frames that gave a measurement.
    """
    scales = {(draw.draw, kind): draw.extent_km for draw in draws}
    flights = flights_of(draws, kind)
    entries = [(flight, entry) for flight in flights for entry in settled(flight)]
    low, high = NEES_BOUNDS
    return {
        "out_of_field": share([e.out_of_field for _, e in entries]),
        "within_3_sigma": share([e.error_km <= 3.0 * e.sigma_km for _, e in entries]),
        "position_error": median([e.error_km / scales[flight.draw, kind] for flight, e in entries]),
        "nees_inside": share([low <= e.nees <= high for _, e in entries]),
        "nees_above": share([e.nees > high for _, e in entries]),
        "measured": share([e.answer == "measured" for _, e in entries]),
    }


def answer_counts(flights: Iterable[FlightRecord]) -> dict[str, int]:
    """How often each answer came, the most frequent first."""
    counts: dict[str, int] = {}
    for flight in flights:
        for entry in flight.exposures:
            if entry.answer:
                counts[entry.answer] = counts.get(entry.answer, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def flyby_figures(draws: Sequence[DrawRecord]) -> dict[str, Any]:
    """The figures of flybys, as closed_loop.json has them."""
    kinds = {kind: kind_figures(draws, kind) for kind in KINDS}
    mapped = flights_of(draws, "class_map") + flights_of(draws, "weighted")
    return {
        "pointing": pointing_figures(draws),
        "nees_inside": kinds["weighted"]["nees_inside"],
        "kinds": kinds,
        "draws": len(draws),
        "bodies": sorted({draw.body for draw in draws}),
        "bundles": sorted({draw.bundle for draw in draws if draw.bundle}),
        "answers": answer_counts(mapped),
        "loop_s": median([entry.wall_s for flight in mapped for entry in flight.exposures]),
    }


def descent_figures(touchdowns: Sequence[Touchdown]) -> dict[str, Any]:
    """The figures of descents by one way of choosing.

    Returns:
        count: those that found a site; on_hazard: those that end within a lander's radius of a hazard; miss_m: median
        from the touchdown to the nearest hazard; miss_radii: that over the lander's radius; without_site; retargeted:
        median number of changes of the site.
    """
    ended = [entry for entry in touchdowns if entry.miss_m is not None]
    misses = [entry.miss_m for entry in ended if entry.miss_m is not None]
    return {
        "count": len(ended),
        "on_hazard": sum(entry.on_hazard for entry in ended),
        "miss_m": median(misses),
        "miss_radii": median([miss / entry.lander_m for miss, entry in zip(misses, ended, strict=True)]),
        "without_site": len(touchdowns) - len(ended),
        "retargeted": median([entry.retargeted for entry in ended]),
    }


def recovery_figures(draws: Sequence[DrawRecord]) -> list[dict[str, Any]]:
    """What each fault cost: frames without a measurement from its begin on, and the largest pointing error."""
    found = []
    for draw in draws:
        for fault in draw.faults:
            for flight in draw.flights:
                after = [e for e in flight.exposures if e.time_s >= fault["began_s"]]
                back = next((e for e in after if e.time_s >= fault["ended_s"] and e.answer == "measured"), None)
                until = back.time_s if back else float("inf")
                coasted = [e for e in after if e.time_s <= until]
                found.append(
                    {
                        "kind": fault["kind"],
                        "measurements": flight.kind,
                        "began_s": fault["began_s"],
                        "ended_s": fault["ended_s"],
                        "measured_again_s": None if back is None else back.time_s,
                        "frames_lost": sum(e.answer != "measured" for e in coasted),
                        "largest_pointing_deg": max((e.pointing_deg for e in coasted), default=None),
                    }
                )
    return found
