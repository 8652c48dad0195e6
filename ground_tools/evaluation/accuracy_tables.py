"""How good the maps are, as tables: IoU and other measures by class, on unseen bodies, along a flyby."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
from msgspec import UNSET

from ground_tools.evaluation.paper import PAPER_IOU
from ground_tools.evaluation.results import ByClass, FlybyImage, ModeFigures, Results
from ground_tools.pages.blocks import Block, Heading, Table, Text, number, percent

# Least and largest range of the rows that sum up a flyby, D0; training images lie within 0.4 to 1.3.
_RANGES_D0 = (0.0, 1.0, 1.3, 2.0, 3.0, 5.0, math.inf)


def accuracy_blocks(results: Results) -> list[Block]:
    """IoU per class, what is lost on unseen bodies, and further measures."""
    return [*_iou(results), *_unseen(results), *_more_measures(results)]


def _iou(results: Results) -> list[Block]:
    """The paper's Table 6."""
    result: list[Block] = [
        Heading("IoU per class, the paper's definition (its Table 6)", 2),
        Text(
            "Per cent: mean over the images that show the class (least to largest). Mean: of the classes' means, with "
            "the interval in which it would lie for 95 % of such sets of images, a dash where too few views show some "
            "class to tell."
        ),
    ]
    for name, modes in results.sets.items():
        classes = _classes(modes)
        rows = []
        for key, f in modes.items():
            cells = [f"{percent(f.iou[c])} ({percent(f.iou_min[c], 0)} to {percent(f.iou_max[c], 0)})" for c in classes]
            rows.append([key, *cells, _with_interval(f)])
        rows += _paper_rows(name, classes)
        result += [Heading(name, 3), Table(["mode", *classes, "mean"], rows)]
    return result


def _classes(modes: dict[str, ModeFigures]) -> list[str]:
    return list(next(iter(modes.values())).iou)


def _with_interval(figures: ModeFigures) -> str:
    low, high = figures.miou_interval
    interval = "-" if low is None else f"{percent(low)} to {percent(high)}"
    return f"{percent(figures.miou)} ({interval})"


def _paper_rows(name: str, classes: list[str]) -> list[list[str]]:
    rows = []
    for (of_set, mode), values in PAPER_IOU.items():
        if of_set == name:
            cells = [f"{values[c]:.1f}" if c in values else "-" for c in [*classes, "mean"]]
            rows.append([f"paper's {mode}", *cells])
    return rows


def _unseen(results: Results) -> list[Block]:
    """Sets that are there in both split rules: how much is lost on bodies that the set's training split lacks."""
    result: list[Block] = []
    for name, modes in results.sets.items():
        other = f"{name}_unseen_bodies"
        pairs = {key: (f, results.sets[other][key]) for key, f in modes.items() if key in results.sets.get(other, {})}
        if not pairs:
            continue
        rows = []
        for key, (seen, unseen) in pairs.items():
            bundles = [f"{f.bundle.name} {f.bundle.version}" for f in (seen, unseen)]
            cells = [*bundles, _with_interval(seen), _with_interval(unseen)]
            drops = [_drop(seen.iou[c], unseen.iou[c]) for c in seen.iou]
            rows.append([key, *cells, _drop(seen.miou, unseen.miou), *drops])
        besides = {trained for _, unseen in pairs.values() for trained in unseen.trained_on if trained != other}
        head = ["mode", "bundle, by image", "bundle, by body", "mIoU by image, %", "mIoU by body, %", "drop, points"]
        result += [
            Heading(f"{name}, split by image and by body", 2),
            Text(
                "Split by image, as in the paper, the set's training split may have other images of a body that is "
                "tested; split by body, it has none. A body tested is one never seen where nothing else that a "
                "network was trained on shows it. What the networks by body were trained on beside this set, as "
                f"far as their bundles state it: {', '.join(sorted(besides)) or 'nothing'}. Drop: of the mean, and "
                "of each class's IoU. The test images of the two splits are not the same."
            ),
            Table([*head, *_classes(modes)], rows),
        ]
    return result


def _drop(seen: float | None, unseen: float | None) -> str:
    """Points of per cent."""
    return "-" if seen is None or unseen is None else f"{100 * (seen - unseen):.1f}"


def _more_measures(results: Results) -> list[Block]:
    result: list[Block] = [
        Heading("Over the whole set, and at the boundaries", 2),
        Text(
            "Per cent. IoU, precision, recall and F1 from the confusion matrix summed over all pixels of the set; "
            "boundary F-score as the mean over the images that show the class."
        ),
    ]
    for name, modes in results.sets.items():
        classes = _classes(modes)
        rows = []
        for key, f in modes.items():
            measures: dict[str, ByClass] = {"IoU": f.set_iou, "precision": f.precision, "recall": f.recall, "F1": f.f1}
            for label, values in {**measures, "boundary F": f.boundary_f}.items():
                known = [value for value in values.values() if value is not None]
                mean = sum(known) / len(known) if known else None
                rows.append([key, label, *(percent(values[c]) for c in classes), percent(mean)])
        result += [Heading(name, 3), Table(["mode", "measure", *classes, "mean"], rows)]
    return result


def flyby_blocks(results: Results) -> list[Block]:
    """Each flyby summed up at every range."""
    result: list[Block] = []
    for name, modes in results.sets.items():
        rows = []
        for key, f in modes.items():
            if f.along is not UNSET:
                rows += [[key, *cells] for cells in _range_rows(list(f.iou), f.along)]
        if rows:
            result += [
                Heading(f"{name} along the flyby", 2),
                Text("IoU in per cent; the mean is that of the images' own mIoU over the classes that each shows."),
                Table(["mode", "range, D0", "images", *_classes(modes), "mean", "entropy, nats"], rows),
            ]
    return result


def _range_rows(classes: list[str], along: list[FlybyImage]) -> list[list[str]]:
    rows = []
    for low, high in itertools.pairwise(_RANGES_D0):
        chosen = [image for image in along if low <= image.range_d0 < high]
        if chosen:
            means = [_mean(image.iou[c] for image in chosen) for c in classes]
            means.append(_mean(image.miou for image in chosen))
            span = f"{low:g} to {high:g}" if high < math.inf else f"{low:g} and more"
            entropy = number(_mean(image.entropy for image in chosen))
            rows.append([span, str(len(chosen)), *map(percent, means), entropy])
    return rows


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
