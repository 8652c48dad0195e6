"""Contrastive pre-training: the loss by its definition, views, and weights to start from."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from keras import ops

from ground_tools.training.contrastive import contrast_loss, draw_views, share_of_nearest
from ground_tools.training.recipe_tables import Contrast
from ground_tools.training.recipes import load_recipe
from tests.ground_tools.conftest import ground_tools
from tests.ground_tools.missions.conftest import mars  # noqa: F401
from tests.ground_tools.training.small_segmenter import SMALL


def test_the_loss_is_nt_xent() -> None:
    z = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    power = np.exp(unit @ unit.T / 0.3)
    np.fill_diagonal(power, 0.0)
    expected = np.mean([-np.log(power[i, (i + 4) % 8] / power[i].sum()) for i in range(8)])
    assert float(ops.convert_to_numpy(contrast_loss(z, 0.3))) == pytest.approx(expected, rel=1e-5)


def test_the_nearest_view_is_of_the_same_image() -> None:
    z = np.eye(4)[[0, 1, 0, 1]] + 0.01
    assert share_of_nearest(z) == 1.0
    assert share_of_nearest(np.eye(4)[[0, 1, 1, 0]] + 0.01) == 0.0


def test_views_are_other_parts_of_the_same_image(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    recipe = load_recipe(str(tmp_path / "small.toml"))
    images = np.zeros((3, 16, 24, 3), dtype=np.uint8)
    images[..., 0] = np.array([50, 120, 240])[:, None, None]
    views = draw_views(images, recipe, Contrast(smallest=0.3), np.random.default_rng(1))
    assert views.shape == (6, 16, 24, 3)
    assert views.dtype == np.float32
    level = views[..., 0].mean(axis=(1, 2))
    assert (np.argsort(level[:3]) == np.argsort(level[3:])).all()
    assert not np.array_equal(views[:3], views[3:])
    # A part alone: of an image that is half black, some views show less or more of it.
    images[:, :, :12] = 0
    shares = (draw_views(images, recipe, Contrast(smallest=0.1), np.random.default_rng(2))[..., 0] == 0).mean(
        axis=(1, 2)
    )
    assert np.ptp(shares) > 0.2


@pytest.mark.slow
def test_an_encoder_is_trained_without_labels_and_started_from(mars: Path, tmp_path: Path) -> None:  # noqa: F811
    recipe = tmp_path / "small.toml"
    recipe.write_text(SMALL)
    common = ("train", "--recipe", recipe, "--dataset", mars)
    few = ("--set", "contrast.epochs=2", "--set", "contrast.channels=8", "--set", "contrast.hidden=16")
    done = ground_tools(*common, *few, "--contrastive", "--out", tmp_path / "encoder")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "encoder" / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert 0.0 <= float(rows[-1]["val_nearest"]) <= 1.0
    weights = tmp_path / "encoder" / "encoder.weights.h5"
    done = ground_tools(*common, "--epochs", 1, "--encoder", weights, "--out", tmp_path / "network")
    assert done.returncode == 0, done.stderr
    wrong = ground_tools(*common, "--contrastive", "--encoder", weights, "--out", tmp_path / "other")
    assert wrong.returncode == 2
    assert "--encoder: expected none with --contrastive" in wrong.stderr
    unet = ("train", "--recipe", "best-unet-s", "--dataset", mars, "--contrastive", "--out", tmp_path / "other")
    assert "--contrastive: expected a recipe of network segmenter" in ground_tools(*unet).stderr
