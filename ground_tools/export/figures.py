"""What an export measures of a bundle and states in its manifest, as dataclasses.

IoU, errors and shares are fractions from 0 to 1, negative log-likelihoods and entropies are in nats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ground_tools.foundation.json_records import from_plain, to_plain


@dataclass(frozen=True)
class Calibration:
    """nll: negative log-likelihood. ece: expected calibration error."""

    nll: float
    ece: float


@dataclass(frozen=True)
class TemperatureFigures:
    """score_factor: on a network's scores, 1 / temperature; before, after: without and with it, on so many images."""

    score_factor: float
    images: int
    before: Calibration
    after: Calibration


@dataclass(frozen=True)
class ParityFigures:
    """int8 against the float32 graph, pass by pass with the same dropout masks. class_agreement: share of the pixels.
    relative_score_error: root of the mean squared error over the scores' variance.
    """

    test_images: int
    class_agreement: float
    relative_score_error: float


@dataclass(frozen=True)
class EngineFigures:
    """Of one engine on images. miou, ece and auroc (of the entropy, for wrong pixels) are fractions, nll in nats.

    probability_difference, entropy_difference: means over pixels of the absolute difference to the reference, the
    latter in nats; entropy_bias: with its sign. class_differs: share of the pixels. frame_ms: median of interleaved
    rounds.
    """

    passes: int
    miou: float
    nll: float
    ece: float
    auroc: float
    probability_difference: float
    entropy_difference: float
    entropy_bias: float
    class_differs: float
    frame_ms: float


@dataclass(frozen=True)
class SetParity:
    """Engines beside float32 whole passes on images of a set. second: the reference again, with other masks."""

    images: int
    reference: EngineFigures
    second: EngineFigures
    engines: dict[str, EngineFigures]


@dataclass(frozen=True)
class EngineParity:
    """By set, and what the engine that flies by default misses of the bounds; a bundle that misses any was forced."""

    sets: dict[str, SetParity]
    misses: list[str]


@dataclass(frozen=True)
class OrientationFigures:
    """Passes through so many orientations of the image, with the gamma that is best for them."""

    gamma: float
    miou: float
    nll: float


@dataclass(frozen=True)
class ValidationFigures:
    """How the choices did on a validation split. dataset: see records.provenance. miou_by_gamma: gamma as text -> mIoU.

    by_orientations: number of orientations, as text -> figures.
    """

    dataset: dict[str, Any]
    images: int
    miou_by_gamma: dict[str, float]
    by_orientations: dict[str, OrientationFigures]


@dataclass(frozen=True)
class EntropySpread:
    """Mean entropies of so many validation images: their median and 99th percentile."""

    images: int
    median: float
    percentile_99: float


@dataclass(frozen=True)
class Choices:
    """What was chosen on the validation splits: see flight's manifest. validation: set -> how it did there."""

    orientations: int
    gamma: float
    uncertainty_threshold: float
    validation_entropy: EntropySpread
    validation: dict[str, ValidationFigures]


@dataclass(frozen=True)
class ModeIou:
    """IoU of the classes that any image shows, each the mean over the images that show it, and their mean."""

    miou: float
    iou: dict[str, float]


@dataclass(frozen=True)
class IouFigures:
    """The IoU of every mode on the test split of a set. definition: of the IoU, in words."""

    images: int
    passes: int
    definition: str
    modes: dict[str, ModeIou]


@dataclass(frozen=True)
class BundleFigures:
    """The figures in a manifest. temperature, parity: by the role of the network; validation, test: by set.

    engines: None in bundles of earlier exports.
    """

    temperature: dict[str, TemperatureFigures]
    validation: dict[str, ValidationFigures]
    test: dict[str, IouFigures]
    parity: dict[str, ParityFigures]
    engines: EngineParity | None = None


def plain_metrics(figures: BundleFigures) -> dict[str, Any]:
    """The manifest's `metrics`, in which modes stand beside the other fields of a test."""
    plain = to_plain(figures)
    for test in plain["test"].values():
        test |= test.pop("modes")
    return {name: plain[name] for name in ("temperature", "validation", "test")}


def figures_of(manifest: dict[str, Any]) -> BundleFigures:
    """The figures in the manifest of a bundle that was exported. Raises ValueError naming the field that is not so."""
    metrics = manifest["metrics"]
    tests = {name: _with_modes(test) for name, test in metrics["test"].items()}
    plain = {**metrics, "test": tests, "parity": manifest["parity"]}
    if "engine_parity" in manifest:
        plain["engines"] = manifest["engine_parity"]
    return from_plain(BundleFigures, plain, f"manifest of {manifest['name']}: metrics")


def _with_modes(test: dict[str, Any]) -> dict[str, Any]:
    modes = {mode: figures for mode, figures in test.items() if isinstance(figures, dict)}
    return {**{name: value for name, value in test.items() if name not in modes}, "modes": modes}
