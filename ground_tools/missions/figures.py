"""What is measured of a network of another mission on a set, as docs/missions.json holds it.

Shares and scores are fractions from 0 to 1, negative log-likelihoods in nats.
"""

from __future__ import annotations

from dataclasses import dataclass

Values = dict[str, float | None]


@dataclass(frozen=True)
class MissionFigures:
    """On the pixels of a split that have a label; by class, null where nothing is to be measured.

    Attributes:
        kind: "int8", a bundle as it flies, or "float32", a trained network in one pass without dropout.
        images: of the split that were looked at.
        labelled: share of the pixels with a label.
        accuracy: share of these that are right.
        macro_f1, miou: means over the classes.
        miou_interval: where the mIoU of sets of such images would lie, 2.5 to 97.5 %, drawn by image.
        iou, recall, f1: of each class.
        confusion: pixels of true class (row) and predicted class (column).
        nll, ece, auroc: of the probabilities; the last of the entropy, for wrong pixels.
        frame_ms: median time of a frame on the computer that measured it.
    """

    kind: str
    images: int
    labelled: float
    accuracy: float
    macro_f1: float
    miou: float
    miou_interval: tuple[float, float]
    iou: Values
    recall: Values
    f1: Values
    confusion: list[list[int]]
    nll: float
    ece: float
    auroc: float
    frame_ms: float


# mission -> set -> network -> figures.
Results = dict[str, dict[str, dict[str, MissionFigures]]]
