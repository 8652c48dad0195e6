"""The figures of an evaluation against plain counts over all pixels, and its pages."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from flight.bundle import load_bundle
from flight.inference.engine import Engine
from flight.inference.network import load_networks
from flight.settings import default_settings
from ground_tools.datasets.identity import evaluated_labels
from ground_tools.datasets.store import (
    load,
    read_description,
)
from ground_tools.evaluation.disturbances import DISTURBANCES
from ground_tools.evaluation.figures import result_key
from ground_tools.evaluation.passes import (
    begin_image,
    camera_frames,
    image_scores,
    mode_moments,
    scores_without_dropout,
)
from ground_tools.evaluation.results import results_of
from ground_tools.evaluation.selection import select
from ground_tools.evaluation.tables import blocks
from ground_tools.foundation.sampling import even_share
from ground_tools.pages.markdown import markdown
from tests.ground_tools.conftest import ground_tools
from tests.ground_tools.evaluation.sets import CLASSES
from tests.ground_tools.metrics.plain_counts import plain_auroc
from tests.tiny_bundle import HEIGHT, WIDTH, write_tiny_bundle

_PAGE = "# Results\n\nprose\n\n<!-- figures: begin -->\nformer figures\n<!-- figures: end -->\n\nmore prose\n"


@pytest.fixture(scope="module")
def evaluated(bundle: Path, second: Path, sets: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two evaluations, of one bundle and of two in one call, with docs/ in it."""
    out = tmp_path_factory.mktemp("evaluation")
    (out / "docs").mkdir()
    (out / "docs" / "results.md").write_text(_PAGE)
    common = ["--passes", 3, "--sweep", 6, "--disturbed", 2, "--workers", 1, "--out", out, "--write", out / "docs"]
    for bundles, names in (([bundle], ["d1", "d3"]), ([bundle, second], ["d4", "d4_by_body"])):
        arguments = [item for path in bundles for item in ("--bundle", path)]
        arguments += [item for name in names for item in ("--dataset", sets[name])]
        done = ground_tools("evaluate", *arguments, *common)
        assert done.returncode == 0, done.stderr
    return out


def test_results_have_their_structure(evaluated: Path, bundle: Path, second: Path) -> None:
    record = json.loads((evaluated / "docs" / "results.json").read_text())
    assert record == json.loads((evaluated / "results.json").read_text())
    for name in ("d1", "d3", "d4", "d4_unseen_bodies"):
        assert set(record[name]) == {"unet_s", "unet_as", "fused"} | ({"unet_r"} if "d4" in name else set())
        for figures in record[name].values():
            assert set(figures["iou"]) == set(CLASSES)
            assert 0.0 <= figures["miou"] <= 1.0
            known = [value for value in figures["iou"].values() if value is not None]
            assert figures["miou"] == pytest.approx(np.mean(known), abs=1e-5)
            expected = second if figures["mode"] == "UNetR" else bundle
            assert figures["bundle"]["sha256"] == load_bundle(expected).sha256
            low, high = figures["miou_interval"]
            assert low is high is None or low <= figures["miou"] <= high
            total = np.sum(figures["confusion"])
            assert total == figures["images"] * HEIGHT * WIDTH
            assert sum(figures["uncertainty"]["reliability"]["pixels"]) == total
    assert record["d1"]["unet_s"]["split"] == "test"
    assert record["d1"]["unet_s"]["images"] == record["d1"]["unet_s"]["views"] == 18
    assert record["d4"]["unet_s"]["split_by"] == "image"
    assert (record["d4"]["unet_s"]["images"], record["d4"]["unet_s"]["views"]) == (3, 2)
    assert record["d4_unseen_bodies"]["unet_s"]["split_by"] == "body"
    uncertainty = record["uncertainty"]
    assert (uncertainty["dataset"], uncertainty["mode"]) == ("d1", "unet_s")
    assert uncertainty["ece"] == record["d1"]["unet_s"]["uncertainty"]["ece"]
    assert uncertainty["nll"] == record["d1"]["unet_s"]["nll"]
    assert not {"nll", "brier"} & set(record["d1"]["unet_s"]["uncertainty"])
    assert 0.0 <= uncertainty["auroc"] <= 1.0
    assert [row["met"] for row in record["targets"] if row["dataset"] == "d2a"] == [None]
    assert [row["time_s"] for row in record["d3"]["fused"]["along"]] == [-30.0, -20.0, -10.0, 0.0, 10.0, 20.0, 30.0]
    assert "along" not in record["d1"]["fused"]
    # Only d1 has a validation split.
    assert set(record["choices"]) == set(record["unlike_training"]) == {"d1"}
    sweep = record["choices"]["d1"]["tiny"]["gamma"]
    assert record["choices"]["d1"]["tiny"]["images"] == 6
    assert sweep["gammas"][0] == 1.0
    assert sweep["gammas"][-1] == 10.0
    assert len(sweep["miou"]) == len(sweep["gammas"])
    unlike = record["unlike_training"]["d1"]["tiny"]["modes"]
    assert unlike["fused"]["none"]["ratio"] == pytest.approx(1.0)
    assert set(unlike["unet_s"]) == set(DISTURBANCES)


def test_the_figures_are_those_of_the_flight_engines_maps(evaluated: Path, bundle: Path, sets: dict[str, Path]) -> None:
    """Every figure of D-4 again, from what the flight engine publishes, by plain counts over all pixels."""
    loaded = load_bundle(bundle)
    record = json.loads((evaluated / "results.json").read_text())
    chosen = select(sets["d4"], "test", 0, loaded)
    assert np.array_equal(chosen.frames(), chosen.samples.images)
    truths = chosen.samples.masks
    engine = Engine(loaded)
    for mode in loaded.modes:
        settings = replace(default_settings(loaded), mode=mode, passes=3, gamma=loaded.gamma)
        maps = [
            engine.segment(frame, bit_depth=8, centered=True, seed=int(seed), settings=settings)
            for frame, seed in zip(chosen.frames(), chosen.positions, strict=True)
        ]
        class_maps = np.stack([m.class_map for m in maps])
        entropies = np.stack([m.predictive_entropy for m in maps])
        figures = record["d4"][result_key(mode)]
        expected = plain_iou(truths, class_maps, 4)
        assert [*figures["iou"].values()] == pytest.approx(expected, abs=1e-6)
        right = class_maps == truths
        marked = np.stack([m.enhanced_class_map for m in maps])
        assert [*figures["enhanced"]["iou"].values()] == pytest.approx(plain_iou(truths, marked, 4), abs=1e-6)
        uncertain = marked == 4
        uncertainty = figures["uncertainty"]
        assert uncertainty["error_rate"] == pytest.approx((~right).mean(), abs=1e-6)
        assert uncertainty["p_accurate_certain"] == pytest.approx(right[~uncertain].mean(), abs=1e-6)
        assert uncertainty["p_uncertain_inaccurate"] == pytest.approx(uncertain[~right].mean(), abs=1e-6)
        assert figures["enhanced"]["uncertain_share"] == pytest.approx(uncertain.mean(), abs=1e-6)
        assert figures["mean_entropy"] == pytest.approx(entropies.mean(), abs=1e-5)
        assert uncertainty["auroc"] == pytest.approx(
            plain_auroc(entropies, right), abs=uncertainty["auroc_bin_error"] + 1e-6
        )
        # The tiny networks are as uncertain as can be of dark pixels, and nearly so of many others.
        assert uncertainty["auroc_bin_error"] < 0.02
        mutual = np.stack([m.mutual_information for m in maps])
        # Of dark pixels all passes say the same: 0, or by the order of the sums a ten-millionth of a nat.
        assert uncertainty["auroc_mutual_information"] == pytest.approx(plain_auroc(mutual, right), abs=0.01)


def plain_iou(truths: np.ndarray, predictions: np.ndarray, classes: int) -> list[float]:
    """Mean over the images that show a class of its overlap over its union."""
    result = []
    for index in range(classes):
        pairs = [(t == index, p == index) for t, p in zip(truths, predictions, strict=True) if (t == index).any()]
        result.append(float(np.mean([(t & p).sum() / (t | p).sum() for t, p in pairs])))
    return result


def test_the_sweeps_are_of_validation_images_and_of_every_choice(
    evaluated: Path, bundle: Path, sets: dict[str, Path]
) -> None:
    loaded = load_bundle(bundle)
    choices = json.loads((evaluated / "results.json").read_text())["choices"]["d1"]["tiny"]
    assert (choices["split"], choices["images"], choices["of_images"]) == ("validation", 6, 8)
    samples = load(sets["d1"], "validation")
    places = even_share(samples.bodies, 6)
    networks = load_networks(loaded, 1)
    scores = []
    for frame, place in zip(
        camera_frames(samples.images[places], read_description(sets["d1"])["noise"]), places, strict=True
    ):
        scores.append(image_scores(loaded, networks, frame, int(place), 3))
    truths = samples.masks[places]
    for gamma, miou in zip(choices["gamma"]["gammas"], choices["gamma"]["miou"], strict=True):
        # Of the tiny bundle: class 0 of the first network, 3 of the second, 1 and 2 mixed.
        weight = math.log10(gamma)
        share = np.array([1.0, weight, weight, 0.0])[:, None, None]
        fused = np.stack([share * s.passes[:, 0] + (1.0 - share) * s.passes[:, 1] for s in scores])
        exponentials = np.exp(fused - fused.max(axis=2, keepdims=True))
        mean = (exponentials / exponentials.sum(axis=2, keepdims=True)).mean(axis=1)
        assert miou == pytest.approx(np.mean(plain_iou(truths, mean.argmax(axis=1), 4)), abs=2e-3)
    for mode in loaded.modes:
        moments = [mode_moments(loaded, s, mode, loaded.gamma) for s in scores]
        sweep = choices["threshold"]["modes"][result_key(mode)]
        for threshold, miou in sweep["miou"].items():
            marked = []
            for mean, entropy, _ in moments:
                scaled = (entropy - entropy.min()) / (entropy.max() - entropy.min())
                marked.append(np.where(scaled > np.float32(threshold), 9, mean.argmax(axis=0)))
            assert miou == pytest.approx(np.mean(plain_iou(truths, np.stack(marked), 4)), abs=1e-6)
        assert sweep["miou"][f"{sweep['best']:g}"] == max(sweep["miou"].values())
        unmarked = plain_iou(truths, np.stack([mean.argmax(axis=0) for mean, _, _ in moments]), 4)
        assert sweep["miou_unmarked"] == pytest.approx(np.mean(unmarked), abs=1e-6)


def test_calibration_and_scores_of_a_set_are_those_of_all_its_pixels(
    evaluated: Path, bundle: Path, sets: dict[str, Path]
) -> None:
    loaded = load_bundle(bundle)
    networks = load_networks(loaded, 1)
    chosen = select(sets["d4"], "test", 0, loaded)
    record = json.loads((evaluated / "results.json").read_text())["d4"]
    for mode in loaded.modes:
        probabilities, mutuals, single = [], [], []
        for frame, seed in zip(chosen.frames(), chosen.positions, strict=True):
            found = image_scores(loaded, networks, frame, int(seed), 3)
            mean, _, mutual = mode_moments(loaded, found, mode, loaded.gamma)
            probabilities.append(mean)
            mutuals.append(mutual)
            single.append(mode_moments(loaded, scores_without_dropout(networks), mode, loaded.gamma)[0])
        figures = record[result_key(mode)]
        area = plain_auroc(np.stack(mutuals), np.stack(probabilities).argmax(axis=1) == chosen.samples.masks)
        assert figures["uncertainty"]["auroc_mutual_information"] == pytest.approx(area, abs=1e-4)
        for values, told in ((probabilities, figures), (single, figures["deterministic"])):
            flat = np.stack(values).transpose(0, 2, 3, 1).reshape(-1, 4).astype(np.float64)
            truth = chosen.samples.masks.ravel()
            confidence, right = flat.max(axis=1), flat.argmax(axis=1) == truth
            error = 0.0
            for index in range(15):
                inside = (confidence > index / 15) & (confidence <= (index + 1) / 15)
                error += abs(right[inside].sum() - confidence[inside].sum()) / len(truth)
            ece = told["uncertainty"]["ece"] if "uncertainty" in told else told["ece"]
            assert ece == pytest.approx(error, abs=1e-4)
            assert told["nll"] == pytest.approx(-np.log(flat[np.arange(len(truth)), truth]).mean(), abs=1e-5)
            assert told["brier"] == pytest.approx(((flat - np.eye(4)[truth]) ** 2).sum(axis=1).mean(), abs=1e-5)
            expected = plain_iou(chosen.samples.masks, np.stack(values).argmax(axis=1), 4)
            assert [*told["iou"].values()] == pytest.approx(expected, abs=1e-6)


def test_a_flyby_is_told_image_by_image(evaluated: Path, sets: dict[str, Path]) -> None:
    rows = json.loads((evaluated / "results.json").read_text())["d3"]["unet_s"]["along"]
    samples = load(sets["d3"])
    assert [row["time_s"] for row in rows] == samples.times_s.tolist()
    assert [row["range_d0"] for row in rows] == pytest.approx(samples.ranges_d0)
    for row, mask in zip(rows, samples.masks, strict=True):
        known = [name for name, value in row["iou"].items() if value is not None]
        assert known == [CLASSES[index] for index in np.unique(mask)]
        assert row["miou"] == pytest.approx(np.mean([row["iou"][name] for name in known]), abs=1e-6)


def test_a_flyby_is_summed_up_at_every_range(evaluated: Path) -> None:
    text = (evaluated / "docs" / "results.md").read_text()
    part = text.split("### d3 along the flyby")[1].split("\n#")[0]
    lines = [line for line in part.splitlines() if line.startswith("| fused |")]
    spans = [cells[2:4] for cells in (re.split(r"\s*\|\s*", line) for line in lines)]
    assert spans == [["0 to 1", "1"], ["1.3 to 2", "1"], ["2 to 3", "1"], ["3 to 5", "2"], ["5 and more", "2"]]


def test_sets_of_a_modes_own_training_are_not_unlike_it(evaluated: Path) -> None:
    record = json.loads((evaluated / "results.json").read_text())
    trained = {mode: figures["trained_on"] for mode, figures in record["d4"].items()}
    assert trained == {"fused": ["d1", "d3"], "unet_s": ["d1"], "unet_as": ["d1", "d3"], "unet_r": []}
    text = (evaluated / "docs" / "results.md").read_text()
    part = text.split("### Images unlike training, made of d1, tiny")[1].split("###")[0]
    rows = {mode: re.findall(rf"^\| {mode} \| set (\w+) ", part, re.MULTILINE) for mode in trained}
    assert rows == {"fused": _D4, "unet_s": ["d3", *_D4], "unet_as": _D4, "unet_r": []}


_D4 = ["d4", "d4_unseen_bodies"]


def test_a_set_without_an_interval_shows_a_dash(evaluated: Path) -> None:
    record = json.loads((evaluated / "results.json").read_text())
    figures = record["d3"]["unet_s"]
    figures["miou_interval"] = [None, None]
    assert f" {100 * figures['miou']:.1f} (-) |" in markdown(blocks(results_of(record, "results.json")), "images")


def test_both_rules_of_splits_stand_side_by_side(evaluated: Path) -> None:
    text = (evaluated / "docs" / "results.md").read_text()
    assert "### d4, split by image and by body" in text
    assert "trained on beside this set, as far as their bundles state it: d1, d3. Drop" in text
    record = json.loads((evaluated / "results.json").read_text())
    drop = 100 * (record["d4"]["unet_r"]["miou"] - record["d4_unseen_bodies"]["unet_r"]["miou"])
    (line,) = [line for line in text.splitlines() if line.startswith("| unet_r | plain 1.0 | plain 1.0 |")]
    assert f"| {drop:.1f} |" in line


def test_without_dropout_is_one_pass_with_masks_of_ones(bundle: Path, tmp_path: Path) -> None:
    loaded = load_bundle(bundle)
    plain = load_bundle(write_tiny_bundle(tmp_path / "plain", ("UNetS",), dropout=False))
    frame = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH)).astype(np.uint8)
    (network, _), (other,) = load_networks(loaded, 1), load_networks(plain, 1)
    begin_image(loaded, [network], frame, 5, 2)
    begin_image(plain, [other], frame, 5, 1)
    np.testing.assert_allclose(network.run_without_dropout(), other.run(0), atol=1e-5)
    assert not np.allclose(network.run(0), network.run_without_dropout())


def test_pages_and_pictures_are_written(evaluated: Path, sets: dict[str, Path]) -> None:
    text = (evaluated / "docs" / "results.md").read_text()
    assert text.startswith("# Results\n\nprose\n\n<!-- figures: begin -->\n")
    assert text.endswith("<!-- figures: end -->\n\nmore prose\n")
    assert "former figures" not in text
    report = (evaluated / "report.html").read_text()
    assert "src=" in report
    assert 'src="data:' in report
    assert "is not there" not in report
    pictures = {path.name for path in (evaluated / "docs" / "images" / "results").iterdir()}
    for what in ("mosaic.jpg", "cumulative_iou.png", "confusion.png", "calibration.png", "errors.png"):
        assert f"d1_tiny_{what}" in pictures
    assert {"d3_tiny_flyby.png", "d1_tiny_gamma.png", "d1_tiny_threshold.png", "d1_tiny_disturbances.png"} <= pictures
    record = json.loads((evaluated / "results.json").read_text())
    for name, items in record["pictures"].items():
        contents = {figures["dataset_sha256"] for figures in record[name].values()}
        assert {item["dataset_sha256"] for item in items} == contents
    assert {figures["dataset_labels_sha256"] for figures in record["d1"].values()} == {evaluated_labels(sets["d1"])}
    assert record["d1"]["unet_s"]["dataset_labels_sha256"][:12] in text
    for name in pictures:
        assert f"images/results/{name}" in text
        assert cv2.imread(str(evaluated / "docs" / "images" / "results" / name)) is not None
    # Images that may not be passed on are not in the mosaic: 4 rows instead of 5.
    heights = [cv2.imread(str(evaluated / "images" / f"{name}_tiny_mosaic.jpg")).shape[0] for name in ("d1", "d4")]
    assert heights[0] - heights[1] == HEIGHT + 4


def test_the_same_command_again_computes_nothing_and_gives_the_same(
    evaluated: Path, bundle: Path, sets: dict[str, Path]
) -> None:
    before = (evaluated / "results.json").read_text()
    times = {path: path.stat().st_mtime_ns for path in evaluated.glob("statistics/*/*.npz")}
    arguments = ["--bundle", bundle, "--passes", 3, "--out", evaluated, "--workers", 1]
    done = ground_tools("evaluate", *arguments, "--dataset", sets["d3"], "--sweep", 6, "--disturbed", 2)
    assert done.returncode == 0, done.stderr
    assert (evaluated / "results.json").read_text() == before
    assert {path: path.stat().st_mtime_ns for path in evaluated.glob("statistics/*/*.npz")} == times


def test_one_network_without_dropout_makes_one_pass(evaluated: Path) -> None:
    record = json.loads((evaluated / "results.json").read_text())
    figures = record["d4"]["unet_r"]
    assert figures["passes"] == 1
    assert figures["miou"] == figures["deterministic"]["miou"]
    assert figures["mean_mutual_information"] == pytest.approx(0.0, abs=1e-6)
