"""From statistics to the figures of results.json: see results.py for what they mean."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
from msgspec import UNSET

from flight.bundle import Bundle
from flight.inference.quality import entropy_is_high
from flight.settings import default_settings
from ground_tools.evaluation.choices import GAMMA_SWEEP, THRESHOLD_SWEEP, THRESHOLDS
from ground_tools.evaluation.disturbances import DISTURBANCES
from ground_tools.evaluation.results import (
    BundleIdentity,
    ByClass,
    DisturbanceFigures,
    Disturbed,
    Enhanced,
    FlybyImage,
    GammaSweep,
    ImageMious,
    ModeFigures,
    Reliability,
    SweepFigures,
    ThresholdSweep,
    ThresholdSweeps,
    Uncertainty,
    WithoutDropout,
)
from ground_tools.evaluation.selection import Selection
from ground_tools.evaluation.statistics import ROCK_SIZES, VERSION, EntropyStatistics, ImageStatistics, SweepStatistics
from ground_tools.metrics.calibration import expected_calibration_error
from ground_tools.metrics.error_detection import (
    area_of_pairs,
    area_under_risk_coverage,
    area_under_roc,
    area_under_roc_error,
    average_precision,
    certainty_of_marks,
    risk_at,
)
from ground_tools.metrics.iou import (
    image_ious,
    mean_iou,
    miou_interval,
    over_images,
    paper_iou,
    precision_recall_f1,
    set_iou,
)
from ground_tools.training.records import set_name, sets_used

COVERAGES = (0.8, 0.9, 0.95, 1.0)
_DIGITS = 6


def result_key(mode: str) -> str:
    """How results.json calls a mode: UNetAS -> unet_as."""
    spaced = mode.replace("UNet", "unet_", 1) if mode.startswith("UNet") else mode
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


def identity_of(bundle: Bundle) -> BundleIdentity:
    """Which bundle figures are of."""
    return BundleIdentity(**bundle.identity)


def _number(value: float) -> float:
    """A number that is there whatever the images show, rounded. Raises ValueError where it is none."""
    if not math.isfinite(value):
        raise ValueError(f"figures: expected a number, got {value}")
    return round(float(value), _DIGITS)


def _known(value: float | None) -> float | None:
    """A number rounded; None for what is no number."""
    return None if value is None or not math.isfinite(value) else round(float(value), _DIGITS)


def _row(values: np.ndarray) -> list[float | None]:
    return [_known(value) for value in values]


def provenance(bundle: Bundle, selection: Selection, passes: int) -> dict[str, Any]:
    """The fields of results.Provenance."""
    return {
        "bundle": identity_of(bundle),
        "passes": passes,
        "statistics_version": VERSION,
        "dataset": selection.name,
        "dataset_sha256": selection.sha256,
        "dataset_labels_sha256": selection.labels_sha256,
        "split": selection.split,
        "split_by": selection.split_by,
        "views": len(np.unique(selection.views)),
        "images": len(selection),
        "of_images": selection.total,
    }


def find_training_sets(bundle: Bundle, mode: str) -> list[str]:
    """Names of the sets that a mode's networks go back to, the encoder's too, as far as the bundle states them."""
    roles = [network.name for network in bundle.networks]
    used = sets_used(bundle.manifest["training"], {})
    sets = [stated for role in ([mode] if mode in roles else roles) for stated in used.get(role, [])]
    return sorted({set_name({**s, "campaign": {"split_by": s.get("split_by")}}) for s in sets if "name" in s})


def mode_figures(
    bundle: Bundle, selection: Selection, passes: int, statistics: ImageStatistics, mode: str
) -> ModeFigures:
    """All figures of one mode on one set."""
    number = bundle.modes.index(mode)
    names = [definition.name for definition in bundle.classes]

    def by_class(values: np.ndarray) -> ByClass:
        return dict(zip(names, _row(values), strict=True))

    confusions = statistics.confusion[:, number]
    ious, total = image_ious(confusions), confusions.sum(axis=0)
    precision, recall, f1 = precision_recall_f1(total)
    boundary = over_images(statistics.boundary[:, number], "mean")
    low, high = miou_interval(ious, selection.views)
    image_mious = np.nanmean(ious, axis=1)
    fused = bundle.fusion is not None and mode == bundle.fusion.mode
    flown = bool(np.isfinite(selection.samples.times_s).all())
    return ModeFigures(
        mode=mode,
        **provenance(bundle, selection, passes),
        trained_on=find_training_sets(bundle, mode),
        miou=_number(mean_iou(paper_iou(confusions))),
        miou_interval=(_known(low), _known(high)),
        iou=by_class(paper_iou(confusions)),
        iou_min=by_class(over_images(ious, "min")),
        iou_max=by_class(over_images(ious, "max")),
        image_miou=ImageMious(*map(_number, (image_mious.min(), float(np.median(image_mious)), image_mious.max()))),
        set_miou=_number(mean_iou(set_iou(confusions))),
        set_iou=by_class(set_iou(confusions)),
        precision=by_class(precision),
        recall=by_class(recall),
        f1=by_class(f1),
        boundary_f=by_class(boundary),
        boundary_f_mean=_known(mean_iou(boundary)),
        confusion=total.tolist(),
        nll=_number(statistics.nll[:, number].mean()),
        brier=_number(statistics.brier[:, number].mean()),
        mean_entropy=_number(statistics.entropy[:, number].mean()),
        mean_mutual_information=_number(statistics.mutual[:, number].mean()),
        deterministic=_without_dropout(names, statistics, number),
        enhanced=_enhanced(names, bundle.uncertainty_threshold, statistics.confusion_enhanced[:, number]),
        uncertainty=_uncertainty(statistics, number),
        gamma=_number(bundle.gamma) if fused else UNSET,
        along=_along(names, selection, ious, statistics.entropy[:, number]) if flown else UNSET,
    )


def _without_dropout(names: list[str], statistics: ImageStatistics, number: int) -> WithoutDropout:
    iou = paper_iou(statistics.confusion_deterministic[:, number])
    return WithoutDropout(
        miou=_number(mean_iou(iou)),
        iou=dict(zip(names, _row(iou), strict=True)),
        nll=_number(statistics.nll_deterministic[:, number].mean()),
        brier=_number(statistics.brier_deterministic[:, number].mean()),
        ece=_number(expected_calibration_error(statistics.calibration_deterministic[number])),
    )


def _enhanced(names: list[str], threshold: float, confusions: np.ndarray) -> Enhanced:
    """confusions: (N, K, K + 1), the last column that of the marked pixels."""
    iou = paper_iou(confusions)
    return Enhanced(
        threshold=_number(threshold),
        uncertain_share=_number(confusions[..., -1].sum() / confusions.sum()),
        miou=_number(mean_iou(iou)),
        iou=dict(zip(names, _row(iou), strict=True)),
    )


def _uncertainty(statistics: ImageStatistics, number: int) -> Uncertainty:
    calibration = statistics.calibration[number]
    entropy, mutual = statistics.entropy_histogram[number], statistics.mutual_histogram[number]
    marked = statistics.confusion_enhanced[:, number].sum(axis=0)
    accurate, uncertain = certainty_of_marks(statistics.confusion[:, number].sum(axis=0), marked)
    return Uncertainty(
        ece=_number(expected_calibration_error(calibration)),
        auroc=_known(area_under_roc(entropy)),
        auroc_bin_error=_known(area_under_roc_error(entropy)),
        aupr=_known(average_precision(entropy)),
        auroc_mutual_information=_known(area_under_roc(mutual)),
        auroc_mutual_information_bin_error=_known(area_under_roc_error(mutual)),
        aupr_mutual_information=_known(average_precision(mutual)),
        error_rate=_number(entropy[1].sum() / entropy.sum()),
        p_accurate_certain=_known(accurate),
        p_uncertain_inaccurate=_known(uncertain),
        aurc=_number(area_under_risk_coverage(entropy)),
        risk={f"{coverage:g}": _number(risk_at(entropy, coverage)) for coverage in COVERAGES},
        reliability=reliability(calibration),
    )


def reliability(counts: np.ndarray) -> Reliability:
    """The reliability diagram of calibration counts, (3, bins)."""
    pixels, right, confidence = counts
    with np.errstate(invalid="ignore", divide="ignore"):
        return Reliability(pixels.astype(np.int64).tolist(), _row(right / pixels), _row(confidence / pixels))


def _along(names: list[str], selection: Selection, ious: np.ndarray, entropies: np.ndarray) -> list[FlybyImage]:
    """The figures of each image of a flyby, in order of time. ious: (N, K). entropies: (N,)."""
    times, ranges = selection.samples.times_s, selection.samples.ranges_d0
    return [
        FlybyImage(
            time_s=_number(times[row]),
            range_d0=_number(ranges[row]),
            miou=_number(np.nanmean(ious[row])),
            iou=dict(zip(names, _row(ious[row]), strict=True)),
            entropy=_number(entropies[row]),
        )
        for row in np.argsort(times)
    ]


def sweep_figures(bundle: Bundle, selection: Selection, passes: int, statistics: SweepStatistics) -> SweepFigures:
    """What the choices look like on a validation set."""
    by_threshold = {}
    for number, mode in enumerate(bundle.modes):
        by_place = statistics.threshold_confusion[:, number]
        value_of = {t: mean_iou(paper_iou(by_place[:, place])) for place, t in enumerate(THRESHOLD_SWEEP)}
        by_threshold[result_key(mode)] = ThresholdSweep(
            miou={f"{t:g}": _number(value_of[t]) for t in THRESHOLDS},
            miou_unmarked=_number(value_of[1.0]),
            best=max(THRESHOLDS, key=value_of.__getitem__),
        )
    return SweepFigures(
        **provenance(bundle, selection, passes),
        threshold=ThresholdSweeps(_number(bundle.uncertainty_threshold), by_threshold),
        gamma=_gamma_sweep(bundle, statistics.gamma_confusion, statistics.gamma_rocks)
        if statistics.gamma_confusion is not None and statistics.gamma_rocks is not None
        else UNSET,
    )


def _gamma_sweep(bundle: Bundle, confusions: np.ndarray, of_rocks: np.ndarray) -> GammaSweep:
    """confusions: (N, G, K, K). of_rocks: (N, G, S, 2)."""
    ious = np.stack([paper_iou(confusions[:, place]) for place in range(len(GAMMA_SWEEP))])
    mious = [mean_iou(row) for row in ious]
    rocks = of_rocks.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = rocks[..., 0] / rocks[..., 1]
    return GammaSweep(
        chosen=_number(bundle.gamma),
        best=GAMMA_SWEEP[int(np.argmax(mious))],
        gammas=list(GAMMA_SWEEP),
        miou=[_number(miou) for miou in mious],
        iou={definition.name: _row(ious[:, index]) for index, definition in enumerate(bundle.classes)},
        rock_recall={str(size): _row(recall[:, index]) for index, size in enumerate(ROCK_SIZES)},
        rock_pixels={str(size): int(rocks[0, index, 1]) for index, size in enumerate(ROCK_SIZES)},
    )


def disturbance_figures(
    bundle: Bundle, selection: Selection, passes: int, by_name: dict[str, EntropyStatistics]
) -> DisturbanceFigures:
    """How the mean entropy of the same images rises when they are disturbed. by_name: by the disturbance."""
    limits = default_settings(bundle)
    modes: dict[str, dict[str, Disturbed]] = {}
    for number, mode in enumerate(bundle.modes):
        calm = by_name["none"].entropy[:, number]
        rows = {}
        for name in DISTURBANCES:
            entropy, mutual = by_name[name].entropy[:, number], by_name[name].mutual[:, number]
            rows[name] = Disturbed(
                entropy=_number(entropy.mean()),
                mutual_information=_number(mutual.mean()),
                ratio=_known(entropy.mean() / calm.mean()) if calm.mean() > 0.0 else None,
                risen_share=_number((entropy > calm).mean()),
                told_apart=_number(area_of_pairs(calm, entropy)),
            )
            # The bundle states the entropies on the validation set of its default mode alone.
            if number == 0 and bundle.validation_entropy is not None:
                high = [entropy_is_high(float(value), bundle.validation_entropy, limits) for value in entropy]
                rows[name] = replace(rows[name], flagged_share=_number(float(np.mean(high))))
        modes[result_key(mode)] = rows
    return DisturbanceFigures(**provenance(bundle, selection, passes), modes=modes)
