"""How far two people agree who labelled the same images: intersection over union of their masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ground_tools.labelling.annotations import Annotation
from ground_tools.labelling.checks import usable
from ground_tools.labelling.collection import ImageEntry, Rules, read_labels
from ground_tools.labelling.rasterisation import NETWORK_SIZE, crop_of, mask_of
from ground_tools.labels.classes import CLASS_NAMES


def agreement(
    labels: Path, second: Path, entries: dict[str, ImageEntry], rules: Rules
) -> tuple[dict[str, Any], list[str]]:
    """Compare the masks of all images that both folders have done, at 128 x 128, in the first folder's crops.

    Returns plain values for JSON, and what is wrong with label files. images: number. share: of the first folder's
    images. per class: intersection over union, all pixels of all images together (null: in neither), and the number of
    images in which either shows it. mean_iou: over the classes. pixels: share of equal pixels. body_iou: of the body
    as a whole. per_image: image -> mean over the classes that either shows. Raises ValueError when no image is in both.
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
    return {
        "images": len(both),
        "share": len(both) / len(done),
        "iou": dict(zip(CLASS_NAMES, iou, strict=True)),
        "shown_in": dict(zip(CLASS_NAMES, shown.tolist(), strict=True)),
        "mean_iou": float(np.mean(known)),
        "pixels": float(np.mean(equal)),
        "body_iou": float(body[0] / body[1]),
        "per_image": per_image,
    }, problems


def _mask(annotation: Annotation, framed: Annotation, rules: Rules) -> np.ndarray:
    return mask_of(usable(annotation)[0], crop_of(usable(framed)[0], rules.margin), NETWORK_SIZE, rules.minimum_across)


def _overlap(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that both, and that either, give to each class: two arrays (K,) float64."""
    classes = np.arange(len(CLASS_NAMES))[:, None, None]
    one, two = first[None] == classes, second[None] == classes
    return (one & two).sum(axis=(1, 2)).astype(float), (one | two).sum(axis=(1, 2)).astype(float)


def as_text(result: dict[str, Any]) -> str:
    """The agreement as a text for the terminal."""
    lines = [f"{result['images']} images labelled twice, {result['share']:.0%} of the set", ""]
    lines.append(f"{'class':<14}{'IoU':>8}{'images':>8}")
    for name, value in result["iou"].items():
        lines.append(f"{name:<14}{'-' if value is None else f'{value:.1%}':>8}{result['shown_in'][name]:>8}")
    lines += [f"{'mean':<14}{result['mean_iou']:>8.1%}", ""]
    lines += [f"body as a whole {result['body_iou']:.1%}, equal pixels {result['pixels']:.1%}", ""]
    lines += [f"{value:>7.1%}  {file}" for file, value in sorted(result["per_image"].items(), key=lambda item: item[1])]
    return "\n".join(lines) + "\n"
