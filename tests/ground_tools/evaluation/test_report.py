"""Records: targets, names, and what goes when a bundle or set changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ground_tools.evaluation.figures import result_key, targets
from ground_tools.evaluation.paper import PAPER_IOU
from ground_tools.evaluation.report import merge
from ground_tools.evaluation.statistics import VERSION


def test_names_of_modes() -> None:
    named = {mode: result_key(mode) for mode in ("UNetS", "UNetAS", "UNetR", "UNetH", "Lunar terrain")}
    assert [*named.values()] == ["unet_s", "unet_as", "unet_r", "unet_h", "lunar_terrain"]


def test_the_papers_means_are_those_of_its_classes() -> None:
    for values in PAPER_IOU.values():
        classes = [value for name, value in values.items() if name != "mean"]
        assert np.mean(classes) == pytest.approx(values["mean"], abs=0.02)


def test_targets_are_met_or_not_or_not_measured() -> None:
    uncertainty = {"ece": 0.02, "auroc": 0.8}
    figures = {"miou": 0.66, "iou": {"craters": 0.2, "boulders": None}, "nll": 0.3, "uncertainty": uncertainty}
    figures["deterministic"] = {"miou": 0.67, "nll": 0.4}
    other = {**figures, "miou": 0.71}
    rows = {(row["what"], row["dataset"]): row for row in targets({"d1": {"unet_h": {}, "unet_s": figures}})}
    real = targets({"d4": {"unet_s": figures, "unet_as": other}})
    assert [row["met"] for row in real if row["dataset"] == "d4"] == [True, None, True]
    assert rows["miou", "d1"]["met"] is True
    assert rows["miou", "d1"]["mode"] == "unet_s"
    assert rows["miou", "d2a"]["met"] is None
    assert rows["class/craters", "d1"]["met"] is False
    assert rows["class/boulders", "d1"]["met"] is None
    assert rows["ece", "d1"]["met"] is True
    assert rows["auroc", "d1"]["met"] is False
    assert rows["miou higher than without dropout", "d1"]["met"] is False
    assert rows["nll lower than without dropout", "d1"]["met"] is True


def figures_of(name: str, sha256: str, dataset: str, content: str = "1") -> dict[str, Any]:
    """What a record holds of one mode, as far as putting records together needs it."""
    plain = {"miou": 0.5, "iou": {"craters": 0.1, "boulders": 0.1}, "nll": 1.0, "brier": 0.5}
    origin = {"bundle": {"name": name, "version": "1", "sha256": sha256}, "dataset": dataset, "dataset_sha256": content}
    uncertainty = {"ece": 0.1, "auroc": 0.5}
    return {**plain, **origin, "statistics_version": VERSION, "deterministic": plain, "uncertainty": uncertainty}


def picture_of(figures: dict[str, Any]) -> dict[str, Any]:
    origin = {key: figures[key] for key in ("bundle", "dataset_sha256")}
    return {"file": f"{figures['dataset']}_{figures['bundle']['name']}.png", "caption": "x", **origin}


def test_figures_of_another_version_go(capsys: pytest.CaptureFixture[str]) -> None:
    former = {name: figures_of("unet_h", "old", name) for name in ("d1", "d3", "d4")}
    same = figures_of("unet_r", "same", "d1")
    old = {
        "d1": {"unet_s": former["d1"], "unet_r": same},
        "d3": {"unet_s": former["d3"]},
        "choices": {"d4": {"unet_h": former["d4"]}, "d1": {"unet_r": same}},
        "pictures": {"d1": [picture_of(former["d1"]), picture_of(same)], "d3": [picture_of(former["d3"])]},
    }
    record = merge(old, {"d1": {"unet_s": figures_of("unet_h", "new", "d1")}})
    assert record["d1"]["unet_s"]["bundle"]["sha256"] == "new"
    assert record["d1"]["unet_r"]["bundle"]["sha256"] == "same"
    assert "d3" not in record
    assert list(record["choices"]) == ["d1"]
    assert record["pictures"] == {"d1": [picture_of(same)]}
    assert record["uncertainty"]["mode"] == "unet_s"
    assert "figures of d3 from another version" in capsys.readouterr().err
    # Nor are figures, choices and pictures on another make of a set kept beside new ones.
    again = figures_of("unet_h", "old", "d1", "2")
    record = merge(old, {"d1": {"unet_s": again}, "pictures": {"d1": [picture_of(again)]}})
    assert set(record["d1"]) == {"unet_s"}
    assert set(record["d3"]) == {"unet_s"}
    assert record["choices"] == {}
    assert record["pictures"] == {"d1": [picture_of(again)], "d3": [picture_of(former["d3"])]}
    # Nor figures of another evaluation, whatever bundle and set they are of.
    old["d1"]["unet_r"] = {**same, "statistics_version": VERSION - 1}
    record = merge(old, {"d3": {"unet_as": figures_of("unet_h", "old", "d3")}})
    assert set(record["d1"]) == {"unet_s"}
    assert set(record["d3"]) == {"unet_s", "unet_as"}


def test_what_is_told_of_a_bundle_goes_with_its_last_figures_on_a_set() -> None:
    one, two = (figures_of("unet_h", "h", "d1") for _ in range(2))
    there, part = figures_of("unet_h", "h", "d3"), figures_of("unet_h", "h", "d1")
    old = {
        "d1": {"unet_s": one, "unet_as": two},
        "d1_validation": {"unet_s": part},
        "d3": {"unet_s": there},
        "choices": {"d1": {"unet_h": one}},
        "unlike_training": {"d1": {"unet_h": one}, "d1_validation": {"unet_h": part}},
        "pictures": {"d1": [picture_of(one)], "d3": [picture_of(there)]},
    }
    other = figures_of("unet_x", "x", "d1")
    record = merge(old, {"d1": {"unet_s": other}})
    assert set(record["unlike_training"]["d1"]) == {"unet_h"}
    assert record["pictures"]["d1"] == [picture_of(one)]
    # Its last mode on D-1's test split; on the validation split and on D-3 it has figures still.
    new = {"unlike_training": {"d1": {"unet_x": other}}, "pictures": {"d1": [picture_of(other)]}}
    record = merge(record, {"d1": {"unet_as": other}, **new})
    assert list(record["unlike_training"]["d1"]) == ["unet_x"]
    assert list(record["unlike_training"]["d1_validation"]) == ["unet_h"]
    assert record["pictures"] == {"d1": [picture_of(other)], "d3": [picture_of(there)]}
    assert list(record["choices"]["d1"]) == ["unet_h"]
    record = merge(record, {"d1_validation": {"unet_s": other}})
    assert record["choices"] == {}
    assert list(record["unlike_training"]) == ["d1"]
