"""What an export chooses and measures, and how its manifest states it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flight.bundle import load_bundle
from ground_tools.evaluation.choices import GAMMAS, OTHER_ORIENTATIONS, THRESHOLDS
from ground_tools.export.bundle_sets import choose, measure, read_set
from ground_tools.export.figures import (
    BundleFigures,
    Calibration,
    ParityFigures,
    TemperatureFigures,
    figures_of,
    plain_metrics,
)
from ground_tools.foundation.json_records import to_plain
from tests.ground_tools.evaluation.sets import CLASSES, write_set
from tests.tiny_bundle import write_tiny_bundle


def test_choices_are_the_best_of_what_was_tried_and_are_read_again(tmp_path: Path) -> None:
    bundle = load_bundle(write_tiny_bundle(tmp_path / "tiny", ("UNetS", "UNetAS")))
    path = write_set(tmp_path / "d1", "d1", {"a": {"train": 1, "validation": 3, "test": 2}})
    bundle_set = read_set(path, None)
    choices = choose(bundle, [bundle_set], passes=2)
    stated = choices.validation["d1"]
    tried = stated.by_orientations
    assert set(tried) == {str(count) for count in OTHER_ORIENTATIONS}
    assert tried[str(choices.orientations)].miou == max(figures.miou for figures in tried.values())
    assert tried[str(choices.orientations)].gamma == choices.gamma
    assert set(stated.miou_by_gamma) == {f"{gamma:g}" for gamma in GAMMAS}
    assert stated.miou_by_gamma[f"{choices.gamma:g}"] == max(stated.miou_by_gamma.values())
    assert choices.uncertainty_threshold in THRESHOLDS
    assert stated.images == choices.validation_entropy.images == 3
    assert 0.0 < choices.validation_entropy.median <= choices.validation_entropy.percentile_99

    measured = measure(bundle, bundle_set, passes=2)
    assert (measured.images, measured.passes, tuple(measured.modes)) == (2, 2, bundle.modes)
    for figures in measured.modes.values():
        assert set(figures.iou) <= set(CLASSES)
        assert figures.miou == pytest.approx(sum(figures.iou.values()) / len(figures.iou), abs=1e-4)

    calibration = Calibration(nll=0.5, ece=0.01)
    temperature = {"UNetS": TemperatureFigures(0.9, 3, calibration, calibration)}
    all_of = BundleFigures(temperature, choices.validation, {"d1": measured}, {"UNetS": ParityFigures(2, 0.9, 0.1)})
    manifest: dict[str, Any] = {"name": "tiny", "metrics": plain_metrics(all_of), "parity": to_plain(all_of.parity)}
    assert set(manifest["metrics"]["test"]["d1"]) == {"images", "passes", "definition", *bundle.modes}
    assert figures_of(manifest) == all_of
    manifest["metrics"]["temperature"]["UNetS"]["before"]["nll"] = "much"
    with pytest.raises(ValueError, match=r"manifest of tiny: metrics: Expected `float`, got `str`"):
        figures_of(manifest)
