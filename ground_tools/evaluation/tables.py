"""The report of an evaluation as blocks of headings, text, tables and pictures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np

from ground_tools.evaluation.figures import Record, sets_of
from ground_tools.evaluation.paper import PAPER_IOU, PAPER_LARGEST_CHANGE, PAPER_THRESHOLDS
from ground_tools.evaluation.statistics import rock_range
from ground_tools.pages.blocks import Block, Heading, Picture, Table, Text, number, percent

# Least and largest range of the rows that sum up a flyby, D0; training images lie within 0.4 to 1.3.
_RANGES_D0 = (0.0, 1.0, 1.3, 2.0, 3.0, 5.0, math.inf)


def blocks(record: Record) -> list[Block]:
    """The whole report of a record (see figures.py and docs/results.md)."""
    result: list[Block] = []
    sets = sets_of(record)
    if not sets:
        return [Text("Nothing has been evaluated yet.")]
    result += _evaluated(sets)
    result += _targets(record["targets"])
    result += _iou(sets)
    result += _unseen(sets)
    result += _more_measures(sets)
    result += _enhanced(sets)
    result += _dropout(sets)
    result += _uncertainty(sets)
    result += _flybys(sets)
    result += _choices(record.get("choices", {}))
    result += _unlike(record.get("unlike_training", {}), sets)
    result += _pictures(record.get("pictures", {}))
    return result


def _evaluated(sets: dict[str, Record]) -> list[Block]:
    rows = []
    for name, modes in sets.items():
        for figures in modes.values():
            bundle = figures["bundle"]
            images = f"{figures['images']} of {figures['of_images']}"
            split = figures["split"] + (f", by {figures['split_by']}" if figures["split_by"] else "")
            cells = [name, figures["mode"], split, images, str(figures["views"]), str(figures["passes"])]
            cells += [f"{bundle['name']} {bundle['version']} `{bundle['sha256'][:12]}`"]
            rows.append([*cells, f"`{figures['dataset_sha256'][:12]}`"])
    part = any(figures["images"] < figures["of_images"] for modes in sets.values() for figures in modes.values())
    result: list[Block] = [Heading("What was evaluated", 2)]
    if part:
        result.append(
            Text(
                "Where a part of a split was evaluated, it is an even share of every body, evenly through its images. "
                "The interval beside a mean tells how far that of the whole split may be off; with few images, the IoU "
                "of craters and boulders is uncertain by several points."
            )
        )
    return [*result, Table(["set", "mode", "split", "images", "views", "passes", "bundle", "set's sha256"], rows)]


def _targets(targets: list[Record]) -> list[Block]:
    rows = []
    for row in targets:
        what = row["what"].removeprefix("class/")
        in_percent = not what.startswith(("auroc", "nll"))
        unit = ", %" if in_percent else ", nats" if what.startswith("nll") else ""
        show = percent if in_percent else number
        name = what.replace("miou", "mIoU").replace("nll", "NLL").replace("ece", "ECE").replace("auroc", "AUROC")
        name = f"IoU of {name}" if row["what"].startswith("class/") else name
        sense = ">= " if "at_least" in row else "<= " if "at_most" in row else "> " if "higher" in what else "< "
        bound = row.get("at_least", row.get("at_most", row.get("than")))
        goal = "-" if bound is None else sense + show(bound)
        verdict = {True: "met", False: "not met", None: "not measured"}[row["met"]]
        rows.append([name + unit, row["dataset"], row["mode"] or "-", goal, show(row["value"]), verdict])
    return [Heading("Targets", 2), Table(["what", "set", "mode", "target", "measured", ""], rows)]


def _iou(sets: dict[str, Record]) -> list[Block]:
    """The paper's Table 6."""
    result: list[Block] = [
        Heading("IoU per class, the paper's definition (its Table 6)", 2),
        Text(
            "Per cent: mean over the images that show the class (least to largest). Mean: of the classes' means, with "
            "the interval in which it would lie for 95 % of such sets of images, a dash where too few views show some "
            "class to tell."
        ),
    ]
    for name, modes in sets.items():
        classes = list(next(iter(modes.values()))["iou"])
        rows = []
        for key, f in modes.items():
            cells = [
                f"{percent(f['iou'][c])} ({percent(f['iou_min'][c], 0)} to {percent(f['iou_max'][c], 0)})"
                for c in classes
            ]
            rows.append([key, *cells, _with_interval(f)])
        rows += _paper_rows(name, classes, PAPER_IOU)
        result += [Heading(name, 3), Table(["mode", *classes, "mean"], rows)]
    return result


def _with_interval(figures: Record) -> str:
    low, high = figures["miou_interval"]
    interval = "-" if low is None else f"{percent(low)} to {percent(high)}"
    return f"{percent(figures['miou'])} ({interval})"


def _unseen(sets: dict[str, Record]) -> list[Block]:
    """Sets that are there in both split rules: how much is lost on bodies that the set's training split lacks."""
    result: list[Block] = []
    for name, modes in sets.items():
        other = f"{name}_unseen_bodies"
        rows = []
        besides: set[str] = set()
        for key in [key for key in modes if key in sets.get(other, {})]:
            seen, unseen = modes[key], sets[other][key]
            drops = [
                "-"
                if None in (seen["iou"][c], unseen["iou"][c])
                else f"{100 * (seen['iou'][c] - unseen['iou'][c]):.1f}"
                for c in seen["iou"]
            ]
            besides |= {trained for trained in unseen["trained_on"] if trained != other}
            bundles = [f"{f['bundle']['name']} {f['bundle']['version']}" for f in (seen, unseen)]
            cells = [*bundles, _with_interval(seen), _with_interval(unseen)]
            rows.append([key, *cells, f"{100 * (seen['miou'] - unseen['miou']):.1f}", *drops])
        if rows:
            classes = list(next(iter(modes.values()))["iou"])
            head = [
                "mode",
                "bundle, by image",
                "bundle, by body",
                "mIoU by image, %",
                "mIoU by body, %",
                "drop, points",
            ]
            result += [
                Heading(f"{name}, split by image and by body", 2),
                Text(
                    "Split by image, as in the paper, the set's training split may have other images of a body that is "
                    "tested; split by body, it has none. A body tested is one never seen where nothing else that a "
                    "network was trained on shows it. What the networks by body were trained on beside this set, as "
                    f"far as their bundles state it: {', '.join(sorted(besides)) or 'nothing'}. Drop: of the mean, and "
                    "of each class's IoU. The test images of the two splits are not the same."
                ),
                Table([*head, *classes], rows),
            ]
    return result


def _paper_rows(name: str, classes: list[str], table: dict[tuple[str, str], dict[str, float]]) -> list[list[str]]:
    rows = []
    for (of_set, mode), values in table.items():
        if of_set == name:
            cells = [f"{values[c]:.1f}" if c in values else "-" for c in [*classes, "mean"]]
            rows.append([f"paper's {mode}", *cells])
    return rows


def _more_measures(sets: dict[str, Record]) -> list[Block]:
    result: list[Block] = [
        Heading("Over the whole set, and at the boundaries", 2),
        Text(
            "Per cent. IoU, precision, recall and F1 from the confusion matrix summed over all pixels of the set; "
            "boundary F-score as the mean over the images that show the class."
        ),
    ]
    measures = [("IoU", "set_iou"), ("precision", "precision"), ("recall", "recall"), ("F1", "f1")]
    measures.append(("boundary F", "boundary_f"))
    for name, modes in sets.items():
        classes = list(next(iter(modes.values()))["iou"])
        rows = []
        for key, f in modes.items():
            for label, field in measures:
                values = [f[field][c] for c in classes]
                there = [value for value in values if value is not None]
                mean = sum(there) / len(there) if there else None
                rows.append([key, label, *map(percent, values), percent(mean)])
        result += [Heading(name, 3), Table(["mode", "measure", *classes, "mean"], rows)]
    return result


def _enhanced(sets: dict[str, Record]) -> list[Block]:
    """The paper's Table 7."""
    rows = []
    for name, modes in sets.items():
        for key, f in modes.items():
            e = f["enhanced"]
            paper = PAPER_THRESHOLDS.get((name, key))
            cells = [f"{e['threshold']:g}", "-" if paper is None else f"{paper:g}", percent(f["miou"])]
            change = 100.0 * (e["miou"] - f["miou"])
            rows.append([name, key, *cells, percent(e["miou"]), f"{change:+.2f}", percent(e["uncertain_share"], 2)])
    head = ["set", "mode", "threshold", "paper's", "mIoU before", "after", "change, points", "pixels marked, %"]
    return [
        Heading("Before and after the uncertainty threshold (the paper's Table 7)", 2),
        Text(
            "A marked pixel leaves every prediction, right or wrong, and stays in the truth. The paper's masks changed "
            f"by at most {PAPER_LARGEST_CHANGE:g} points."
        ),
        Table(head, rows),
    ]


def _dropout(sets: dict[str, Record]) -> list[Block]:
    rows = []
    for name, modes in sets.items():
        for key, f in modes.items():
            d = f["deterministic"]
            cells = [percent(f["miou"]), percent(d["miou"]), number(f["nll"]), number(d["nll"])]
            cells += [number(f["brier"]), number(d["brier"]), percent(f["uncertainty"]["ece"]), percent(d["ece"])]
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


def _uncertainty(sets: dict[str, Record]) -> list[Block]:
    rows, risks = [], []
    coverages: list[str] = []
    for name, modes in sets.items():
        for key, f in modes.items():
            u = f["uncertainty"]
            cells = [percent(u["error_rate"]), percent(u["ece"]), number(u["auroc"]), number(u["aupr"])]
            cells += [number(u["auroc_mutual_information"]), number(u["aupr_mutual_information"])]
            rows.append([name, key, *cells, percent(u["p_accurate_certain"]), percent(u["p_uncertain_inaccurate"])])
            coverages = list(u["risk"])
            risks.append([name, key, *(percent(u["risk"][c], 2) for c in coverages), number(u["aurc"], 4)])
    entropy, mutual = (_largest_bin_error(sets, name) for name in ("auroc", "auroc_mutual_information"))
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


def _largest_bin_error(sets: dict[str, Record], name: str) -> str:
    """The largest bound of what bins change in one of the AUROCs, over all sets and modes; rounded up, as a bound."""
    bounds = [f["uncertainty"][f"{name}_bin_error"] or 0.0 for modes in sets.values() for f in modes.values()]
    return f"{math.ceil(1e4 * max(bounds)) / 1e4:.4f}"


def _flybys(sets: dict[str, Record]) -> list[Block]:
    result: list[Block] = []
    for name, modes in sets.items():
        flown = {key: f for key, f in modes.items() if "along" in f}
        if not flown:
            continue
        rows = []
        for key, f in flown.items():
            for low, high in itertools.pairwise(_RANGES_D0):
                chosen = [row for row in f["along"] if low <= row["range_d0"] < high]
                if not chosen:
                    continue
                cells = [_mean(row["iou"][c] for row in chosen) for c in f["iou"]]
                means = [percent(value) for value in [*cells, _mean(row["miou"] for row in chosen)]]
                entropy = number(_mean(row["entropy"] for row in chosen))
                span = f"{low:g} to {high:g}" if high < math.inf else f"{low:g} and more"
                rows.append([key, span, str(len(chosen)), *means, entropy])
        classes = list(next(iter(flown.values()))["iou"])
        result += [
            Heading(f"{name} along the flyby", 2),
            Text("IoU in per cent; the mean is that of the images' own mIoU over the classes that each shows."),
            Table(["mode", "range, D0", "images", *classes, "mean", "entropy, nats"], rows),
        ]
    return result


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _choices(choices: dict[str, Record]) -> list[Block]:
    result: list[Block] = []
    for name, bundle, c in ((name, bundle, c) for name, own in choices.items() for bundle, c in own.items()):
        result.append(Heading(f"Choices of {bundle}, on the {c['split']} split of {name}", 2))
        result.append(Text(f"{c['images']} of {c['of_images']} images. No test image has a part in this."))
        if "gamma" in c:
            g = c["gamma"]
            sizes = [size for size, pixels in g["rock_pixels"].items() if pixels]
            head = ["gamma", "mIoU, %", *(f"IoU of {k}, %" for k in ("boulders",) if k in g["iou"])]
            head += [f"rocks of {rock_range(size)} px found, %" for size in sizes]
            rows = []
            for index, gamma in enumerate(g["gammas"]):
                cells = [percent(g["miou"][index], 2)]
                cells += [percent(g["iou"][k][index], 2) for k in ("boulders",) if k in g["iou"]]
                cells += [percent(g["rock_recall"][size][index]) for size in sizes]
                rows.append([f"{gamma:g}" + (" (shipped)" if gamma == g["chosen"] else ""), *cells])
            rule = (
                "in rendered sets, a rock of 3 to 4 pixels is no boulder by the label rule"
                if c["split_by"] is None
                else "in sets of real images, every labelled boulder is one by the label rule"
            )
            result.append(
                Text(
                    f"Best gamma here: {g['best']:g}; shipped: {g['chosen']:g}. Share of the pixels of rocks that are "
                    f"called boulders, by how many pixels of the rock are seen; {rule}."
                )
            )
            result.append(Table(head, rows))
        rows = [
            [
                mode,
                f"{t['best']:g}",
                percent(t["miou"][f"{t['best']:g}"], 2),
                percent(t["miou_unmarked"], 2),
                f"{c['threshold']['chosen']:g}",
            ]
            for mode, t in c["threshold"]["modes"].items()
        ]
        result.append(Table(["mode", "best threshold here", "mIoU with it, %", "mIoU unmarked, %", "shipped"], rows))
    return result


def _unlike(unlike: dict[str, Record], sets: dict[str, Record]) -> list[Block]:
    result: list[Block] = []
    for name, bundle, u in ((name, bundle, u) for name, own in unlike.items() for bundle, u in own.items()):
        rows = []
        for mode, lines in u["modes"].items():
            for what, v in lines.items():
                cells = [number(v["entropy"]), number(v["ratio"], 2), percent(v["risen_share"], 0)]
                cells += [number(v["told_apart"], 2), number(v["mutual_information"])]
                cells.append(percent(v.get("flagged_share"), 0))
                verdict = "-" if what == "none" else "yes" if (v["ratio"] or 0.0) > 1.0 else "no"
                rows.append([mode, what, *cells, verdict])
            rows += _other_sets(sets, name, mode, u["bundle"]["sha256"])
        head = ["mode", "disturbance", "entropy, nats", "times undisturbed", "images with more, %", "AUROC"]
        head.append("mutual inf., nats")
        result += [
            Heading(f"Images unlike training, made of {name}, {bundle}", 2),
            Text(
                f"The same {u['images']} images of the {u['split']} split in every row. Rows of sets compare all "
                f"evaluated images of another set, of which the mode's networks saw none in training, with all of "
                f"{name}. "
                "AUROC: of telling a disturbed image from an undisturbed one by its mean entropy. Flagged: share of "
                "the images on which the service raises `high_entropy` in the bundle's default mode."
            ),
            Table([*head, "flagged, %", "entropy rises"], rows),
        ]
    return result


def _other_sets(sets: dict[str, Record], name: str, mode: str, sha256: str) -> list[list[str]]:
    """Rows on sets other than `name` and those of the mode's training, where the bundle of this hash was evaluated."""
    base = sets.get(name, {}).get(mode)
    if base is None or base["bundle"]["sha256"] != sha256:
        return []
    rows = []
    for other, modes in sets.items():
        f = modes.get(mode)
        if other == name or f is None or f["bundle"]["sha256"] != sha256:
            continue
        if f["dataset"] in (base["dataset"], *f["trained_on"]):
            continue
        ratio = f["mean_entropy"] / base["mean_entropy"] if base["mean_entropy"] else None
        cells = [number(f["mean_entropy"]), number(ratio, 2), "-", "-", number(f["mean_mutual_information"]), "-"]
        rows.append([mode, f"set {other}", *cells, "yes" if (ratio or 0.0) > 1.0 else "no"])
    return rows


def _pictures(pictures: dict[str, list[Record]]) -> list[Block]:
    result: list[Block] = []
    for name, items in pictures.items():
        result.append(Heading(f"Pictures of {name}", 2))
        result += [Picture(item["file"], item["caption"]) for item in items]
    return result
