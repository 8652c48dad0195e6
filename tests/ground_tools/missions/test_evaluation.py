"""Evaluation of other missions: figures against their definitions, and what is written into docs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ground_tools.datasets.store import load, read_description
from ground_tools.labels.class_table import IGNORED
from ground_tools.missions.catalogue import mission_of
from ground_tools.missions.evaluation import Evaluated, SetResult, evaluate_on, is_of_a_mission
from ground_tools.missions.report import add_result, draw_predictions, read_results, write_predictions, write_results
from tests.ground_tools.conftest import ground_tools
from tests.ground_tools.fresh_segmenter import write_fresh_training
from tests.ground_tools.training.small_segmenter import SMALL

MARS = ("soil", "bedrock", "sand", "big_rock")
PAGE = "# Other missions\n\n<!-- figures: begin -->\n<!-- figures: end -->\n"


def oracle(dataset: Path, wrong: float) -> Evaluated:
    """Knows the truth by the image, and says bedrock in place of soil in a share of the rows."""
    loaded = load(dataset, "test")
    truths = {image.tobytes(): mask for image, mask in zip(loaded.images, loaded.masks, strict=True)}

    def predict(frame: np.ndarray, seed: int) -> np.ndarray:
        found = np.where(truths[frame.tobytes()] == IGNORED, 3, truths[frame.tobytes()])
        rows = np.arange(32)[:, None] < 4 + 28 * wrong
        found = np.where((found == 0) & rows, 1, found)
        probability = np.full((4, 32, 32), 0.1 / 3, dtype=np.float32)
        np.put_along_axis(probability, found[None], np.float32(0.9), axis=0)
        return probability

    return Evaluated("oracle", "mars", "int8", MARS, (32, 32, 1), predict)


def result_of(dataset: Path, wrong: float) -> SetResult:
    return evaluate_on(oracle(dataset, wrong), dataset, "test", 0)


def test_figures_are_of_the_labelled_pixels(mars: Path) -> None:
    perfect = result_of(mars, 0.0).figures
    assert perfect.images == 3
    assert (perfect.accuracy, perfect.miou, perfect.macro_f1) == (1.0, 1.0, 1.0)
    assert perfect.miou_interval == (1.0, 1.0)
    assert perfect.nll == pytest.approx(-np.log(0.9), abs=1e-4)
    assert perfect.ece == pytest.approx(0.1, abs=1e-4)
    masks = load(mars, "test").masks
    assert perfect.labelled == pytest.approx((masks != IGNORED).mean(), abs=1e-4)
    half = result_of(mars, 0.5).figures
    soil = np.asarray(half.confusion)[0]
    assert half.recall["soil"] == pytest.approx(soil[0] / soil.sum(), abs=1e-4)
    assert half.recall["sand"] == 1.0
    assert half.iou["bedrock"] is not None
    assert half.iou["bedrock"] < 1.0
    low, high = half.miou_interval
    assert low <= half.miou <= high


def test_sets_of_other_classes_and_sizes_are_refused(mars: Path, moon: Path) -> None:
    with pytest.raises(ValueError, match="classes: expected soil, bedrock, sand, big_rock, as oracle has, got ground"):
        evaluate_on(oracle(mars, 0.0), moon, "test", 0)
    large = Evaluated("large", "mars", "int8", MARS, (64, 64, 1), lambda frame, seed: frame)
    with pytest.raises(ValueError, match="images: expected 64 x 64 px, got 32 x 32"):
        evaluate_on(large, mars, "test", 0)


def test_a_mission_is_known_by_its_classes() -> None:
    assert mission_of(MARS) == "mars"
    assert mission_of([*MARS, "rover", "far"]) == "mars"
    with pytest.raises(
        ValueError, match="classes: expected those of moon or mars or spacecraft or multitask, got soil, sand"
    ):
        mission_of(["soil", "sand"])
    assert not is_of_a_mission(Path(__file__).parents[3] / "models" / "unet_h")


def test_results_of_other_networks_stay(mars: Path, tmp_path: Path) -> None:
    (tmp_path / "missions.md").write_text(PAGE)
    results = read_results(tmp_path)
    add_result(results, "mars", "first", result_of(mars, 0.0))
    write_results(tmp_path, results)
    results = read_results(tmp_path)
    second = result_of(mars, 0.5)
    add_result(results, "mars", "second", second)
    write_predictions(tmp_path / "images" / "missions", "second", second, publish=True)
    write_results(tmp_path, results)
    record = json.loads((tmp_path / "missions.json").read_text())
    assert list(record["mars"]["ai4mars_min3"]) == ["first", "second"]
    assert record["mars"]["ai4mars_min3"]["first"]["miou"] == 1.0
    page = (tmp_path / "missions.md").read_text()
    assert "| `second` | recall |" in page
    assert "images/missions/ai4mars_min3_second.jpg" in page
    assert "ai4mars_min3_first.jpg" not in page


def test_pictures_show_what_is_wrong_and_no_image_that_may_not_be_passed_on(mars: Path) -> None:
    result = result_of(mars, 1.0)
    picture, hidden = (draw_predictions(result, publish) for publish in (True, False))
    assert picture.shape[0] == 4 * 32 + 3 * 4
    assert hidden.shape[0] == 3 * 32 + 2 * 4
    assert ((picture[-32:] == (220, 40, 40)).all(axis=-1)).sum() > 100


@pytest.mark.slow
def test_a_training_is_evaluated_before_export(mars: Path, tmp_path: Path) -> None:
    """Of fresh weights: what the network says does not matter here."""
    recipe, docs = tmp_path / "small.toml", tmp_path / "docs"
    recipe.write_text(SMALL)
    write_fresh_training(recipe, mars, tmp_path / "net", (32, 32, 1))
    docs.mkdir()
    (docs / "missions.md").write_text(PAGE)
    done = ground_tools("evaluate", "--bundle", tmp_path / "net", "--dataset", mars, "--write", docs)
    assert done.returncode == 0, done.stderr
    record = json.loads((docs / "missions.json").read_text())
    figures = record["mars"][read_description(mars)["name"]]["net"]
    assert figures["kind"] == "float32"
    assert 0.0 < figures["miou"] < 1.0
    assert (docs / "images" / "missions" / "ai4mars_min3_net.jpg").is_file()
