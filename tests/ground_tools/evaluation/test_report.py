"""Results: targets, names, files, and what goes when a bundle or set changes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import UNSET

from ground_tools.evaluation.figures import result_key
from ground_tools.evaluation.paper import PAPER_IOU
from ground_tools.evaluation.report import merge
from ground_tools.evaluation.results import (
    BundleIdentity,
    DisturbanceFigures,
    ModeFigures,
    PictureEntry,
    Results,
    SweepFigures,
    plain_results,
    read_results,
    results_of,
)
from ground_tools.evaluation.statistics import VERSION
from ground_tools.evaluation.targets import targets
from ground_tools.foundation.json_records import from_plain, json_bytes, to_plain

DOCS = Path(__file__).parents[3] / "docs"
WRITTEN = read_results(DOCS / "results.json")


def test_names_of_modes() -> None:
    named = {mode: result_key(mode) for mode in ("UNetS", "UNetAS", "UNetR", "UNetH", "Lunar terrain")}
    assert [*named.values()] == ["unet_s", "unet_as", "unet_r", "unet_h", "lunar_terrain"]


def test_the_papers_means_are_those_of_its_classes() -> None:
    for values in PAPER_IOU.values():
        classes = [value for name, value in values.items() if name != "mean"]
        assert np.mean(classes) == pytest.approx(values["mean"], abs=0.02)


def test_the_written_results_are_read_and_written_alike(tmp_path: Path) -> None:
    text = (DOCS / "results.json").read_bytes()
    assert json_bytes(plain_results(WRITTEN)) == text
    assert merge(WRITTEN, Results()) == WRITTEN
    assert read_results(tmp_path / "none.json") == Results()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"d1": {"unet_s": {"miou": "much"}}},
            r"Expected `float`, got `str` - at `\$\.sets\[\.\.\.\]\[\.\.\.\]\.miou`",
        ),
        ({"pictures": {"d1": [{"file": "a.png"}]}}, "missing required field `caption`"),
        ({"targets": 1}, r"Expected `array`, got `int` - at `\$\.targets`"),
    ],
)
def test_what_is_no_record_of_figures_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    plain = plain_results(Results(sets={"d1": {"unet_s": figures_of("unet_h", "1", "d1")}}))
    if "d1" in change:
        plain["d1"]["unet_s"].update(change["d1"]["unet_s"])
    else:
        plain.update(change)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(plain))
    with pytest.raises(ValueError, match=f"results.json: .*{message}"):
        read_results(path)
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"results.json: expected an object, got list"):
        read_results(path)


def test_targets_are_met_or_not_or_not_measured() -> None:
    figures = figures_of("unet_h", "1", "d1")
    figures = replace(
        figures,
        miou=0.66,
        iou={"craters": 0.2, "boulders": None},
        nll=0.3,
        uncertainty=replace(figures.uncertainty, ece=0.02, auroc=0.8),
        deterministic=replace(figures.deterministic, miou=0.67, nll=0.4),
    )
    other = replace(figures, miou=0.71)
    found = targets({"d1": {"unet_h": other, "unet_s": figures}})
    rows = {(row.what, row.dataset): row for row in found}
    real = targets({"d4": {"unet_s": figures, "unet_as": other}})
    assert [row.met for row in real if row.dataset == "d4"] == [True, None, True]
    assert rows["miou", "d1"].met is True
    assert rows["miou", "d1"].mode == "unet_s"
    assert rows["miou", "d2a"].met is None
    assert rows["class/craters", "d1"].met is False
    assert rows["class/boulders", "d1"].met is None
    assert rows["ece", "d1"].met is True
    assert rows["auroc", "d1"].met is False
    assert rows["miou higher than without dropout", "d1"].met is False
    assert rows["nll lower than without dropout", "d1"].met is True
    # A bound or another figure: what a target has not is not in the file.
    bounds = ("at_least", "at_most", "than")
    assert all(sum(name in to_plain(row) for name in bounds) == 1 for row in found)


def figures_of(name: str, sha256: str, dataset: str, content: str = "1") -> ModeFigures:
    """Figures of one mode, as they were measured once, by another bundle on another set."""
    (figures, *_) = WRITTEN.sets["d1"].values()
    return replace(figures, bundle=BundleIdentity(name, "1", sha256), dataset=dataset, dataset_sha256=content)


def told_of(figures: ModeFigures, kind: type[Any]) -> Any:
    """Choices, or what is unlike training, of the same origin."""
    choices, unlike = (next(iter(part["d1"].values())) for part in (WRITTEN.choices, WRITTEN.unlike_training))
    return replace(
        choices if kind is SweepFigures else unlike,
        bundle=figures.bundle,
        dataset=figures.dataset,
        dataset_sha256=figures.dataset_sha256,
    )


def picture_of(figures: ModeFigures) -> PictureEntry:
    return PictureEntry(f"{figures.dataset}_{figures.bundle.name}.png", "x", figures.bundle, figures.dataset_sha256)


def test_sets_that_differ_in_grey_levels_alone_are_said_to_do_so(capsys: pytest.CaptureFixture[str]) -> None:
    here, there = (figures_of("unet_h", "same", "d1", content) for content in ("here", "there"))
    for labels, told in ((("a", "a"), True), (("a", "b"), False), (("a", UNSET), False), ((UNSET, UNSET), False)):
        old, new = (
            Results(sets={"d1": {"unet_h": replace(figures, dataset_labels_sha256=digest)}})
            for figures, digest in zip((here, there), labels, strict=True)
        )
        # Another mode, so that the older figures would stay if it were the same set.
        merged = merge(old, Results(sets={"d1": {"unet_s": new.sets["d1"]["unet_h"]}}))
        assert list(merged.sets["d1"]) == ["unet_s"]
        assert ("differ in grey levels alone" in capsys.readouterr().err) == told


def test_figures_of_another_version_go(capsys: pytest.CaptureFixture[str]) -> None:
    former = {name: figures_of("unet_h", "old", name) for name in ("d1", "d3", "d4")}
    same = figures_of("unet_r", "same", "d1")
    old = Results(
        sets={"d1": {"unet_s": former["d1"], "unet_r": same}, "d3": {"unet_s": former["d3"]}},
        choices={"d4": {"unet_h": told_of(former["d4"], SweepFigures)}, "d1": {"unet_r": told_of(same, SweepFigures)}},
        pictures={"d1": [picture_of(former["d1"]), picture_of(same)], "d3": [picture_of(former["d3"])]},
    )
    results = merge(old, Results(sets={"d1": {"unet_s": figures_of("unet_h", "new", "d1")}}))
    assert results.sets["d1"]["unet_s"].bundle.sha256 == "new"
    assert results.sets["d1"]["unet_r"].bundle.sha256 == "same"
    assert "d3" not in results.sets
    assert list(results.choices) == ["d1"]
    assert results.pictures == {"d1": [picture_of(same)]}
    assert results.uncertainty is not None
    assert results.uncertainty.mode == "unet_s"
    assert "figures of d3 from another version of bundle or set are left out" in capsys.readouterr().err
    # Nor are figures, choices and pictures on another make of a set kept beside new ones.
    again = figures_of("unet_h", "old", "d1", "2")
    results = merge(old, Results(sets={"d1": {"unet_s": again}}, pictures={"d1": [picture_of(again)]}))
    assert set(results.sets["d1"]) == {"unet_s"}
    assert set(results.sets["d3"]) == {"unet_s"}
    assert results.choices == {}
    assert results.pictures == {"d1": [picture_of(again)], "d3": [picture_of(former["d3"])]}


def test_figures_of_another_evaluation_go_whatever_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    figures = figures_of("unet_h", "1", "d1")
    choices = told_of(figures, SweepFigures)
    plain = plain_results(Results(sets={"d1": {"unet_s": figures, "unet_as": figures}}))
    plain["choices"] = {"d1": {"unet_h": to_plain(choices), "older": {"statistics_version": VERSION - 1}}}
    plain["d1"]["unet_as"] = {"statistics_version": VERSION - 1, "what": "was measured then"}
    plain["d3"] = {"unet_s": {}}
    results = results_of(plain, "results.json")
    assert results.sets == {"d1": {"unet_s": figures}}
    assert results.choices == {"d1": {"unet_h": choices}}
    told = capsys.readouterr().err
    assert "results.json: figures of d1 by another version of the evaluation are left out" in told
    assert "figures of d3" in told


def test_what_is_told_of_a_bundle_goes_with_its_last_figures_on_a_set() -> None:
    one, there = figures_of("unet_h", "h", "d1"), figures_of("unet_h", "h", "d3")
    unlike = told_of(one, DisturbanceFigures)
    old = Results(
        sets={"d1": {"unet_s": one, "unet_as": one}, "d1_validation": {"unet_s": one}, "d3": {"unet_s": there}},
        choices={"d1": {"unet_h": told_of(one, SweepFigures)}},
        unlike_training={"d1": {"unet_h": unlike}, "d1_validation": {"unet_h": unlike}},
        pictures={"d1": [picture_of(one)], "d3": [picture_of(there)]},
    )
    other = figures_of("unet_x", "x", "d1")
    results = merge(old, Results(sets={"d1": {"unet_s": other}}))
    assert set(results.unlike_training["d1"]) == {"unet_h"}
    assert results.pictures["d1"] == [picture_of(one)]
    # Its last mode on D-1's test split; on the validation split and on D-3 it has figures still.
    new = Results(
        sets={"d1": {"unet_as": other}},
        unlike_training={"d1": {"unet_x": told_of(other, DisturbanceFigures)}},
        pictures={"d1": [picture_of(other)]},
    )
    results = merge(results, new)
    assert list(results.unlike_training["d1"]) == ["unet_x"]
    assert list(results.unlike_training["d1_validation"]) == ["unet_h"]
    assert results.pictures == {"d1": [picture_of(other)], "d3": [picture_of(there)]}
    assert list(results.choices["d1"]) == ["unet_h"]
    results = merge(results, Results(sets={"d1_validation": {"unet_s": other}}))
    assert results.choices == {}
    assert list(results.unlike_training) == ["d1"]


def test_a_figure_that_need_not_be_there_is_not_in_the_file() -> None:
    figures = replace(figures_of("unet_h", "1", "d1"), gamma=UNSET, along=UNSET)
    plain = to_plain(figures)
    assert not {"gamma", "along"} & set(plain)
    assert from_plain(ModeFigures, plain, "d1") == figures
