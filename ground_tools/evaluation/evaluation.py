"""Evaluating bundles on sets: statistics from the int8 files that fly, figures and pictures from the statistics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from msgspec import UNSET

from flight.bundle import Bundle, load_bundle
from ground_tools.evaluation import charts
from ground_tools.evaluation.disturbances import DISTURBANCES, disturb_frame
from ground_tools.evaluation.figures import disturbance_figures, identity_of, mode_figures, result_key, sweep_figures
from ground_tools.evaluation.hazard_figures import hazard_figures
from ground_tools.evaluation.mosaics import along_time, best_middle_worst, mosaic
from ground_tools.evaluation.passes import count_passes
from ground_tools.evaluation.results import PictureEntry, Results, SweepFigures
from ground_tools.evaluation.risk_figures import risk_figures
from ground_tools.evaluation.selection import Selection, select, splits_of
from ground_tools.evaluation.statistics import (
    ENTROPY,
    EVALUATION,
    SWEEP,
    EntropyStatistics,
    Image,
    ImageStatistics,
    Job,
    S,
)
from ground_tools.evaluation.worker_pool import PartWorkers, compute_statistics, start_workers
from ground_tools.metrics.iou import image_ious
from ground_tools.pages.charts import write_chart
from ground_tools.pages.pictures import write_picture
from ground_tools.training.records import bundle_sets, check_unseen


@dataclass(frozen=True)
class Plan:
    """What to evaluate, and how.

    split: to evaluate on. images: of each set, 0 for all. sweep: images of the validation split for the sweeps of gamma
    and threshold; disturbed: images to disturb; both for sets with a validation split only, 0 for none. passes: with
    dropout. workers: processes; scheduler: address of a Dask scheduler whose workers are taken instead, or None. out:
    folder of statistics, pictures and reports.
    """

    split: str
    images: int
    sweep: int
    disturbed: int
    passes: int
    workers: int
    out: Path
    scheduler: str | None = None

    @property
    def store(self) -> Path:
        return self.out / "statistics"

    @property
    def pictures(self) -> Path:
        return self.out / "images"


def evaluate(bundles: list[Path], datasets: list[Path], plan: Plan) -> Results:
    """The figures of every bundle on every set, in every mode (see docs/results.md); pictures go to PLAN.out/images.

    All sets are checked against all bundles before the first pass. Raises ValueError naming what does not fit: a
    bundle, a set, a split, two sets of one name, two bundles that both have a mode.
    """
    loaded = [load_bundle(path) for path in bundles]
    _check_modes(loaded)
    names: dict[str, Path] = {}
    for path in datasets:
        for bundle in loaded:
            check_unseen(f"bundle {bundle.name}", bundle_sets(bundle.manifest), path)
            name = select(path, plan.split, 1, bundle).name
        if name in names:
            raise ValueError(f"--dataset: expected sets of different names, got {names[name]} and {path}, both {name}")
        names[name] = path
    results = Results()
    for bundle in loaded:
        own = replace(plan, passes=count_passes(bundle, plan.passes))
        with start_workers(bundle, own.passes, own.workers, own.scheduler) as pool:
            for path in datasets:
                _evaluate_set(bundle, path, own, pool, results)
    return results


def _check_modes(bundles: list[Bundle]) -> None:
    owners: dict[str, str] = {}
    for bundle in bundles:
        for mode in bundle.modes:
            key = result_key(mode)
            if key in owners:
                raise ValueError(
                    f"--bundle: mode {key}: expected it in one bundle, got {owners[key]} and {bundle.path}"
                )
            owners[key] = str(bundle.path)


def _evaluate_set(bundle: Bundle, path: Path, plan: Plan, pool: PartWorkers, results: Results) -> None:
    """Add the figures and pictures of one bundle on one set to the results."""
    selection = select(path, plan.split, plan.images, bundle, identifiers=True)
    name = selection.label
    statistics = _run(pool, plan, bundle, selection, EVALUATION, selection.frames(), name)
    modes = {result_key(mode): mode_figures(bundle, selection, plan.passes, statistics, mode) for mode in bundle.modes}
    results.sets.setdefault(name, {}).update(modes)
    results.hazard.setdefault(name, {})[bundle.name] = hazard_figures(bundle, selection, plan.passes, statistics)
    if risk := risk_figures(bundle, selection, plan.passes, statistics):
        results.risk.setdefault(name, {}).update(risk)
    pictures = results.pictures.setdefault(name, [])

    def add(file: str, caption: str) -> None:
        pictures.append(PictureEntry(file, caption, identity_of(bundle), selection.sha256))

    def draw(what: str, caption: str, figure: Figure) -> None:
        file = f"{name}_{bundle.name}_{what}.png"
        write_chart(plan.pictures / file, figure)
        add(file, f"{caption}, {bundle.name}")

    title = f"{bundle.name} {bundle.version} on {name}, {len(selection)} images"
    file = f"{name}_{bundle.name}_mosaic.jpg"
    write_picture(plan.pictures / file, _mosaic(bundle, selection, statistics, title))
    flown = bool(np.isfinite(selection.samples.times_s).all())
    what = "Images along the flyby" if flown else "Best, middle and worst images by their mIoU"
    caption = f"{what}, {name}, {bundle.modes[0]}"
    add(file, caption)
    if flown:
        draw("flyby", f"Along the flyby {name}", charts.flyby(bundle, modes, title))
    draw("cumulative_iou", f"Cumulative IoU on {name}", charts.cumulative_iou(bundle, statistics, title))
    draw("confusion", f"Confusion matrices on {name}", charts.confusion(bundle, statistics, title))
    draw("calibration", f"Calibration on {name}", charts.calibration(bundle, statistics, title))
    draw("hazards", f"Hazards on {name}, as a lander would judge the maps", charts.hazards(statistics, title))
    if risk:
        caption = f"Risk on {name}: promised and measured, and what is left unmarked"
        draw("risk", caption, charts.risk(bundle, risk, statistics, selection.views, title))
    draw("errors", f"Detection of wrong pixels on {name}", charts.error_detection(bundle, statistics, title))
    if "validation" not in splits_of(path):
        return
    if plan.sweep:
        results.choices.setdefault(selection.name, {})[bundle.name] = _sweep(bundle, path, plan, pool, draw)
    if plan.disturbed:
        part = select(path, plan.split, plan.disturbed, bundle)
        figures = disturbance_figures(bundle, part, plan.passes, _measure_disturbed(bundle, part, plan, pool))
        results.unlike_training.setdefault(name, {})[bundle.name] = figures
        title = f"{bundle.name} {bundle.version}, {len(part)} images of {name}, disturbed"
        draw("disturbances", f"Images unlike training, made of {name}", charts.disturbances(bundle, figures, title))


def _run(
    pool: PartWorkers,
    plan: Plan,
    bundle: Bundle,
    selection: Selection,
    job: Job[S],
    frames: np.ndarray,
    label: str,
) -> S:
    """A job's statistics of chosen samples. frames: (N, H, W) uint8, what the networks are given of them."""
    samples = selection.samples
    images = [
        Image(frame, truth, identifiers, int(seed))
        for frame, truth, identifiers, seed in zip(
            frames, samples.masks, samples.identifiers, selection.positions, strict=True
        )
    ]
    parameters = {
        "bundle": bundle.sha256,
        "dataset": selection.name,
        "split": selection.split,
        "passes": plan.passes,
    }
    return compute_statistics(pool, job, images, parameters, plan.store, label)


def _mosaic(bundle: Bundle, selection: Selection, statistics: ImageStatistics, title: str) -> np.ndarray:
    """The mosaic of a set in the bundle's default mode."""
    values = np.nanmean(image_ious(statistics.confusion[:, 0]), axis=1)
    times = selection.samples.times_s
    groups = along_time(times) if np.isfinite(times).all() else best_middle_worst(values, selection.views)
    return mosaic(bundle, selection, groups, statistics, values, title)


def _measure_disturbed(bundle: Bundle, part: Selection, plan: Plan, pool: PartWorkers) -> dict[str, EntropyStatistics]:
    """Name of a disturbance -> how uncertain each mode is about the images that were disturbed so."""
    frames = [
        disturb_frame(image, name, part.noise is not None) for name in DISTURBANCES for image in part.samples.images
    ]
    rows = np.tile(np.arange(len(part)), len(DISTURBANCES))
    repeated = replace(part, positions=part.positions[rows], views=part.views[rows], samples=part.samples.chosen(rows))
    label = f"{part.name}: disturbed"
    measured = _run(pool, plan, bundle, repeated, ENTROPY, np.stack(frames), label)
    return {
        name: measured.rows(slice(place * len(part), (place + 1) * len(part)))
        for place, name in enumerate(DISTURBANCES)
    }


def _sweep(
    bundle: Bundle, path: Path, plan: Plan, pool: PartWorkers, draw: Callable[[str, str, Figure], None]
) -> SweepFigures:
    """What the choices look like on the validation split."""
    selection = select(path, "validation", plan.sweep, bundle, identifiers=True)
    statistics = _run(pool, plan, bundle, selection, SWEEP, selection.frames(), f"{selection.name} validation")
    figures = sweep_figures(bundle, selection, plan.passes, statistics)
    title = f"{bundle.name} {bundle.version} on {selection.name}, {len(selection)} validation images"
    if figures.gamma is not UNSET:
        caption = f"gamma on the validation split of {selection.name}; dotted: as shipped"
        draw("gamma", caption, charts.gamma_sweep(bundle, figures.gamma, title))
    caption = f"Uncertainty threshold on the validation split of {selection.name}; dotted: as shipped"
    draw("threshold", caption, charts.threshold_sweep(bundle, figures.threshold, title))
    return figures
