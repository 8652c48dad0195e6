"""The sets that a bundle is made with: images for the int8 ranges, choices on validation, a first look at test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flight.bundle import Bundle
from ground_tools.datasets.noise import with_channels
from ground_tools.datasets.store import LoadedSet, load, read_description
from ground_tools.evaluation.choices import (
    GAMMAS,
    OTHER_ORIENTATIONS,
    SQUARE_ORIENTATIONS,
    THRESHOLDS,
    thresholded_miou,
)
from ground_tools.evaluation.passes import camera_frames, mode_moments, mode_result, run_passes
from ground_tools.export.figures import (
    Choices,
    EntropySpread,
    IouFigures,
    ModeIou,
    OrientationFigures,
    ValidationFigures,
)
from ground_tools.foundation.sampling import evenly
from ground_tools.metrics.calibration import labelled, negative_log_likelihood
from ground_tools.metrics.iou import iou_per_class, mean_iou
from ground_tools.training.augmentation import disturb
from ground_tools.training.records import provenance, set_name

_RANGES_IMAGES = 96


@dataclass(frozen=True)
class BundleSet:
    """A set with its splits. name: as results call it. provenance: for the manifest.

    noise: as its description states it; None for real images, which have their own.
    """

    name: str
    provenance: dict[str, Any]
    noise: dict[str, Any] | None
    train: LoadedSet
    validation: LoadedSet
    test: LoadedSet

    def frames(self, split: LoadedSet) -> np.ndarray:
        """A split's images as a camera gives them, (N, H, W) or (N, H, W, 3) uint8."""
        return camera_frames(split.images, self.noise)


def read_set(path: Path, images: int | None) -> BundleSet:
    """Read a set; images: so many of validation and test, evenly spread, None for all.

    Raises ValueError when the set is not finished or lacks a split.
    """
    description = read_description(path)
    train, validation, test = (load(path, split) for split in ("train", "validation", "test"))
    return BundleSet(
        name=set_name(description),
        provenance=provenance(path),
        noise=description["noise"],
        train=train,
        validation=take_evenly(validation, images),
        test=take_evenly(test, images),
    )


def validation_frames(datasets: list[Path], images: int) -> np.ndarray:
    """(N, H, W) or (N, H, W, 3) uint8, so many images of each set's validation split as a camera gives them."""
    sets = [read_set(dataset, images) for dataset in datasets]
    return np.concatenate([each.frames(each.validation) for each in sets])


def publishable_image(path: Path) -> np.ndarray | None:
    """The first test image of a set as a camera gives it, uint8; None where its images may not be passed on."""
    description = read_description(path)
    if not description.get("publish_images", True):
        return None
    image: np.ndarray = camera_frames(load(path, "test").images[:1], description["noise"])[0]
    return image


def take_evenly(loaded: LoadedSet, count: int | None) -> LoadedSet:
    """`count` samples evenly spread over a split, or all of them."""
    if count is None or count >= len(loaded.images):
        return loaded
    return loaded.chosen(evenly(len(loaded.images), count))


def images_for_ranges(sets: list[BundleSet]) -> np.ndarray:
    """Images for the int8 ranges: evenly spread over the training splits, disturbed as in training.

    Returns (N, H, W, C) float32 in [0, 1], an equal share of every set.
    """
    disturbed = np.stack(
        [
            disturb(bundle_set.train.images[i], 0.7, np.random.default_rng([7, int(i)]), bundle_set.noise is not None)
            for bundle_set in sets
            for i in evenly(len(bundle_set.train.images), _RANGES_IMAGES // len(sets))
        ]
    )
    return with_channels(disturbed)


def validation_images(record: dict[str, Any], sets: list[BundleSet], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, C) float32 in [0, 1] and masks (N, H, W) for the factor on a network's scores.

    Of the set on which it was last trained, where that is one of `sets`, else of all of them in equal shares.
    """
    own = [bundle_set for bundle_set in sets if bundle_set.provenance["name"] == record["dataset"]["name"]] or sets
    parts = [(bundle_set, take_evenly(bundle_set.validation, count // len(own))) for bundle_set in own]
    frames = np.concatenate([bundle_set.frames(part) for bundle_set, part in parts])
    return with_channels(frames) / np.float32(255.0), np.concatenate([part.masks for _, part in parts])


def choose(bundle: Bundle, sets: list[BundleSet], passes: int) -> Choices:
    """Orientations and gamma by the mIoU, the threshold by the enhanced maps' mIoU, on the validation splits.

    Of several sets the mean of their mIoUs counts, so that the smaller one weighs as much. validation_entropy is that
    of the set with the largest 99th percentile: none of them is to be called unlike the training data.
    """
    place = bundle if bundle.tiles is None else bundle.tiles
    counts = SQUARE_ORIENTATIONS if place.height == place.width else OTHER_ORIENTATIONS
    tried = [_try_orientations(replace(bundle, orientations=count), sets, passes) for count in counts]
    best = max(tried, key=lambda one: one.miou)
    truths = [bundle_set.validation.masks for bundle_set in sets]
    by_threshold = {
        threshold: float(
            np.mean(
                [
                    thresholded_miou(class_maps, entropies, truth, len(bundle.classes), threshold)
                    for (class_maps, entropies), truth in zip(best.maps, truths, strict=True)
                ]
            )
        )
        for threshold in THRESHOLDS
    }
    means = [entropies.mean(axis=(1, 2), dtype=np.float64) for _, entropies in best.maps]
    widest = max(means, key=lambda values: float(np.percentile(values, 99)))
    return Choices(
        orientations=best.orientations,
        gamma=best.gamma,
        uncertainty_threshold=max(THRESHOLDS, key=lambda threshold: by_threshold[threshold]),
        validation_entropy=EntropySpread(
            images=len(widest),
            median=round(float(np.median(widest)), 5),
            percentile_99=round(float(np.percentile(widest, 99)), 5),
        ),
        validation={
            bundle_set.name: ValidationFigures(
                dataset=bundle_set.provenance,
                images=len(bundle_set.validation),
                miou_by_gamma={f"{g:g}": round(values[place], 4) for g, values in best.mious.items()},
                by_orientations={str(one.orientations): one.figures(place) for one in tried},
            )
            for place, bundle_set in enumerate(sets)
        },
    )


@dataclass(frozen=True)
class _Trial:
    """Validation splits bundle_set with passes through so many orientations, in the bundle's first mode.

    mious: gamma -> mIoU of each set; gamma: the best, miou: its mean. Of that gamma: likelihoods, each set's negative
    log-likelihood, nats; maps, each set's class maps (N, H, W) uint8 and entropies (N, H, W) float32, nats.
    """

    orientations: int
    gamma: float
    miou: float
    mious: dict[float, list[float]]
    likelihoods: list[float]
    maps: list[tuple[np.ndarray, np.ndarray]]

    def figures(self, place: int) -> OrientationFigures:
        """Those of one of the sets, with the best gamma."""
        miou, nll = self.mious[self.gamma][place], self.likelihoods[place]
        return OrientationFigures(self.gamma, round(miou, 4), round(nll, 4))


def _try_orientations(bundle: Bundle, sets: list[BundleSet], passes: int) -> _Trial:
    gammas = GAMMAS if bundle.fusion is not None else (bundle.gamma,)
    of_sets = [{gamma: _Maps([], [], []) for gamma in gammas} for _ in sets]
    for bundle_set, maps in zip(sets, of_sets, strict=True):
        split = bundle_set.validation
        label = f"{bundle_set.name}: {bundle.orientations} orientations"
        for scores, truth in zip(
            run_passes(bundle, bundle_set.frames(split), passes, label=label), split.masks, strict=True
        ):
            for gamma in gammas:
                mean, entropy, _ = mode_moments(bundle, scores, bundle.modes[0], gamma)
                maps[gamma].classes.append(mean.argmax(axis=0).astype(np.uint8))
                maps[gamma].entropies.append(entropy)
                maps[gamma].likelihoods.append(negative_log_likelihood(*labelled(mean, truth)))
    mious = {
        gamma: [
            _miou(bundle_set.validation.masks, np.stack(maps[gamma].classes), bundle)
            for bundle_set, maps in zip(sets, of_sets, strict=True)
        ]
        for gamma in gammas
    }
    best = max(gammas, key=lambda gamma: float(np.mean(mious[gamma])))
    return _Trial(
        orientations=bundle.orientations,
        gamma=best,
        miou=float(np.mean(mious[best])),
        mious=mious,
        likelihoods=[float(np.mean(maps[best].likelihoods)) for maps in of_sets],
        maps=[(np.stack(maps[best].classes), np.stack(maps[best].entropies)) for maps in of_sets],
    )


@dataclass(frozen=True)
class _Maps:
    """Of each image: class map, entropy, negative log-likelihood."""

    classes: list[np.ndarray]
    entropies: list[np.ndarray]
    likelihoods: list[float]


def measure(bundle: Bundle, bundle_set: BundleSet, passes: int) -> IouFigures:
    """IoU per class of every mode on the test split, from the int8 files and the set's own masks."""
    results: dict[str, list[np.ndarray]] = {mode: [] for mode in bundle.modes}
    for scores in run_passes(bundle, bundle_set.frames(bundle_set.test), passes, label=f"{bundle_set.name}: figures"):
        for mode, predicted in results.items():
            predicted.append(mode_result(bundle, scores, mode, bundle.gamma)[0])
    modes = {}
    for mode, predicted in results.items():
        iou = iou_per_class(bundle_set.test.masks, np.stack(predicted), len(bundle.classes))
        # A class that no image shows has none.
        known = {c.name: round(float(v), 4) for c, v in zip(bundle.classes, iou, strict=True) if not np.isnan(v)}
        modes[mode] = ModeIou(round(mean_iou(iou), 4), known)
    return IouFigures(len(bundle_set.test), passes, "mean over images", modes)


def _miou(truth: np.ndarray, predicted: np.ndarray, bundle: Bundle) -> float:
    return mean_iou(iou_per_class(truth, predicted, len(bundle.classes)))
