"""The figures of an evaluation: what results.json holds, as dataclasses.

Shares, IoU and everything made of them are fractions from 0 to 1; entropies, mutual information and negative
log-likelihoods are in nats. Numbers are rounded to 6 digits after the point; None stands where there is none. A
`ByClass` has a value for every class of the bundle, in its order.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec import UNSET, UnsetType

from ground_tools.evaluation.statistics import VERSION
from ground_tools.foundation.json_records import from_plain, read_json, to_plain
from ground_tools.foundation.names import check_inner_path

ByClass = dict[str, float | None]


@dataclass(frozen=True)
class BundleIdentity:
    """Which bundle. sha256: of its manifest, which holds the hashes of its networks."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What figures were measured on, and by which evaluation.

    passes: with dropout, of each image. statistics_version: see statistics.py. dataset_sha256: of the set but for its
    training split; dataset_labels_sha256: of the same, its grey levels left out, in all but figures of older releases.
    split: "all" for a set without splits. split_by: the rule of the splits that a set of real images
    states. views: what the images show, those of one view not being independent. images: of `of_images` in the split.
    """

    bundle: BundleIdentity
    passes: int
    statistics_version: int
    dataset: str
    dataset_sha256: str
    split: str
    split_by: str | None
    views: int
    images: int
    of_images: int
    dataset_labels_sha256: str | UnsetType = UNSET

    @property
    def origin(self) -> tuple[str, str]:
        """The content of the bundle and of the set that the figures come from."""
        return self.bundle.sha256, self.dataset_sha256


@dataclass(frozen=True)
class ImageMious:
    """The mIoU of single images, each over the classes that it shows: the least, the median, the largest."""

    min: float
    median: float
    max: float


@dataclass(frozen=True)
class WithoutDropout:
    """One pass without dropout. ece: expected calibration error, of 15 bins."""

    miou: float
    iou: ByClass
    nll: float
    brier: float
    ece: float


@dataclass(frozen=True)
class Enhanced:
    """The maps with uncertain pixels marked, which leave every prediction.

    threshold: of the entropy, scaled from 0 to 1 in each image. uncertain_share: of the pixels, marked.
    """

    threshold: float
    uncertain_share: float
    miou: float
    iou: ByClass


@dataclass(frozen=True)
class Reliability:
    """By bins of the confidence, 15 of equal width: how many pixels, and their mean accuracy and confidence."""

    pixels: list[int]
    accuracy: list[float | None]
    confidence: list[float | None]


@dataclass(frozen=True, kw_only=True)
class Uncertainty:
    """Whether the uncertainty tells where a mode is wrong, pixel by pixel over the whole set.

    ece: expected calibration error, of 15 bins. auroc, aupr: areas under the ROC and the precision-recall curve of
    finding wrong pixels by predictive entropy, or by mutual information; ..._bin_error: by how much bins may change the
    area. error_rate: share of wrong pixels. p_accurate_certain: of the pixels that are not marked, those that are
    right; p_uncertain_inaccurate: of the wrong ones, those that are marked. aurc: area under risk over coverage. risk:
    share of the most certain pixels that is kept, as text -> share of wrong ones among them.
    """

    ece: float
    auroc: float | None
    auroc_bin_error: float | None
    aupr: float | None
    auroc_mutual_information: float | None
    auroc_mutual_information_bin_error: float | None
    aupr_mutual_information: float | None
    error_rate: float
    p_accurate_certain: float | None
    p_uncertain_inaccurate: float | None
    aurc: float
    risk: dict[str, float]
    reliability: Reliability


@dataclass(frozen=True)
class FlybyImage:
    """An image of a flyby. time_s: from closest approach, seconds. range_d0: in diameters. entropy: its mean."""

    time_s: float
    range_d0: float
    miou: float
    iou: ByClass
    entropy: float


@dataclass(frozen=True, kw_only=True)
class ModeMeasures:
    """mode: as the bundle names it."""

    mode: str


@dataclass(frozen=True, kw_only=True)
class ModeFigures(Provenance, ModeMeasures):
    """All figures of one mode on one set.

    trained_on: sets that its networks go back to. miou, iou, iou_min, iou_max: by the paper, over the images that show
    a class; miou_interval: where the mIoU of 95 % of such sets of images would lie, None where too few views show some
    class to tell. set_iou, precision, recall, f1: from `confusion`, the pixels of all images, a row per true and a
    column per predicted class. boundary_f: F-score of the classes' boundaries, over the images. brier: from 0 to 2.
    gamma: of the fusion, where the mode is the fused one. along: the images of a flyby, in order of time.
    """

    trained_on: list[str]
    miou: float
    miou_interval: tuple[float | None, float | None]
    iou: ByClass
    iou_min: ByClass
    iou_max: ByClass
    image_miou: ImageMious
    set_miou: float
    set_iou: ByClass
    precision: ByClass
    recall: ByClass
    f1: ByClass
    boundary_f: ByClass
    boundary_f_mean: float | None
    confusion: list[list[int]]
    nll: float
    brier: float
    mean_entropy: float
    mean_mutual_information: float
    deterministic: WithoutDropout
    enhanced: Enhanced
    uncertainty: Uncertainty
    gamma: float | UnsetType = UNSET
    along: list[FlybyImage] | UnsetType = UNSET


@dataclass(frozen=True)
class ThresholdSweep:
    """A mode's mIoU over the uncertainty threshold.

    miou: threshold as text -> mIoU of the maps with uncertain pixels marked; miou_unmarked: with none marked. best: the
    threshold of the largest mIoU.
    """

    miou: dict[str, float]
    miou_unmarked: float
    best: float


@dataclass(frozen=True)
class ThresholdSweeps:
    """chosen: the bundle's threshold. modes: key of a mode -> its sweep."""

    chosen: float
    modes: dict[str, ThresholdSweep]


@dataclass(frozen=True)
class GammaSweep:
    """The fused mode over gamma, a value for each of `gammas`.

    chosen: the bundle's. best: of the largest mIoU. rock_recall: least visible pixels of a size of rocks, as text ->
    share of their pixels that is called boulders; rock_pixels: how many they are.
    """

    chosen: float
    best: float
    gammas: list[float]
    miou: list[float]
    iou: dict[str, list[float | None]]
    rock_recall: dict[str, list[float | None]]
    rock_pixels: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class SweepFigures(Provenance):
    """What the choices of a bundle look like on a validation split. gamma: where it has a fusion."""

    threshold: ThresholdSweeps
    gamma: GammaSweep | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True)
class Disturbed:
    """How uncertain a mode is about images that were disturbed in one way.

    entropy, mutual_information: means over all pixels. ratio: of the entropy to that of the same images undisturbed.
    risen_share: of the images, whose entropy rises. told_apart: area under the ROC curve of telling a disturbed image
    from an undisturbed one by its mean entropy. flagged_share: of the images, on which the flight service would raise
    `high_entropy`; for the default mode of a bundle that states its entropies on validation images.
    """

    entropy: float
    mutual_information: float
    ratio: float | None
    risen_share: float
    told_apart: float
    flagged_share: float | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True)
class DisturbanceFigures(Provenance):
    """How the entropy of the same images rises when they are disturbed. modes: key of a mode -> disturbance -> ..."""

    modes: dict[str, dict[str, Disturbed]]


@dataclass(frozen=True)
class ObjectsFound:
    """Boulders or craters of a size. count: how many; found: of them, called a hazard; offered: of them, as safe."""

    count: int
    found: float | None
    offered: float | None


@dataclass(frozen=True, kw_only=True)
class HazardFigures(Provenance):
    """The default mode judged as a lander would: see evaluation.hazards.

    objects: "boulders" or "craters" -> least visible pixels of a size, as text -> what became of those; empty for a set
    without identifiers. pixels_found, pixels_right: of the pixels of hazards, those called so, by class, and the other
    way round. circles: landing circles; unsafe: share of them that touch a hazard. lit_ground: pixels of safe ground in
    the truth that light falls on; ground_offered: share of them that is offered as safe; ground_in_circles: share of
    them that circles cover. offered_hazards: share of what is offered as ground to land on, or is a hazard and offered,
    that is a hazard. reliability: of the hazard probability, on the body; ece: its expected calibration error.
    """

    objects: dict[str, dict[str, ObjectsFound]]
    pixels_found: dict[str, float | None]
    pixels_right: dict[str, float | None]
    circles: int
    unsafe: float | None
    lit_ground: int
    ground_offered: float | None
    ground_in_circles: float | None
    offered_hazards: float | None
    reliability: Reliability
    ece: float


@dataclass(frozen=True, kw_only=True)
class RiskAt:
    """A promised risk, and what is measured of it: see metrics.risk and evaluation.claims.

    measured: share of an image's unmarked pixels that are wrong, mean over views; measured_interval: where that of 95 %
    of such sets of views would lie, None of fewer than five. coverage: of the pixels that count, those not marked.
    """

    promised: float
    threshold_nats: float
    measured: float
    measured_interval: tuple[float, float] | None
    coverage: float


@dataclass(frozen=True, kw_only=True)
class RiskFigures(Provenance, ModeMeasures, RiskAt):
    """The risk at which a mode is run by default, promised and measured on a set.

    measured_over_pixels: of the pixels of all images together; measured_all_pixels: with sky that is called sky.
    measured_in_light: without a body that is called sky in the dark. dark_ground: share of what counts and of ground in
    the dark, which is always marked, that is the latter. table: of every risk that the mode promises.
    """

    measured_over_pixels: float
    measured_all_pixels: float
    measured_in_light: float
    dark_ground: float
    table: list[RiskAt]


@dataclass(frozen=True)
class PictureEntry:
    """A picture of an evaluation. file: its name in the folder of pictures."""

    file: str
    caption: str
    bundle: BundleIdentity
    dataset_sha256: str

    def __post_init__(self) -> None:
        if "/" in check_inner_path(self.file, "picture: file"):
            raise ValueError(f"picture: file: expected a name without folders, got {self.file}")

    @property
    def origin(self) -> tuple[str, str]:
        """The content of the bundle and of the set that it was drawn from."""
        return self.bundle.sha256, self.dataset_sha256


@dataclass(frozen=True, kw_only=True)
class _Summary:
    """The set and the mode by which the project's uncertainty is judged, and its scores there."""

    dataset: str
    mode: str
    nll: float
    brier: float


@dataclass(frozen=True, kw_only=True)
class UncertaintySummary(Uncertainty, _Summary):
    """The uncertainty on the reference set."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the project set itself, and whether it is met.

    what: a figure, as "miou" or "class/craters", with a bound; or a comparison in words. at_least, at_most: the bound.
    than: the figure to compare with. value, than, met are None where they were not measured.
    """

    what: str
    dataset: str
    mode: str | None
    at_least: float | UnsetType = UNSET
    at_most: float | UnsetType = UNSET
    value: float | None
    than: float | UnsetType | None = UNSET
    met: bool | None


@dataclass(frozen=True)
class Results:
    """All figures. sets, risk: name -> key of a mode -> figures; choices, unlike_training, hazard: name of a set -> of
    a bundle -> figures; pictures: by set.
    """

    sets: dict[str, dict[str, ModeFigures]] = field(default_factory=dict)
    choices: dict[str, dict[str, SweepFigures]] = field(default_factory=dict)
    unlike_training: dict[str, dict[str, DisturbanceFigures]] = field(default_factory=dict)
    hazard: dict[str, dict[str, HazardFigures]] = field(default_factory=dict)
    risk: dict[str, dict[str, RiskFigures]] = field(default_factory=dict)
    pictures: dict[str, list[PictureEntry]] = field(default_factory=dict)
    uncertainty: UncertaintySummary | None = None
    targets: list[Target] = field(default_factory=list)

    def figures(self) -> Iterator[tuple[str, str, ModeFigures]]:
        """Name of a set, key of a mode and its figures, in order."""
        for name, modes in self.sets.items():
            for key, figures in modes.items():
                yield name, key, figures


_TOLD = ("choices", "unlike_training", "hazard", "risk")
_PARTS = (*_TOLD, "pictures")
_CONCLUSIONS = ("uncertainty", "targets")


def read_results(path: Path) -> Results:
    """The figures in a file; none where there is no file. Raises ValueError for one that is no record of figures.

    What an older evaluation measured is left out, whatever its fields were; says so on stderr.
    """
    return results_of(read_json(path), str(path))


def results_of(plain: dict[str, Any], where: str) -> Results:
    """Results from plain values: see `read_results`."""
    sets = {name: modes for name, modes in plain.items() if name not in (*_PARTS, *_CONCLUSIONS)}
    parts = {"sets": sets, **{part: plain.get(part, {}) for part in _TOLD}}
    current: dict[str, dict[str, Any]] = {}
    for part, names in parts.items():
        current[part] = {}
        for name, items in names.items():
            kept = {key: item for key, item in items.items() if item.get("statistics_version") == VERSION}
            if kept:
                current[part][name] = kept
            if len(kept) < len(items) and part == "sets":
                print(f"{where}: figures of {name} by another version of the evaluation are left out", file=sys.stderr)
    rest = {name: plain[name] for name in ("pictures", *_CONCLUSIONS) if name in plain}
    return from_plain(Results, {**current, **rest}, where)


def plain_results(results: Results) -> dict[str, Any]:
    """Results as results.json has them: sets and the parts that are told by set in the order of their names."""
    plain = to_plain(results)
    parts = dict(sorted({**plain["sets"], **{part: plain[part] for part in _PARTS}}.items()))
    return {**parts, **{name: plain[name] for name in _CONCLUSIONS if plain[name] is not None}}
