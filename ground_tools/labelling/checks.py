"""What is wrong, or odd, in a folder of labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ground_tools.labelling.annotations import Annotation, Crop
from ground_tools.labelling.collection import ImageEntry, Rules, read_image
from ground_tools.labelling.label_files import read_labels
from ground_tools.labelling.rasterisation import (
    NETWORK_SIZE,
    across_at_network_size,
    body_in_image,
    crop_image,
    crop_with,
    crops_of,
    is_too_small,
    mask_of,
    place_in,
    rasterise,
    region_of,
    sky_level,
)
from ground_tools.labelling.shapes import (
    BODY,
    BOULDER,
    CRATER,
    TERMINATOR,
    Shape,
    crosses_itself,
    is_proposal,
    outline,
)
from ground_tools.labels.classes import BACKGROUND, CLASS_NAMES

# A crater, boulder or terminator of which less lies on the body is outside of it. A terminator counts on the body
# alone, so that a person may draw its outer side loosely across the limb: half of it off the body is no mistake.
_LEAST_ON_BODY = {CRATER: 0.5, BOULDER: 0.5, TERMINATOR: 0.2}
# A terminator as bright as this, over the day (of the body's pixels, the share below it), is no dusk: a lit limb, or a
# wrong place. Hand-drawn ones of real images have 0.07 to 0.64.
_DAY_SHARE, _TOO_BRIGHT = 0.75, 0.8
# Shares of the body's pixels beyond which a class is odd.
_MOST_OF_BODY = {"craters": 0.5, "boulders": 0.5, "terminator": 0.5}
_LEAST_BODY = 0.05
# Of a close-up the ground goes on beyond it: so much of it shows the body, or more of its sides than this are cut.
_LEAST_OF_CLOSE_UP, _CUT_SIDES, _CUT_SHARE = 0.9, 2, 0.2
# Two images show the same when their crops, in any of eight orientations, are as alike as this.
_SAME = 0.65
_ALIKE_SIZE = 64


@dataclass(frozen=True)
class Findings:
    """What was found, a line each. errors: what must be put right. remarks: what a person should look at."""

    errors: list[str]
    remarks: list[str]


def check(labels: Path, images: Path, entries: dict[str, ImageEntry], rules: Rules) -> Findings:
    """Look at every label file and its image.

    Errors: unknown, other or unreadable images and files, shapes outside of the image or the body, outlines that cross
    themselves, labelled images without a body. Remarks: wanted images without labels, shapes that are too small or
    outside of the crop, terminators as bright as the day, proposals that nobody has accepted, odd class balances,
    images that look the same in different groups. Surface alone is no remark when a note says why.
    """
    annotations, errors = read_labels(labels, entries)
    remarks = [f"set.toml: {name}: no such image" for name in _unknown_names(rules, entries)]
    looks: dict[str, np.ndarray] = {}
    file_of: dict[str, str] = {}
    presence = np.zeros(len(CLASS_NAMES), dtype=int)
    for file, annotation in sorted(annotations.items()):
        try:
            image = read_image(images, entries[file])
        except ValueError as error:
            errors.append(str(error))
            continue
        if image.shape != (annotation.height, annotation.width):
            errors.append(
                f"{file}: expected {image.shape[1]} x {image.shape[0]} pixels as the image has, "
                f"got {annotation.width} x {annotation.height}"
            )
            continue
        errors += unusable(annotation)
        if not annotation.labelled:
            continue
        try:
            crops = crops_of(annotation, rules.margin)
        except ValueError as error:
            errors.append(str(error))
            continue
        errors += _outside_body(annotation, crops)
        remarks += _outside_crops(annotation, crops) + _small(annotation, crops, rules)
        remarks += [
            f"{file}: shape {number} ({shape.label}): a proposal that nobody has accepted"
            for number, shape in enumerate(annotation.shapes)
            if is_proposal(shape)
        ]
        level = sky_level(image, body_in_image(annotation))
        for crop in crops:
            name = sample_name(annotation, crop)
            mask = mask_of(annotation, crop, NETWORK_SIZE, rules.minimum_across_in(annotation))
            remarks += _odd(name, mask, bool(annotation.note))
            remarks += _no_close_up(name, mask) if annotation.close_ups else []
            presence += np.bincount(mask.ravel(), minlength=len(CLASS_NAMES)) > 0
            remarks += _bright_terminators(annotation, crop, crop_image(image, crop, NETWORK_SIZE, level), level)
            looks[name], file_of[name] = crop_image(image, crop, _ALIKE_SIZE, level), file
    remarks += _not_labelled(annotations, entries, rules)
    if looks:
        remarks += [
            f"class {name}: in no labelled image" for name, n in zip(CLASS_NAMES, presence, strict=True) if not n
        ]
    remarks += [
        f"{first} and {second} look the same ({likeness:.2f}), and are in no common group of set.toml"
        for first, second, likeness in alike(looks)
        if rules.group_of(file_of[first]) != rules.group_of(file_of[second])
    ]
    return Findings(errors, remarks)


def sample_name(annotation: Annotation, crop: Crop) -> str:
    """How messages call a sample: by its image, and by the crop where the image gives close-ups."""
    return f"{annotation.file} at {crop[0]},{crop[1]},{crop[2]}" if annotation.close_ups else annotation.file


def unusable(annotation: Annotation) -> list[str]:
    """Shapes that a sample leaves out: those outside of the image, and those whose outline crosses itself."""
    return [
        f"{annotation.file}: shape {number} ({shape.label}): {reason}"
        for number, shape in enumerate(annotation.shapes)
        if (reason := unusable_reason(shape, annotation))
    ]


def usable(annotation: Annotation) -> tuple[Annotation, list[str]]:
    """The labels without the shapes that cannot be used, and what is wrong with those."""
    kept = tuple(shape for shape in annotation.shapes if unusable_reason(shape, annotation) is None)
    return replace(annotation, shapes=kept), [f"{problem}; left out" for problem in unusable(annotation)]


def unusable_reason(shape: Shape, annotation: Annotation) -> str | None:
    """Why a shape is left out of samples; None: it is used."""
    points = outline(shape)
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    if x1 <= 0 or y1 <= 0 or x0 >= annotation.width or y0 >= annotation.height:
        return (
            f"lies outside of the image: x {x0:g}..{x1:g}, y {y0:g}..{y1:g}, expected within "
            f"{annotation.width} x {annotation.height}"
        )
    return "its outline crosses itself" if crosses_itself(shape) else None


def _outside_body(annotation: Annotation, crops: tuple[Crop, ...]) -> list[str]:
    """Of each shape, in the crop that shows most of it: whether it lies on the body, and whether it can be seen."""
    size = 2 * NETWORK_SIZE
    bodies = [shape for shape in annotation.shapes if shape.label == BODY]
    body_in = {crop: region_of(bodies, crop, size) for crop in crops}
    found = []
    for number, shape in enumerate(annotation.shapes):
        crop = crop_with(shape, crops)
        body = body_in[crop]
        region = rasterise(outline(shape), crop, size)
        share = float(body[region].mean()) if region.any() else 0.0
        if shape.label != BODY and region.any() and share < _LEAST_ON_BODY[shape.label]:
            found.append(
                f"{annotation.file}: shape {number} ({shape.label}): only {share:.0%} of it lies on the body, expected "
                f"{_LEAST_ON_BODY[shape.label]:.0%} or more"
            )
        if not region.any() and not unusable_reason(shape, annotation) and place_in(shape, crop) != "outside":
            found.append(f"{annotation.file}: shape {number} ({shape.label}): too thin to cover any pixel")
    return found


def _outside_crops(annotation: Annotation, crops: tuple[Crop, ...]) -> list[str]:
    several = len(crops) > 1
    where = f"{len(crops)} close-ups; no part of a sample" if several else f"crop {crops[0]}; no part of the sample"
    return [
        f"{annotation.file}: shape {number} ({shape.label}): outside of the {where}"
        for number, shape in enumerate(annotation.shapes)
        if place_in(shape, crop_with(shape, crops)) == "outside" and not unusable_reason(shape, annotation)
    ]


def _bright_terminators(annotation: Annotation, crop: tuple[int, int, int], grey: np.ndarray, level: int) -> list[str]:
    """Terminators where it is day. grey: (128, 128) uint8, the crop. level: of the sky."""
    body = region_of([shape for shape in annotation.shapes if shape.label == BODY], crop, NETWORK_SIZE)
    if not body.any():
        return []
    day = max(float(np.quantile(grey[body], _DAY_SHARE)) - level, 1.0)
    found = []
    for number, shape in enumerate(annotation.shapes):
        region = body & rasterise(outline(shape), crop, NETWORK_SIZE)
        if shape.label != TERMINATOR or not region.any():
            continue
        brightness = (float(np.median(grey[region])) - level) / day
        if brightness > _TOO_BRIGHT:
            found.append(
                f"{annotation.file}: shape {number} (terminator): {brightness:.0%} as bright as the day, expected at "
                f"most {_TOO_BRIGHT:.0%}: a lit limb?"
            )
    return found


def _small(annotation: Annotation, crops: tuple[Crop, ...], rules: Rules) -> list[str]:
    least = rules.minimum_across_in(annotation)
    return [
        f"{annotation.file}: shape {number} ({shape.label}): {across_at_network_size(shape, crop):.1f} px across at "
        f"128 x 128, expected {least[shape.label]:g} or more; left out"
        for number, shape in enumerate(annotation.shapes)
        for crop in [crop_with(shape, crops)]
        if is_too_small(shape, crop, least)
    ]


def _no_close_up(name: str, mask: np.ndarray) -> list[str]:
    """A sample that is called a close-up and is none: a body that ends within it on most sides."""
    body = mask != BACKGROUND
    cut = sum(float(side.mean()) >= _CUT_SHARE for side in (body[0], body[-1], body[:, 0], body[:, -1]))
    if body.mean() >= _LEAST_OF_CLOSE_UP or cut > _CUT_SIDES:
        return []
    return [f"{name}: no close-up: the body covers {body.mean():.0%} of it and goes on beyond {cut} of its sides"]


def _odd(file: str, mask: np.ndarray, has_note: bool) -> list[str]:
    """Class balances that make one look twice. has_note: a person has told what is odd."""
    body = mask != BACKGROUND
    if body.mean() < _LEAST_BODY:
        return [f"{file}: the body covers {body.mean():.1%} of the crop"]
    shares = {name: float((mask[body] == index).mean()) for index, name in enumerate(CLASS_NAMES)}
    odd = [
        f"{file}: {name} cover {shares[name]:.0%} of the body"
        for name, most in _MOST_OF_BODY.items()
        if shares[name] > most
    ]
    if shares["surface"] == 1.0 and not has_note:
        odd.append(f"{file}: surface alone: no crater, boulder or terminator, and no note that says why")
    return odd


def _unknown_names(rules: Rules, entries: dict[str, ImageEntry]) -> list[str]:
    named = [*rules.excluded, *(file for group in rules.groups for file in group), *(rules.wanted or ())]
    return sorted(set(named) - set(entries))


def unlabelled(annotations: dict[str, Annotation], entries: dict[str, ImageEntry], rules: Rules) -> list[str]:
    """The images that should have labels and are not done yet."""
    wanted = entries if rules.wanted is None else [file for file in rules.wanted if file in entries]
    return [f for f in wanted if f not in rules.excluded and not (f in annotations and annotations[f].labelled)]


def _not_labelled(annotations: dict[str, Annotation], entries: dict[str, ImageEntry], rules: Rules) -> list[str]:
    return [f"{file}: not labelled" for file in unlabelled(annotations, entries, rules)]


def alike(crops: dict[str, np.ndarray]) -> list[tuple[str, str, float]]:
    """Pairs of images that show the same, in any of the eight flips and quarter turns: names and correlation.

    crops: name -> (S, S) uint8.
    """

    def details(image: np.ndarray) -> np.ndarray:
        # Without the limb and the broad shading, which two views of round bodies share.
        grey = image.astype(np.float32)
        body = (cv2.GaussianBlur(grey, (0, 0), 1.5) > 0.25 * np.percentile(grey, 90)).astype(np.uint8)
        inner = cv2.erode(cv2.copyMakeBorder(body, 1, 1, 1, 1, cv2.BORDER_CONSTANT), np.ones((9, 9), np.uint8))[
            1:-1, 1:-1
        ]
        fine = np.clip(cv2.GaussianBlur(grey, (0, 0), 0.8) - cv2.GaussianBlur(grey, (0, 0), 4.0), -30.0, 30.0) * inner
        length = float(np.linalg.norm(fine))
        return fine / max(length, 1e-6)

    turned = {
        name: np.stack([details(np.rot90(image[:, ::step], turn)).ravel() for turn in range(4) for step in (1, -1)])
        for name, image in crops.items()
    }
    names = sorted(turned)
    pairs = []
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            likeness = float((turned[second] @ turned[first][0]).max())
            if likeness >= _SAME:
                pairs.append((first, second, likeness))
    return pairs
