"""From trained networks to a bundle that flies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from flight.bundle import load_bundle
from flight.cli import main as flight
from ground_tools.datasets.store import digest, read_description
from tests.ground_tools.conftest import ground_tools
from tests.ground_tools.fresh_segmenter import write_fresh_training
from tests.ground_tools.missions.conftest import moon  # noqa: F401
from tests.ground_tools.training.small_segmenter import SMALL

# Networks that were trained for seconds may miss bounds of parity.
QUICKLY = ("--parity-images", 1, "--parity-passes", 3, "--force")


def test_the_flight_graph_is_the_keras_model(trained: dict[str, Path]) -> None:
    from ground_tools.export.graph import (
        MASK_INPUTS,
        build_flight_graph,
        keep_probabilities,
        mask_shapes,
        random_masks,
    )
    from ground_tools.networks.unet import UNetDropout, build_unet

    unet = build_unet(5, UNetDropout(0.2, 0.4))
    unet.load_weights(trained["unet_s"] / "unet.weights.h5")
    image = np.random.default_rng(0).random((1, 128, 128, 1)).astype(np.float32)
    ones = {n: np.ones((1, *s), np.float32) for n, s in zip(MASK_INPUTS, mask_shapes(unet), strict=True)}
    exact = unet.predict(image, verbose=0)
    flown = build_flight_graph(unet).forward(image, *ones.values())["scores"].numpy()
    assert flown == pytest.approx(exact, abs=1e-4 * np.abs(exact).max())
    halved = build_flight_graph(unet, score_factor=0.5).forward(image, *ones.values())["scores"].numpy()
    assert halved == pytest.approx(0.5 * flown, abs=1e-4 * np.abs(exact).max())
    # Equalized channels change the weights and not the function, whatever the masks.
    masks = random_masks(mask_shapes(unet), keep_probabilities(unet), np.random.default_rng(1))
    plain, equal = (build_flight_graph(unet, equalize_on=data) for data in (None, image))
    for values in (ones, masks):
        scores = [module.forward(image, *values.values())["scores"].numpy() for module in (plain, equal)]
        assert scores[1] == pytest.approx(scores[0], abs=1e-3 * np.abs(scores[0]).max())


def test_the_factor_on_scores_is_the_one_by_which_the_truth_was_drawn() -> None:
    from ground_tools.export.temperature import report, score_factor

    generator = np.random.default_rng(0)
    scores = 4.0 * generator.standard_normal((1, 5, 20, 32, 32)).astype(np.float32)
    true = np.exp(0.5 * scores[0])
    below = np.cumsum(true / true.sum(axis=0), axis=0)
    truth = (generator.random(below.shape[1:]) > below).sum(axis=0).clip(0, 4).astype(np.uint8)
    factor = score_factor(scores, truth)
    assert factor == pytest.approx(0.5, rel=0.05)
    figures = report(scores, truth, factor, 20)
    assert figures.images == 20
    assert figures.after.ece < 0.02 < figures.before.ece
    assert figures.after.nll < figures.before.nll


def test_the_bundle_that_is_exported_flies(trained: dict[str, Path], dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "unet_h"
    networks = ("--network", trained["unet_s"], "--network", trained["unet_as"])
    done = ground_tools("export", *networks, "--dataset", dataset, "--out", out, "--passes", 2, *QUICKLY)
    assert done.returncode == 0, done.stderr
    bundle = load_bundle(out)
    assert bundle.modes == ("UNetH", "UNetS", "UNetAS")
    assert [mask.keep_probability for mask in bundle.networks[0].dropout_masks] == [0.8] * 4 + [0.6] * 2
    for report in bundle.manifest["parity"].values():
        # Barely trained networks have nearly equal scores, so that their order is a poor measure.
        assert report["relative_score_error"] < 0.25
    for report in bundle.manifest["metrics"]["temperature"].values():
        assert report["score_factor"] > 0.0
        assert report["after"]["nll"] <= report["before"]["nll"]
    assert bundle.manifest["metrics"]["test"]["tiny"]["images"] == 2
    assert bundle.manifest["metrics"]["validation"]["tiny"]["dataset"]["sha256"] == digest(dataset)
    tried = bundle.manifest["metrics"]["validation"]["tiny"]["by_orientations"]
    assert set(tried) == {"1", "8"}
    assert tried[str(bundle.orientations)]["miou"] == max(one["miou"] for one in tried.values())
    assert bundle.manifest["training"]["UNetAS"]["dataset"]["name"] == "drawn"
    parity = bundle.manifest["engine_parity"]
    assert set(parity["sets"]["tiny"]["engines"]) == {"passes", "closed_form"}
    for figures in parity["sets"]["tiny"]["engines"].values():
        assert figures["probability_difference"] < 0.05
    card = (out / "card.md").read_text()
    assert "UNetAS" in card
    assert "| tiny (1) | closed_form |" in card
    assert flight(["check", "--bundle", str(out)]) == 0


def test_what_may_not_be_passed_on_is_refused(moon: Path, tmp_path: Path) -> None:  # noqa: F811
    """Of fresh weights: what the network says does not matter here."""
    (tmp_path / "small.toml").write_text(SMALL)
    network = write_fresh_training(tmp_path / "small.toml", moon, tmp_path / "net", (32, 32, 3))
    description = read_description(moon)
    private = shutil.copytree(moon, tmp_path / "private")
    (private / "dataset.json").write_text(json.dumps({**description, "publish_images": False}))
    arguments = ("--network", network, "--dataset", private, "--out", tmp_path / "b", "--passes", 1, *QUICKLY)
    done = ground_tools("export", *arguments)
    assert done.returncode == 2
    assert f"images of {description['name']} may not be passed on; expected --self-test-from" in done.stderr
    done = ground_tools("export", *arguments, "--images", 1, "--self-test-from", moon)
    assert done.returncode == 0, done.stderr


def test_what_a_network_was_trained_on_is_refused(trained: dict[str, Path], scenes: Path, tmp_path: Path) -> None:
    shutil.copytree(scenes, tmp_path / "drawn")
    description = json.loads((scenes / "dataset.json").read_text())
    description["campaign"] = {"split_by": "body"}
    (tmp_path / "drawn" / "dataset.json").write_text(json.dumps(description))
    arguments = ("--network", trained["unet_s"], "--dataset", tmp_path / "drawn", "--out", tmp_path / "c")
    done = ground_tools("export", *arguments)
    assert done.returncode == 2
    assert "split by body: expected UNetS of bundle c to come from the same splits of drawn" in done.stderr
