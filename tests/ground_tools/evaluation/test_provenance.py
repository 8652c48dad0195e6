"""Which sets a bundle comes from, and what it may be evaluated on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flight.bundle import load_bundle
from ground_tools.datasets.store import (
    digest,
)
from ground_tools.evaluation.evaluation import Plan, evaluate
from ground_tools.evaluation.selection import select
from ground_tools.training.records import check_unseen, provenance, sets_used
from tests.ground_tools.evaluation.sets import stated, write_set


def trained_on_d4(**dataset: Any) -> dict[str, Any]:
    """A manifest's training: of a network that began from one of D-1."""
    origin = {"training": {"dataset": {"name": "d1", "sha256": "x", "split_by": None}}}
    return {"UNetAS": {"dataset": {"name": "d4", **dataset}, "began_from": origin}}


def test_the_rule_of_the_splits_is_that_of_the_trainings(
    sets: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The two rules put the same images into other splits."""

    def check(path: Path, training: dict[str, Any]) -> None:
        check_unseen("bundle tiny", sets_used(training, {}), path)

    sha256 = json.loads((sets["d4"] / "dataset.json").read_text())["sha256"]
    check(sets["d4"], trained_on_d4(split_by="image", sha256=sha256))
    check(sets["d1"], trained_on_d4(split_by="image", sha256=sha256))
    assert capsys.readouterr().err == ""
    with pytest.raises(
        ValueError, match=r"split by body: expected UNetAS of bundle tiny to come from the same splits of d4"
    ):
        check(sets["d4_by_body"], trained_on_d4(split_by="image", sha256=sha256))
    with pytest.raises(ValueError, match="got it split by None"):
        check(sets["d4"], trained_on_d4(sha256=sha256))
    with pytest.raises(ValueError, match="expected UNetH of bundle tiny"):
        check(sets["d4"], {"UNetH": {"began_from": {"training": {"dataset": {"name": "d4", "split_by": "body"}}}}})
    own = provenance(sets["d4"])
    assert own["sha256"] == sha256
    check(sets["d4"], {"UNetAS": {"dataset": own}})
    # The same images by the same rule in other splits, as after a change of the bodies in test.
    with pytest.raises(ValueError, match="got it split by image in another way"):
        check(sets["d4"], {"UNetAS": {"dataset": {**own, "splits_sha256": "other"}}})
    assert capsys.readouterr().err == ""
    check(sets["d4"], trained_on_d4(split_by="image", sha256="other"))
    assert "UNetAS of bundle tiny came from another make of d4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"training": trained_on_d4(split_by="body")}, "UNetAS"),
        (
            {"metrics": {"validation": {"images": 4, "d4": {"dataset": {"name": "d4", "split_by": "body"}}}}},
            "the choices",
        ),
    ],
)
def test_no_bundle_is_evaluated_on_images_that_it_comes_from(
    bundle: Path, sets: dict[str, Path], tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    other = stated(Path(shutil.copytree(bundle, tmp_path / "tiny")), **changes)
    plan = Plan(split="test", images=0, sweep=0, disturbed=0, passes=1, workers=1, out=tmp_path / "out")
    with pytest.raises(
        ValueError, match=rf"d4: split by image: expected {what} of bundle tiny to come from the same splits of d4"
    ):
        evaluate([other], [sets["d4"]], plan)
    assert not plan.out.exists()


def test_figures_name_their_set_whatever_its_training_split_holds(bundle: Path, tmp_path: Path) -> None:
    counts = {"test": 3, "validation": 2}
    without = write_set(tmp_path / "without", "d1", {"ball": counts})
    whole = write_set(tmp_path / "whole", "d1", {"ball": {**counts, "train": 4}})
    other = write_set(tmp_path / "other", "d1", {"ball": {**counts, "validation": 3}})
    assert digest(without) != digest(whole)
    expected = digest(without)
    for split in ("test", "validation"):
        assert select(without, split, 0, load_bundle(bundle)).sha256 == expected
        assert select(whole, split, 0, load_bundle(bundle)).sha256 == expected
        assert select(other, split, 0, load_bundle(bundle)).sha256 != expected
