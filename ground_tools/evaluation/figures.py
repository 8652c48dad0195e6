"""From statistics to the figures of results.json: plain values, fractions, null where there is none."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from flight.bundle import Bundle
from flight.inference.quality import entropy_is_high
from flight.settings import default_settings
from ground_tools.evaluation.choices import GAMMA_SWEEP, THRESHOLD_SWEEP, THRESHOLDS
from ground_tools.evaluation.disturbances import DISTURBANCES
from ground_tools.evaluation.paper import BETTER_MODES, REFERENCE_MODES, TARGETS
from ground_tools.evaluation.selection import Selection
from ground_tools.evaluation.statistics import ROCK_SIZES, VERSION, Arrays
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

Record = dict[str, Any]
COVERAGES = (0.8, 0.9, 0.95, 1.0)
# Places of a record that are no sets.
_NOT_SETS = ("uncertainty", "choices", "unlike_training", "targets", "pictures")
_DIGITS = 6


def result_key(mode: str) -> str:
    """How results.json calls a mode: UNetAS -> unet_as."""
    spaced = mode.replace("UNet", "unet_", 1) if mode.startswith("UNet") else mode
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


def sets_of(record: Record) -> dict[str, Record]:
    """The sets of a record: name -> mode -> figures."""
    return {name: modes for name, modes in record.items() if name not in _NOT_SETS}


def plain(value: Any) -> Any:
    """A value for JSON: arrays as lists, numbers rounded to 6 digits after the point, null for what is no number."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return round(float(value), _DIGITS) if math.isfinite(value) else None
    return value


def provenance(bundle: Bundle, selection: Selection, passes: int) -> Record:
    """What figures were measured on, and by which evaluation."""
    return {
        "bundle": bundle.identity,
        "passes": passes,
        "statistics_version": VERSION,
        "dataset": selection.name,
        "dataset_sha256": selection.sha256,
        "split": selection.split,
        "split_by": selection.split_by,
        "views": len(np.unique(selection.views)),
        "images": len(selection),
        "of_images": selection.total,
    }


def trained_on(bundle: Bundle, mode: str) -> list[str]:
    """Names of the sets that a mode's networks go back to, the encoder's too, as far as the bundle states them."""
    roles = [network.name for network in bundle.networks]
    used = sets_used(bundle.manifest["training"], {})
    sets = [stated for role in ([mode] if mode in roles else roles) for stated in used.get(role, [])]
    return sorted({set_name({**s, "campaign": {"split_by": s.get("split_by")}}) for s in sets if "name" in s})


def mode_figures(bundle: Bundle, selection: Selection, passes: int, statistics: Arrays, mode: str) -> Record:
    """All figures of one mode on one set."""
    number = bundle.modes.index(mode)
    names = [definition.name for definition in bundle.classes]

    def by_class(values: np.ndarray) -> Record:
        return dict(zip(names, values, strict=True))

    confusions = statistics["confusion"][:, number]
    single = statistics["confusion_deterministic"][:, number]
    enhanced = statistics["confusion_enhanced"][:, number]
    ious, total = image_ious(confusions), confusions.sum(axis=0)
    precision, recall, f1 = precision_recall_f1(total)
    boundary = over_images(statistics["boundary"][:, number], "mean")
    of_images = np.nanmean(ious, axis=1)
    figures: Record = {
        "mode": mode,
        **provenance(bundle, selection, passes),
        "trained_on": trained_on(bundle, mode),
        "miou": mean_iou(paper_iou(confusions)),
        "miou_interval": miou_interval(ious, selection.views),
        "iou": by_class(paper_iou(confusions)),
        "iou_min": by_class(over_images(ious, "min")),
        "iou_max": by_class(over_images(ious, "max")),
        "image_miou": {"min": of_images.min(), "median": np.median(of_images), "max": of_images.max()},
        "set_miou": mean_iou(set_iou(confusions)),
        "set_iou": by_class(set_iou(confusions)),
        "precision": by_class(precision),
        "recall": by_class(recall),
        "f1": by_class(f1),
        "boundary_f": by_class(boundary),
        "boundary_f_mean": mean_iou(boundary),
        "confusion": total,
        "nll": statistics["nll"][:, number].mean(),
        "brier": statistics["brier"][:, number].mean(),
        "mean_entropy": statistics["entropy"][:, number].mean(),
        "mean_mutual_information": statistics["mutual"][:, number].mean(),
        "deterministic": {
            "miou": mean_iou(paper_iou(single)),
            "iou": by_class(paper_iou(single)),
            "nll": statistics["nll_deterministic"][:, number].mean(),
            "brier": statistics["brier_deterministic"][:, number].mean(),
            "ece": expected_calibration_error(statistics["calibration_deterministic"][number]),
        },
        "enhanced": {
            "threshold": bundle.uncertainty_threshold,
            "uncertain_share": enhanced[..., -1].sum() / enhanced.sum(),
            "miou": mean_iou(paper_iou(enhanced)),
            "iou": by_class(paper_iou(enhanced)),
        },
        "uncertainty": uncertainty_figures(bundle, statistics, number),
    }
    if bundle.fusion is not None and mode == bundle.fusion.mode:
        figures["gamma"] = bundle.gamma
    if np.isfinite(selection.samples.times_s).all():
        figures["along"] = flyby_rows(names, selection, ious, statistics["entropy"][:, number])
    return dict(plain(figures))


def uncertainty_figures(bundle: Bundle, statistics: Arrays, number: int) -> Record:
    """Whether the uncertainty of one mode tells where it is wrong, pixel by pixel over the whole set."""
    calibration = statistics["calibration"][number]
    entropy, mutual = (statistics[f"{name}_histogram"][number] for name in ("entropy", "mutual"))
    marked = statistics["confusion_enhanced"][:, number].sum(axis=0)
    accurate, uncertain = certainty_of_marks(statistics["confusion"][:, number].sum(axis=0), marked)
    pixels, right, confidence = calibration
    with np.errstate(invalid="ignore", divide="ignore"):
        bins = {"pixels": pixels.astype(np.int64), "accuracy": right / pixels, "confidence": confidence / pixels}
    return {
        "ece": expected_calibration_error(calibration),
        "auroc": area_under_roc(entropy),
        "auroc_bin_error": area_under_roc_error(entropy),
        "aupr": average_precision(entropy),
        "auroc_mutual_information": area_under_roc(mutual),
        "auroc_mutual_information_bin_error": area_under_roc_error(mutual),
        "aupr_mutual_information": average_precision(mutual),
        "error_rate": entropy[1].sum() / entropy.sum(),
        "p_accurate_certain": accurate,
        "p_uncertain_inaccurate": uncertain,
        "aurc": area_under_risk_coverage(entropy),
        "risk": {f"{coverage:g}": risk_at(entropy, coverage) for coverage in COVERAGES},
        "reliability": bins,
    }


def flyby_rows(names: list[str], selection: Selection, ious: np.ndarray, entropies: np.ndarray) -> list[Record]:
    """The figures of each image of a flyby, in order of time."""
    times, ranges = selection.samples.times_s, selection.samples.ranges_d0
    return [
        {
            "time_s": times[row],
            "range_d0": ranges[row],
            "miou": np.nanmean(ious[row]),
            "iou": dict(zip(names, ious[row], strict=True)),
            "entropy": entropies[row],
        }
        for row in np.argsort(times)
    ]


def sweep_figures(bundle: Bundle, selection: Selection, passes: int, statistics: Arrays) -> Record:
    """What the choices look like on a validation set."""
    names = [definition.name for definition in bundle.classes]
    by_threshold = {}
    for number, mode in enumerate(bundle.modes):
        by_place = statistics["threshold_confusion"][:, number]
        value_of = {t: mean_iou(paper_iou(by_place[:, place])) for place, t in enumerate(THRESHOLD_SWEEP)}
        by_threshold[result_key(mode)] = {
            "miou": {f"{t:g}": value_of[t] for t in THRESHOLDS},
            "miou_unmarked": value_of[1.0],
            "best": max(THRESHOLDS, key=value_of.__getitem__),
        }
    figures: Record = {
        **provenance(bundle, selection, passes),
        "threshold": {"chosen": bundle.uncertainty_threshold, "modes": by_threshold},
    }
    if "gamma_confusion" in statistics:
        ious = np.stack([paper_iou(statistics["gamma_confusion"][:, g]) for g in range(len(GAMMA_SWEEP))])
        mious = [mean_iou(row) for row in ious]
        rocks = statistics["gamma_rocks"].sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            recall = rocks[..., 0] / rocks[..., 1]
        figures["gamma"] = {
            "chosen": bundle.gamma,
            "best": GAMMA_SWEEP[int(np.argmax(mious))],
            "gammas": GAMMA_SWEEP,
            "miou": mious,
            "iou": {name: ious[:, index] for index, name in enumerate(names)},
            "rock_recall": {str(size): recall[:, index] for index, size in enumerate(ROCK_SIZES)},
            "rock_pixels": {str(size): int(rocks[0, index, 1]) for index, size in enumerate(ROCK_SIZES)},
        }
    return dict(plain(figures))


def disturbance_figures(bundle: Bundle, selection: Selection, passes: int, by_name: dict[str, Arrays]) -> Record:
    """How the mean entropy of the same images rises when they are disturbed.

    told_apart: area under the ROC curve of telling a disturbed image from an undisturbed one by its mean entropy.
    flagged: share of the images on which the flight service would raise `high_entropy`; default mode only, whose
    entropies on the validation set the bundle states.
    """
    limits = default_settings(bundle)
    modes: Record = {}
    for number, mode in enumerate(bundle.modes):
        calm = by_name["none"]["entropy"][:, number]
        rows = {}
        for name in DISTURBANCES:
            entropy, mutual = (by_name[name][key][:, number] for key in ("entropy", "mutual"))
            rows[name] = {
                "entropy": entropy.mean(),
                "mutual_information": mutual.mean(),
                "ratio": entropy.mean() / calm.mean() if calm.mean() > 0.0 else None,
                "risen_share": (entropy > calm).mean(),
                "told_apart": area_of_pairs(calm, entropy),
            }
            if number == 0 and bundle.validation_entropy is not None:
                high = [entropy_is_high(float(value), bundle.validation_entropy, limits) for value in entropy]
                rows[name]["flagged_share"] = np.mean(high)
        modes[result_key(mode)] = rows
    return dict(plain({**provenance(bundle, selection, passes), "modes": modes}))


def reference_mode(name: str, modes: Record) -> str:
    """The mode by which a set is compared with the paper and the targets, or the first that there is."""
    wanted = REFERENCE_MODES.get(name)
    return wanted if wanted in modes else next(iter(modes))


def add_conclusions(record: Record) -> Record:
    """The record with what follows from its sets: the uncertainty on D-1 (else on the first set), and the targets."""
    sets = sets_of(record)
    result = dict(record)
    if sets:
        name = "d1" if "d1" in sets else next(iter(sets))
        mode = reference_mode(name, sets[name])
        figures = sets[name][mode]
        scores = {what: figures[what] for what in ("nll", "brier")}
        result["uncertainty"] = {"dataset": name, "mode": mode, **scores, **figures["uncertainty"]}
    result["targets"] = targets(sets)
    return result


def targets(sets: dict[str, Record]) -> list[Record]:
    """What the project set itself, and whether it is met; null where it was not measured."""
    rows: list[Record] = []
    for what, name, sense, bound in TARGETS:
        modes = sets.get(name, {})
        value, mode = None, None
        if modes:
            mode = reference_mode(name, modes)
            figures = modes[mode]
            if what.startswith("class/"):
                value = figures["iou"].get(what.removeprefix("class/"))
            else:
                value = figures["uncertainty"][what] if what in figures["uncertainty"] else figures[what]
        met = None if value is None else (value >= bound if sense == "at least" else value <= bound)
        rows.append({"what": what, "dataset": name, "mode": mode, sense.replace(" ", "_"): bound, "value": value})
        rows[-1]["met"] = met
    for what, better in (("miou", "higher"), ("nll", "lower")):
        modes = sets.get("d1", {})
        mode = reference_mode("d1", modes) if modes else None
        value, than = (modes[mode][what], modes[mode]["deterministic"][what]) if mode else (None, None)
        rows.append(_comparison(what, better, "without dropout", "d1", mode, value, than))
    for name, mode, other in BETTER_MODES:
        modes = sets.get(name, {})
        value, than = ((modes[key]["miou"] if key in modes else None) for key in (mode, other))
        rows.append(_comparison("miou", "higher", other, name, mode, value, than))
    return rows


def _comparison(
    what: str, better: str, other: str, name: str, mode: str | None, value: float | None, than: float | None
) -> Record:
    """A target that is another figure; met is null unless both were measured."""
    met = None if value is None or than is None else (value > than if better == "higher" else value < than)
    return {
        "what": f"{what} {better} than {other}",
        "dataset": name,
        "mode": mode,
        "value": value,
        "than": than,
        "met": met,
    }
