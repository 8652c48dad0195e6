"""How far two people agree who labelled the same images: intersection over union of their masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ground_tools.datasets.figures import Agreement
from ground_tools.labelling.annotations import Annotation
from ground_tools.labelling.checks import usable
from ground_tools.labelling.collection import ImageEntry, Rules
from ground_tools.labelling.label_files import read_labels
from ground_tools.labelling.rasterisation import NETWORK_SIZE, crop_of, mask_of
from ground_tools.labels.classes import CLASS_NAMES
from ground_tools.pages.blocks import Table, percent
from ground_tools.pages.text import text_table


def agreement(labels: Path, second: Path, entries: dict[str, ImageEntry], rules: Rules) -> tuple[Agreement, list[str]]:
    """Compare the masks of all images that both folders have done, at 128 x 128, in the first folder's crops.

    Returns the agreement, and what is wrong with label files. Raises ValueError when no image is in both.
    """
    first, problems = read_labels(labels, entries)
    again, wrong = read_labels(second, entries)
    problems += wrong
    done = sorted(file for file, annotation in first.items() if annotation.labelled)
    both = [file for file in done if file in again and again[file].labelled]
    if not both:
        raise ValueError(f"{second}: expected labels of images that {labels} has, too, found none")
    count = len(CLASS_NAMES)
    shared, either, shown = np.zeros(count), np.zeros(count), np.zeros(count, dtype=int)
    body = np.zeros(2)
    equal, per_image = [], {}
    for file in both:
        masks = [_mask(annotation, first[file], rules) for annotation in (first[file], again[file])]
        overlap, union = _overlap(*masks)
        shared, either = shared + overlap, either + union
        shown += union > 0
        bodies = [mask > 0 for mask in masks]
        body += [(bodies[0] & bodies[1]).sum(), (bodies[0] | bodies[1]).sum()]
        equal.append(float((masks[0] == masks[1]).mean()))
        per_image[file] = float((overlap[union > 0] / union[union > 0]).mean())
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


def _mask(annotation: Annotation, framed: Annotation, rules: Rules) -> np.ndarray:
    return mask_of(usable(annotation)[0], crop_of(usable(framed)[0], rules.margin), NETWORK_SIZE, rules.minimum_across)


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
