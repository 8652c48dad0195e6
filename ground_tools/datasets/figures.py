"""The figures of sets: what datasets.json holds, as dataclasses. Shares are fractions from 0 to 1."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import UNSET, UnsetType

# Least, median, largest; None where no sample knows it, as of real images.
Spread = tuple[float, float, float] | None
# Body -> images in train, validation, test.
Split = dict[str, tuple[int, int, int]]


@dataclass(frozen=True, kw_only=True)
class SetStatistics:
    """What is in a set.

    sha256: of its content; labels_sha256: of geometry and labels, in all but figures of older releases.
    bytes: on disk, with the index. counts: body -> split -> samples. class_share: class -> mean share of the pixels;
    class_present: class -> share of the samples that show it. range_d0: in diameters. phase_angle_deg: Sun, body,
    camera, degrees.
    """

    name: str
    sha256: str
    samples: int
    bytes: int
    counts: dict[str, dict[str, int]]
    class_share: dict[str, float]
    class_present: dict[str, float]
    range_d0: Spread
    phase_angle_deg: Spread
    labels_sha256: str | UnsetType = UNSET


@dataclass(frozen=True)
class RenderingFigures:
    """The rendering of a body of a set.

    seconds_per_sample: of the whole campaign: all workers' seconds, set-up included, over their number and the samples.
    set_up_seconds: of a worker, the median. peak_memory_mib: the largest of a worker, MiB.
    """

    samples: int
    workers: int
    seconds_per_sample: float
    set_up_seconds: float
    peak_memory_mib: int


@dataclass(frozen=True, kw_only=True)
class RealImages:
    """What a set of real images was made of.

    pairs: of image and mask, copies turned and mirrored among them. groups: of images that show the same. bodies: body
    -> images. shapes: label -> shapes in use. silhouettes_inferred: images whose outline a person inferred.
    close_ups: images that are close-ups. split_by_image, split_by_body: images, None where the set is not split so;
    split_by_copy: pairs.
    """

    name: str
    images: int
    pairs: int
    groups: int
    bodies: dict[str, int]
    shapes: dict[str, int]
    silhouettes_inferred: int
    split_by_image: Split | None
    split_by_body: Split | None
    split_by_copy: Split | None = None
    close_ups: int = 0
    class_share: dict[str, float]
    class_present: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class SetFigures(SetStatistics):
    """All figures of a set. rendering: by body, of what was rendered here."""

    rendering: dict[str, RenderingFigures]
    real: RealImages | UnsetType = UNSET


@dataclass(frozen=True)
class Scaling:
    """How rendering scales over Dask workers. samples: of each run. seconds: number of workers, as text -> seconds of
    each run, from start to end, set-up included.
    """

    body: str
    samples: int
    rounds: int
    machine: str
    seconds: dict[str, list[float]]


@dataclass(frozen=True)
class Agreement:
    """How far the labels of two people agree: intersection over union of their masks.

    images: labelled twice; share: of all that are labelled. iou: class -> over all pixels of all images together, None
    where neither shows it. shown_in: class -> images in which either shows it. mean_iou: over the classes. pixels:
    share of equal ones. body_iou: of the body as a whole. per_image: image -> mean over the classes that either shows.
    """

    images: int
    share: float
    iou: dict[str, float | None]
    shown_in: dict[str, int]
    mean_iou: float
    pixels: float
    body_iou: float
    per_image: dict[str, float]


@dataclass(frozen=True)
class DatasetFigures:
    """What datasets.json holds. sets, agreement: by the name of the set."""

    sets: dict[str, SetFigures] = field(default_factory=dict)
    scaling: Scaling | UnsetType = UNSET
    agreement: dict[str, Agreement] | UnsetType = UNSET
