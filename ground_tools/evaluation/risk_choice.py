"""Chooses a bundle's thresholds with a promise on validation images, and writes them into its manifest.

Every set that is given has to keep the promise: `ground-tools fit-risk`. See metrics.risk for what is promised and how
it is shown, evaluation.claims for the pixels that count.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flight.bundle import Bundle, load_bundle, write_sums
from ground_tools.evaluation.claims import split_claims
from ground_tools.evaluation.passes import count_passes
from ground_tools.evaluation.selection import Selection, select
from ground_tools.evaluation.statistics import RISK, Image, RiskStatistics
from ground_tools.evaluation.worker_pool import compute_statistics, start_workers
from ground_tools.foundation.files import write_whole
from ground_tools.metrics.risk import (
    THRESHOLDS,
    fewest_units,
    find_promises,
    image_risks,
    mean_of_views,
    unmarked,
)
from ground_tools.pages.blocks import Table, percent
from ground_tools.pages.text import text_table
from ground_tools.training.records import bundle_sets, check_unseen, provenance

RISKS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1)
# Of what counts, that a threshold has to leave unmarked on every set: a map without a claim keeps every promise.
LEAST_COVERAGE = 0.01
_DIGITS = 4
_SPLIT = "validation"


@dataclass(frozen=True)
class RiskPlan:
    """How thresholds are chosen.

    delta: probability that a promise is broken, at most. images: of each set, 0 for all. leave_out: names of sets that
    are measured, but need not keep the promise. workers: processes. out: folder of statistics.
    """

    delta: float
    images: int
    leave_out: tuple[str, ...]
    workers: int
    out: Path


@dataclass(frozen=True)
class MeasuredSet:
    """The validation images of a set, as one bundle sees them.

    name: as results call it. images, views: how many, of which those of one view are one unit. record: provenance.
    risks, coverage: (M, units, T) of each mode, unit and threshold, see metrics.risk.
    """

    name: str
    images: int
    views: int
    record: dict[str, Any]
    risks: np.ndarray
    coverage: np.ndarray


@dataclass(frozen=True)
class Choice:
    """What one bundle can promise.

    chosen: mode -> risk -> place of the threshold in metrics.risk.THRESHOLDS, None where nothing keeps that promise.
    """

    bundle: Bundle
    passes: int
    delta: float
    kept: list[MeasuredSet]
    left_out: list[MeasuredSet]
    chosen: dict[str, dict[float, int | None]]


def measured_risks(claims: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Risk and coverage of each unit at each threshold.

    claims: (N, ..., 5, T + 1) pixels, see evaluation.claims. views: (N,). Returns (units, ..., T) float64 each.
    """
    errors, counted = split_claims(claims)
    wrong, kept = unmarked(errors), unmarked(counted)
    total = np.maximum(counted.sum(axis=-1, dtype=np.int64), 1)[..., None]
    return mean_of_views(image_risks(wrong, kept), views), mean_of_views(kept / total, views)


def check_sets(bundle: Bundle, datasets: list[Path], plan: RiskPlan) -> None:
    """Raise ValueError, before anything is computed, naming a set that does not fit, is too small, or named in vain."""
    names: list[str] = []
    needed = fewest_units(RISKS[-1], plan.delta)
    for path in datasets:
        check_unseen(f"bundle {bundle.name}", bundle_sets(bundle.manifest), path)
        selection = select(path, _SPLIT, plan.images, bundle)
        names.append(selection.name)
        views = len(np.unique(selection.views))
        if views < needed and selection.name not in plan.leave_out:
            raise ValueError(
                f"dataset {path}: expected {needed} views or more, on which {percent(RISKS[-1], 0)} % of errors could "
                f"be promised if none showed any, got {views} of {len(selection)} images; "
                f"--leave-out {selection.name} chooses without it"
            )
    if len(set(names)) < len(names):
        raise ValueError(f"--dataset: expected sets of different names, got {', '.join(names)}")
    if unknown := set(plan.leave_out) - set(names):
        raise ValueError(f"--leave-out: expected some of {', '.join(names)}, got {', '.join(sorted(unknown))}")
    if not set(names) - set(plan.leave_out):
        raise ValueError("--leave-out: expected a set that is not left out, got all of them")


def choose(bundle: Bundle, datasets: list[Path], plan: RiskPlan) -> Choice:
    """Measure a bundle on the validation splits of sets, and find the thresholds that keep each risk on all of them.

    Raises ValueError where no promise can be kept on a set that is not left out, in any mode: it would forbid them all.
    """
    passes = count_passes(bundle, bundle.passes)
    with start_workers(bundle, passes, plan.workers) as pool:
        measured = [
            _measure(pool, bundle, select(path, _SPLIT, plan.images, bundle), passes, plan.out) for path in datasets
        ]
    kept = [found for found in measured if found.name not in plan.leave_out]
    _check_promises(bundle, kept, plan.delta)
    chosen: dict[str, dict[float, int | None]] = {}
    for number, mode in enumerate(bundle.modes):
        chosen[mode] = {risk: _most_lenient(kept, number, risk, plan.delta) for risk in RISKS}
    left_out = [found for found in measured if found.name in plan.leave_out]
    return Choice(bundle, passes, plan.delta, kept, left_out, chosen)


def _most_lenient(sets: list[MeasuredSet], mode: int, risk: float, delta: float) -> int | None:
    """Place of the most lenient threshold that keeps a promise on all sets and leaves something unmarked, or None."""
    places = np.flatnonzero(find_promises([found.risks[mode] for found in sets], risk, delta))
    if not len(places) or min(found.coverage[mode, :, places[-1]].mean() for found in sets) < LEAST_COVERAGE:
        return None
    return int(places[-1])


def _measure(pool: Any, bundle: Bundle, selection: Selection, passes: int, out: Path) -> MeasuredSet:
    samples, nothing = selection.samples, np.zeros((0, 0), dtype=np.uint16)
    images = [
        Image(frame, truth, nothing, int(seed))
        for frame, truth, seed in zip(selection.frames(), samples.masks, selection.positions, strict=True)
    ]
    parameters = {
        "bundle": _networks_digest(bundle),
        "dataset": selection.name,
        "split": selection.split,
        "passes": passes,
    }
    label = f"{bundle.name}, {selection.name} {selection.split}"
    found: RiskStatistics = compute_statistics(pool, RISK, images, parameters, out / "statistics", label)
    risks, coverage = measured_risks(found.claims, selection.views)
    record = provenance(selection.path)
    risks, coverage = np.moveaxis(risks, 1, 0), np.moveaxis(coverage, 1, 0)
    return MeasuredSet(selection.name, len(selection), risks.shape[1], record, risks, coverage)


def _networks_digest(bundle: Bundle) -> str:
    """SHA-256 over all that the manifest states but the thresholds, so that choosing again computes nothing again."""
    stated = {name: value for name, value in bundle.manifest.items() if name != "risk_thresholds"}
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()


def _check_promises(bundle: Bundle, kept: list[MeasuredSet], delta: float) -> None:
    for found in kept:
        modes = range(len(bundle.modes))
        if all(_most_lenient([found], mode, risk, delta) is None for mode in modes for risk in RISKS):
            raise ValueError(
                f"bundle {bundle.name}: expected a risk that can be promised on {found.name}, got too many errors on "
                f"its {found.views} views, whatever is marked; --leave-out {found.name} chooses without it"
            )


def table_of(choice: Choice) -> str:
    """What can be promised, with what was measured on each set, as a table for the terminal."""
    sets = [*choice.kept, *choice.left_out]
    head = ["mode", "risk, %", "threshold, nats"]
    for found in sets:
        head += [f"{found.name}: measured, %", "unmarked, %"]
    rows = []
    for number, (mode, places) in enumerate(choice.chosen.items()):
        for risk, place in places.items():
            cells = [mode, percent(risk), "not promised" if place is None else f"{THRESHOLDS[place]:g}"]
            for found in sets:
                if place is None:
                    short = found.views < fewest_units(risk, choice.delta)
                    cells += ["too few images" if short else "-", "-"]
                else:
                    measured, coverage = (v[number, :, place].mean() for v in (found.risks, found.coverage))
                    cells += [percent(float(measured), 2), percent(float(coverage))]
            rows.append(cells)
    told = ", ".join(f"{found.name} ({found.views} views of {found.images} images)" for found in choice.kept)
    lines = [f"{choice.bundle.name}: promised on {told}, except with a probability of {choice.delta:g}"]
    lines += [f"{found.name} ({found.views} views) is left out: measured, not promised" for found in choice.left_out]
    return "\n".join([*lines, text_table(Table(head, rows))])


def manifest_entry(choice: Choice) -> dict[str, Any]:
    """What the manifest states of a choice. coverage: the least over the sets."""
    modes = []
    for number, (mode, places) in enumerate(choice.chosen.items()):
        lines = [
            {
                "risk": risk,
                "threshold": THRESHOLDS[place],
                "coverage": round(
                    min(float(found.coverage[number, :, place].mean()) for found in choice.kept), _DIGITS
                ),
            }
            for risk, place in places.items()
            if place is not None
        ]
        modes.append({"mode": mode, "thresholds": lines})
    entry: dict[str, Any] = {"delta": choice.delta, "passes": choice.passes, "sets": _stated(choice.kept)}
    if choice.left_out:
        entry["left_out"] = _stated(choice.left_out)
    return {**entry, "modes": modes}


def _stated(sets: list[MeasuredSet]) -> list[dict[str, Any]]:
    return [
        {"name": found.name, "split": _SPLIT, "images": found.images, "views": found.views, "dataset": found.record}
        for found in sets
    ]


def add_thresholds(folder: Path, entry: dict[str, Any]) -> Bundle:
    """Put the thresholds into a bundle: its manifest, the sums. Returns the bundle, checked."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["risk_thresholds"] = entry
    write_whole(path, (json.dumps(manifest, indent=2) + "\n").encode("utf-8"))
    write_sums(folder)
    return load_bundle(folder)
