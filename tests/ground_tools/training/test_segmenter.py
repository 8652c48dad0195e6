"""Segmentation networks of other missions: built, trained, resumed, by recipes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from ground_tools.networks.segmenter_design import Segmenter
from ground_tools.networks.segmenters import build_segmenter, load_encoder
from ground_tools.training.optimizers import count_reductions, count_waited
from ground_tools.training.pixels import Pixels
from ground_tools.training.recipes import RECIPES, Recipe, load_recipe
from ground_tools.training.segmenter import SegmenterBatches
from tests.ground_tools.conftest import ground_tools
from tests.ground_tools.missions.conftest import mars, moon, trained_on_moon  # noqa: F401
from tests.ground_tools.training.small_segmenter import SMALL


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def train(recipe: Path, dataset: Path, out: Path, *options: object) -> tuple[dict[str, Any], list[dict[str, str]]]:
    done = ground_tools("train", "--recipe", recipe, "--dataset", dataset, "--out", out, *options)
    assert done.returncode == 0, done.stderr
    return read_training(out)


def read_training(out: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Its record and the rows of its log."""
    with (out / "log.csv").open(newline="") as file:
        return json.loads((out / "training.json").read_text()), list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        ("plain", "unet"),
        ("vgg11", "unet"),
        ("resnet18", "unet"),
        ("mobilenet_v2", "unet"),
        ("mobilenet_v3_large", "deeplab"),
    ],
)
def test_every_network_gives_scores_of_the_images_size(encoder: Any, decoder: Any) -> None:
    design = Segmenter(encoder=encoder, decoder=decoder, masked=1)
    made = build_segmenter(design, 3, (64, 32, 1))
    assert made.network.output.shape == (None, 64, 32, 3)
    assert made.masks == ("dropout_1", "dropout_2")
    flown = build_segmenter(design, 3, (64, 32, 1), mask_inputs=True)
    assert [tuple(i.shape[1:]) for i in flown.network.inputs] == [
        (64, 32, 1),
        *(tuple(made.network.get_layer(name).input.shape[1:]) for name in made.masks),
    ]
    assert [w.shape for w in flown.network.get_weights()] == [w.shape for w in made.network.get_weights()]


def test_the_small_lunar_network_has_a_tenth_of_a_million_parameters() -> None:
    design = load_recipe("moon-unet").segmenter
    assert design is not None
    assert 80_000 < build_segmenter(design, 4, (256, 256, 3)).network.count_params() < 140_000


def test_a_network_of_another_step_of_sides_is_refused() -> None:
    with pytest.raises(ValueError, match="images: expected sides that 32 divides, got 48 x 64"):
        build_segmenter(Segmenter(encoder="mobilenet_v2"), 3, (48, 64, 1))


@pytest.mark.slow
def test_weights_of_an_application_go_into_the_encoder(tmp_path: Path) -> None:
    source = keras.applications.MobileNetV2(input_shape=(32, 32, 3), include_top=False, weights=None, alpha=0.35)
    source.save_weights(tmp_path / "imagenet.weights.h5")
    (tmp_path / "imagenet.weights.h5").rename(tmp_path / "no_top.weights.h5")
    design = Segmenter(encoder="mobilenet_v2", alpha=0.35)
    encoder = build_segmenter(design, 4, (32, 32, 3)).encoder
    encoder.save_weights(tmp_path / "encoder.weights.h5")
    other = build_segmenter(design, 4, (32, 32, 3)).encoder
    load_encoder(other, design, tmp_path / "encoder.weights.h5")
    for mine, theirs in zip(other.get_weights(), encoder.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)
    grey = build_segmenter(design, 4, (32, 32, 1)).encoder
    with pytest.raises(ValueError, match="expected weights of the recipe's encoder for 1 channels"):
        load_encoder(grey, design, tmp_path / "encoder.weights.h5")


@pytest.mark.slow
def test_a_colour_set_is_learnt_with_its_own_classes(trained_on_moon: Path) -> None:  # noqa: F811
    record, rows = read_training(trained_on_moon)
    assert record["classes"] == ["ground", "small_rocks", "large_rocks", "sky"]
    assert record["input"] == [32, 32, 3]
    assert record["images"] == {"train": 10, "validation": 5}
    assert float(rows[-1]["loss"]) < 0.6 * float(rows[0]["loss"])
    # Each class has a colour of its own.
    assert record["validation"]["iou"]["sky"] > 0.8
    assert set(record["validation"]["iou"]) == set(record["classes"])
    assert {"val_miou", "val_accuracy", "val_macro_f1", "val_iou_large_rocks"} <= set(rows[0])


@pytest.mark.slow
def test_a_training_goes_on_where_it_stopped_and_ends_early(recipe: Path, mars: Path, tmp_path: Path) -> None:  # noqa: F811
    options = [f"--set={field}=1" for field in ("optimizer.stop_after", "optimizer.reduce_after")]
    options.append("--set=labels=0.25")
    record, first = train(recipe, mars, tmp_path / "out", *options, "--epochs", 1)
    assert record["images"]["train"] < 8
    assert record["recipe"]["labels"] == 0.25
    assert len(first) == 1
    _, rows = train(recipe, mars, tmp_path / "out", *options, "--epochs", 30)
    assert rows[0] == first[0]
    assert 1 < len(rows) < 30
    assert float(rows[-1]["val_miou"]) <= max(float(row["val_miou"]) for row in rows[:-1]) + 1e-4
    _, again = train(recipe, mars, tmp_path / "out", *options, "--epochs", 30)
    assert again == rows
    done = ground_tools("train", "--recipe", recipe, "--dataset", mars, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "holds another training" in done.stderr


def test_rates_fall_and_trainings_end_by_the_values_so_far() -> None:
    assert count_reductions([0.1, 0.2, 0.2, 0.2, 0.3, 0.1, 0.1], 2) == 2
    assert count_waited([0.1, 0.2, 0.2, 0.2, 0.3, 0.1, 0.1]) == 2
    assert count_reductions([], 1) == count_waited([]) == 0


@pytest.mark.parametrize("path", sorted(RECIPES.glob("m*_*.toml")), ids=lambda path: path.stem)
def test_recipes_of_missions_build_their_network(path: Path) -> None:
    design = load_recipe(path.stem).segmenter
    assert design is not None
    assert path.stem.startswith(("moon_", "mars_"))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("segmenter = {", "segmenters = {", "segmenters: expected one of"),
        (
            'encoder = "plain"',
            'encoder = "vgg16"',
            'segmenter.encoder: expected "mobilenet_v2"',
        ),
        ("depth = 3", "kernel = 4", "segmenter.kernel: expected"),
        ("jaccard = 1.0", "cross_entropy = 0.0", "loss.cross_entropy: expected one term"),
        ('"segmenter"', '"encoder_cnn"', "only where"),
        ("brightness = 0.2", "brightness = 2.0", "augmentation.jitter.brightness: expected a number 0..1, got 2"),
    ],
)
def test_a_malformed_recipe_is_named(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(SMALL.replace(before, after))
    with pytest.raises(ValueError, match=message):
        load_recipe(str(path))


def test_records_of_small_body_recipes_are_those_of_before() -> None:
    """Trainings that began before go on: their started.json must be the same."""
    record = load_recipe("best-cpu-unet-s").record()
    assert not {"segmenter", "loss", "optimizer", "labels", "flips", "jitter"} & set(record)


def test_images_and_masks_are_flipped_alike(recipe: Path) -> None:
    masks = np.random.default_rng(0).integers(0, 4, (6, 16, 16)).astype(np.uint8)
    pixels = Pixels(np.repeat(masks[..., None] * np.uint8(60), 3, axis=3), masks, noisy=False)
    chosen: Recipe = load_recipe(str(recipe), {"augmentation.flips": "both", "batch": 6, "augmentation.geometric": 0.3})
    images, labels = SegmenterBatches(pixels, chosen)[0]
    assert images.shape == (6, 16, 16, 3)
    assert images.dtype == np.float32
    flipped = 0
    for image, label in zip(images, labels, strict=True):
        assert np.corrcoef(image[..., 0].ravel(), label.ravel())[0, 1] > 0.8
        flipped += not any(np.array_equal(label, mask) for mask in masks)
    assert flipped
