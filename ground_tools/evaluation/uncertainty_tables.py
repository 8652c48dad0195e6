"""How good the uncertainty is, as tables: marked pixels, dropout, detection of wrong pixels, images unlike training."""

from __future__ import annotations

import math

from msgspec import UNSET

from ground_tools.evaluation.paper import PAPER_LARGEST_CHANGE, PAPER_THRESHOLDS
from ground_tools.evaluation.results import DisturbanceFigures, ModeFigures, Results
from ground_tools.pages.blocks import Block, Heading, Table, Text, number, percent


def uncertainty_blocks(results: Results) -> list[Block]:
    """What the threshold changes, what dropout changes, and how well the uncertainty tells what is wrong."""
    return [*_enhanced(results), *_dropout(results), *_uncertainty(results)]


def _enhanced(results: Results) -> list[Block]:
    """The paper's Table 7."""
    rows = []
    for name, key, f in results.figures():
        paper = PAPER_THRESHOLDS.get((name, key))
        cells = [f"{f.enhanced.threshold:g}", "-" if paper is None else f"{paper:g}", percent(f.miou)]
        change = f"{100.0 * (f.enhanced.miou - f.miou):+.2f}"
        rows.append([name, key, *cells, percent(f.enhanced.miou), change, percent(f.enhanced.uncertain_share, 2)])
    head = ["set", "mode", "threshold", "paper's", "mIoU before", "after", "change, points", "pixels marked, %"]
    return [
        Heading("Before and after the uncertainty threshold (the paper's Table 7)", 2),
        Text(
            "A marked pixel leaves every prediction, right or wrong, and stays in the truth. The paper's masks changed "
            f"by at most {PAPER_LARGEST_CHANGE:g} points."
        ),
        Table(head, rows),
    ]


def _dropout(results: Results) -> list[Block]:
    rows = []
    for name, key, f in results.figures():
        single = f.deterministic
        cells = [percent(f.miou), percent(single.miou), number(f.nll), number(single.nll)]
        cells += [number(f.brier), number(single.brier), percent(f.uncertainty.ece), percent(single.ece)]
        rows.append([name, key, *cells])
    head = [
        "set",
        "mode",
        "mIoU, %",
        "without dropout",
        "NLL, nats",
        "without",
        "Brier",
        "without",
        "ECE, %",
        "without",
    ]
    return [
        Heading("Mean of the passes beside one pass without dropout", 2),
        Text("NLL and Brier score are means over all pixels; the Brier score goes from 0 to 2."),
        Table(head, rows),
    ]


def _uncertainty(results: Results) -> list[Block]:
    rows, risks = [], []
    coverages: list[str] = []
    for name, key, f in results.figures():
        u = f.uncertainty
        cells = [percent(u.error_rate), percent(u.ece), number(u.auroc), number(u.aupr)]
        cells += [number(u.auroc_mutual_information), number(u.aupr_mutual_information)]
        rows.append([name, key, *cells, percent(u.p_accurate_certain), percent(u.p_uncertain_inaccurate)])
        coverages = list(u.risk)
        risks.append([name, key, *(percent(u.risk[c], 2) for c in coverages), number(u.aurc, 4)])
    of_all = [f.uncertainty for _, _, f in results.figures()]
    entropy = _largest([u.auroc_bin_error for u in of_all])
    mutual = _largest([u.auroc_mutual_information_bin_error for u in of_all])
    head = ["set", "mode", "wrong, %", "ECE, %", "AUROC", "AUPR", "AUROC, mutual inf.", "AUPR, mutual inf."]
    head += ["p(acc. / certain), %", "p(unc. / wrong), %"]
    return [
        Heading("Quality of the uncertainty", 2),
        Text(
            "Detection of wrong pixels by predictive entropy, and by mutual information. AUPR is to be read beside the "
            "share of wrong pixels, which blind guessing reaches. The bins change no AUROC by entropy by more than "
            f"{entropy}, none by mutual information by more than {mutual}."
        ),
        Table(head, rows),
        Text("Share of wrong pixels, per cent, when only the most certain are kept, and the area under that curve:"),
        Table(["set", "mode", *(f"{100 * float(c):g} % kept" for c in coverages), "AURC"], risks),
    ]


def _largest(bounds: list[float | None]) -> str:
    """The largest of some bounds; rounded up, as a bound."""
    return f"{math.ceil(1e4 * max(bound or 0.0 for bound in bounds)) / 1e4:.4f}"


def disturbance_blocks(results: Results) -> list[Block]:
    """How the entropy rises on images unlike training: disturbed ones, and those of other sets."""
    result: list[Block] = []
    figures = [(name, *item) for name, own in results.unlike_training.items() for item in own.items()]
    head = ["mode", "disturbance", "entropy, nats", "times undisturbed", "images with more, %", "AUROC"]
    head += ["mutual inf., nats", "flagged, %", "entropy rises"]
    for name, bundle, f in figures:
        rows = []
        for mode in f.modes:
            rows += _disturbance_rows(f, mode)
            rows += _rows_of_other_sets(results.sets, name, mode, f.bundle.sha256)
        result += [
            Heading(f"Images unlike training, made of {name}, {bundle}", 2),
            Text(
                f"The same {f.images} images of the {f.split} split in every row. Rows of sets compare all "
                f"evaluated images of another set, of which the mode's networks saw none in training, with all of "
                f"{name}. "
                "AUROC: of telling a disturbed image from an undisturbed one by its mean entropy. Flagged: share of "
                "the images on which the service raises `high_entropy` in the bundle's default mode."
            ),
            Table(head, rows),
        ]
    return result


def _disturbance_rows(figures: DisturbanceFigures, mode: str) -> list[list[str]]:
    rows = []
    for what, disturbed in figures.modes[mode].items():
        cells = [number(disturbed.entropy), number(disturbed.ratio, 2), percent(disturbed.risen_share, 0)]
        cells += [number(disturbed.told_apart, 2), number(disturbed.mutual_information)]
        cells.append("-" if disturbed.flagged_share is UNSET else percent(disturbed.flagged_share, 0))
        rows.append([mode, what, *cells, "-" if what == "none" else _rises(disturbed.ratio)])
    return rows


def _rows_of_other_sets(sets: dict[str, dict[str, ModeFigures]], name: str, mode: str, sha256: str) -> list[list[str]]:
    """Rows on sets other than `name` and those of the mode's training, where the bundle of this hash was evaluated."""
    base = sets.get(name, {}).get(mode)
    if base is None or base.bundle.sha256 != sha256:
        return []
    rows = []
    for other, modes in sets.items():
        f = modes.get(mode)
        if other == name or f is None or f.bundle.sha256 != sha256:
            continue
        if f.dataset in (base.dataset, *f.trained_on):
            continue
        ratio = f.mean_entropy / base.mean_entropy if base.mean_entropy else None
        cells = [number(f.mean_entropy), number(ratio, 2), "-", "-", number(f.mean_mutual_information), "-"]
        rows.append([mode, f"set {other}", *cells, _rises(ratio)])
    return rows


def _rises(ratio: float | None) -> str:
    return "yes" if (ratio or 0.0) > 1.0 else "no"
