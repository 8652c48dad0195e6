"""How far two people agree who labelled the same images: intersection over union of their masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ground_tools.datasets.figures import Agreement
from ground_tools.labelling.annotations import Annotation, Crop
from ground_tools.labelling.checks import sample_name, usable
from ground_tools.labelling.collection import ImageEntry, Rules
from ground_tools.labelling.label_files import read_labels
from ground_tools.labelling.rasterisation import NETWORK_SIZE, crops_of, mask_of
from ground_tools.labels.classes import CLASS_NAMES
from ground_tools.pages.blocks import Table, percent
from ground_tools.pages.text import text_table


def agreement(labels: Path, second: Path, entries: dict[str, ImageEntry], rules: Rules) -> tuple[Agreement, list[str]]:
    """Compare the masks of all images that both folders have done, at 128 x 128, in the first folder's crops.

    Each close-up counts as an image. Of an image whose second labels name close-ups, those of the first labels that are
    among them are compared.

    Returns the agreement, and what is wrong with label files. Raises ValueError when no image is in both.
    """
    first, problems = read_labels(labels, entries)
    again, wrong = read_labels(second, entries)
    problems += wrong
    done = _samples(first, rules)
    both = [
        (file, crop)
        for file, crop in done
        if file in again and again[file].labelled and crop in (again[file].close_ups or (crop,))
    ]
    if not both:
        raise ValueError(f"{second}: expected labels of images that {labels} has, too, found none")
    count = len(CLASS_NAMES)
    shared, either, shown = np.zeros(count), np.zeros(count), np.zeros(count, dtype=int)
    body = np.zeros(2)
    equal, per_image = [], {}
    for file, crop in both:
        least = rules.minimum_across_in(first[file])
        masks = [mask_of(usable(labels[file])[0], crop, NETWORK_SIZE, least) for labels in (first, again)]
        overlap, union = _overlap(*masks)
        shared, either = shared + overlap, either + union
        shown += union > 0
        bodies = [mask > 0 for mask in masks]
        body += [(bodies[0] & bodies[1]).sum(), (bodies[0] | bodies[1]).sum()]
        equal.append(float((masks[0] == masks[1]).mean()))
        per_image[sample_name(first[file], crop)] = float((overlap[union > 0] / union[union > 0]).mean())
    iou = [float(s / e) if e else None for s, e in zip(shared, either, strict=True)]
    known = [value for value in iou if value is not None]
    result = Agreement(
        images=len(both),
        share=len(both) / len(done),
        iou=dict(zip(CLASS_NAMES, iou, strict=True)),
        shown_in=dict(zip(CLASS_NAMES, shown.tolist(), strict=True)),
        mean_iou=float(np.mean(known)),
        pixels=float(np.mean(equal)),
        body_iou=float(body[0] / body[1]),
        per_image=per_image,
    )
    return result, problems


def _samples(labels: dict[str, Annotation], rules: Rules) -> list[tuple[str, Crop]]:
    """The crops of all images that are done, by name."""
    return [
        (file, crop)
        for file, annotation in sorted(labels.items())
        if annotation.labelled
        for crop in crops_of(usable(annotation)[0], rules.margin)
    ]


def _overlap(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that both, and that either, give to each class: two arrays (K,) float64."""
    classes = np.arange(len(CLASS_NAMES))[:, None, None]
    one, two = first[None] == classes, second[None] == classes
    return (one & two).sum(axis=(1, 2)).astype(float), (one | two).sum(axis=(1, 2)).astype(float)


def as_text(result: Agreement) -> str:
    """The agreement as a text for the terminal."""
    rows = [[name, _share(value), str(result.shown_in[name])] for name, value in result.iou.items()]
    rows.append(["mean", _share(result.mean_iou), ""])
    images = sorted(result.per_image.items(), key=lambda item: item[1])
    parts = [
        f"{result.images} images labelled twice, {result.share:.0%} of the set",
        text_table(Table(["class", "IoU", "images"], rows)),
        f"body as a whole {_share(result.body_iou)}, equal pixels {_share(result.pixels)}",
        text_table(Table(["IoU", "image"], [[_share(value), file] for file, value in images])),
    ]
    return "\n\n".join(parts) + "\n"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{percent(value)} %"
